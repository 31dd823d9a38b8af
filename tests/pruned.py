"""Bundles of pruned models, made without a search for what to prune."""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from edgeadapt.backbones import backbone_spec
from edgeadapt.exporters.lowering import lower
from edgeadapt.models.classifier import load_stock
from edgeadapt.models.merge import Merged
from edgeadapt.recipe import Exporter
from edgeadapt.runtime.resized import KeptWidths, resize
from edgeadapt.store.bundle import Bundle

__all__ = ["KEPT", "pruned_bundle"]

KEPT = (KeptWidths(heads=(1,), neurons=(0, 3, 4, 9)), KeptWidths(heads=(), neurons=()))
"""Of two layers of two heads each."""


def pruned_bundle(bundle: Bundle, path: Path, kept: Sequence[KeptWidths] = KEPT) -> Bundle:
    """Prunes the model of a bundle ``--with-torch`` and writes its bundle, without int8."""
    shutil.copytree(bundle.path, path)
    model = load_stock(path / "torch")
    stock = Merged(model, model, (), 0)
    resize(model, backbone_spec(model.config.model_type), kept)
    merged = stock.resized(model)
    shutil.rmtree(path / "torch")
    merged.save(path / "torch")
    lower(merged, path / "onnx" / "model.onnx", exporter=Exporter.TORCH)
    model.config.to_json_file(path / "config.json", use_diff=False)
    variants = {name: v for name, v in bundle.manifest.variants.items() if v.scheme is None}
    manifest = replace(bundle.manifest, variants=variants, structure=merged.structure)
    Bundle.write(path, manifest)
    return Bundle.open(path)
