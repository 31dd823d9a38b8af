"""Lower a merged model to its fp32 graph: export, splice in bottlenecks, apply exact passes."""

from collections.abc import Collection
from pathlib import Path

import onnx

from edgeadapt.adapters import Kept
from edgeadapt.adapters.bottleneck import site
from edgeadapt.backbones import BackboneSpec, backbone_spec
from edgeadapt.exporters import export_onnx
from edgeadapt.exporters.fragment import export_fragment
from edgeadapt.graph import rewrite
from edgeadapt.graph.splice import Splice, splice
from edgeadapt.models.merge import Merged
from edgeadapt.recipe import Exporter, GraphPass

__all__ = ["lower"]


def lower(
    merged: Merged,
    path: Path,
    *,
    exporter: Exporter,
    passes: Collection[GraphPass] = tuple(GraphPass),
    pairs: bool = False,
) -> Exporter:
    """Writes a merged model as one ONNX file and returns the exporter that was used.

    The stock part is exported and its attention fused; then the bottlenecks that did not fold are
    spliced in, which would break the pattern that the fusion matches; the other passes follow.

    Args:
        merged: The model.
        path: The file to write.
        exporter: The exporter of the stock part.
        passes: Exact passes over the graph.
        pairs: Whether the model's input is pairs of texts.

    Raises:
        MissingExtraError: The exporter is not installed.
        ExportError: The model cannot be exported.
    """
    used = export_onnx(merged.stock, path, exporter=exporter)
    first = {GraphPass.ATTENTION} & set(passes)
    model = rewrite(onnx.load(path), first, pairs=pairs)
    if merged.kept:
        spec = backbone_spec(merged.stock.config.model_type)
        opset = next(o.version for o in model.opset_import if o.domain in ("", "ai.onnx"))
        model = splice(model, [_splice(kept, spec, opset) for kept in merged.kept])
    onnx.save(rewrite(model, set(passes) - first, pairs=pairs), path)
    return used


def _splice(kept: Kept, spec: BackboneSpec, opset: int) -> Splice:
    place = site(spec, kept.sublayer)
    return Splice(
        dense=f"{kept.layer}.{place.last}",
        first=f"{kept.layer}.{place.first}",
        reads=kept.reads,
        fragment=export_fragment(kept.module(), hidden=kept.down.in_features, opset=opset),
    )
