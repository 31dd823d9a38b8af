"""From a merged model to its fp32 graph: export, and splice what did not fold."""

from pathlib import Path

import onnx

from edgeadapt.adapters import Kept
from edgeadapt.adapters.bottleneck import site
from edgeadapt.backbones import BackboneSpec, backbone_spec
from edgeadapt.config import Exporter
from edgeadapt.export import export_onnx
from edgeadapt.export.fragment import export_fragment
from edgeadapt.graph.attention import fuse_attention
from edgeadapt.graph.splice import Splice, splice
from edgeadapt.models.merge import Merged

__all__ = ["lower"]


def lower(merged: Merged, path: Path, *, exporter: Exporter) -> Exporter:
    """Writes a merged model as one ONNX file and returns the exporter that was used.

    A stock model is exported as it is. Otherwise its stock part is, attention is fused while its
    shape is still the known one, and the bottlenecks that stayed are spliced in.

    Raises:
        MissingExtraError: The exporter is not installed.
        ExportError: The model cannot be expressed.
    """
    used = export_onnx(merged.stock, path, exporter=exporter)
    if merged.is_stock:
        return used
    config = merged.stock.config
    model = fuse_attention(
        onnx.load(path), heads=config.num_attention_heads, hidden=config.hidden_size
    )
    spec = backbone_spec(config.model_type)
    opset = next(each.version for each in model.opset_import if each.domain in ("", "ai.onnx"))
    splices = [_splice(kept, spec, opset) for kept in merged.kept]
    onnx.save(splice(model, splices), path)
    return used


def _splice(kept: Kept, spec: BackboneSpec, opset: int) -> Splice:
    place = site(spec, kept.sublayer)
    return Splice(
        dense=f"{kept.layer}.{place.last}",
        first=f"{kept.layer}.{place.first}",
        reads=kept.reads,
        fragment=export_fragment(kept.module(), hidden=kept.down.in_features, opset=opset),
    )
