"""Check which adapters each backbone can fold, and how many attentions ONNX Runtime fuses.

Measured on small random models, one per row of ``edgeadapt.backbones``: the results depend on the
architecture, not on its size or weights.
"""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
from common import Shown, load, save, table

from edgeadapt.backbones import BACKBONES, BackboneSpec
from edgeadapt.recipe import AdapterConfig, Exporter, GraphPass
from edgeadapt.runtime.onnxruntime_engine import OnnxRuntimeEngine
from edgeadapt.text import TokenBatch

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from edgeadapt.models.classifier import AdaptedClassifier

__all__ = ["SHOWN"]

KINDS = (
    "parallel", "lora", "ia3", "bitfit", "layernorm", "sequential", "houlsby", "compacter"
)  # fmt: skip
LAYERS, HIDDEN = 2, 32
SIZES: dict[str, Any] = {
    "vocab_size": 100,
    "hidden_size": HIDDEN,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "max_position_embeddings": 40,
    "pad_token_id": 0,
}
SPECIAL: dict[str, dict[str, Any]] = {
    "distilbert": {"dim": HIDDEN, "n_layers": LAYERS, "n_heads": 2, "hidden_dim": 48},
    "albert": {"embedding_size": 16},
    "deberta-v2": {
        "relative_attention": True,
        "position_buckets": 8,
        "pos_att_type": ["p2c", "c2p"],
        "share_att_key": True,
        "position_biased_input": False,
        "type_vocab_size": 0,
    },
    "modernbert": {"global_attn_every_n_layers": 2, "local_attention": 16},
}
ALBERT_BASE = {
    "vocab_size": 30_000,
    "embedding_size": 128,
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
}


def main() -> None:
    rows = []
    for spec in BACKBONES.values():
        rows.append({"backbone": spec.model_type, **measure(spec)})
        print(rows[-1], flush=True)
    save("backbones", {"layers": LAYERS, "albert_base_bytes": albert_base_bytes(), "rows": rows})


def measure(spec: BackboneSpec) -> dict[str, Any]:
    kinds = {kind: _fold(spec, kind) for kind in KINDS}
    return {"attention_fused": kinds["houlsby"]["attention_nodes"], "kinds": kinds}


def _fold(spec: BackboneSpec, kind: str) -> dict[str, Any]:
    """Returns a random model with random adapters, because fresh ones have no effect."""
    import onnx

    from edgeadapt.exporters.lowering import lower
    from edgeadapt.graph.attention import count_attention
    from edgeadapt.models.merge import merge

    classifier = _adapted(spec, AdapterConfig(method=kind, dimension=4))
    batch = _batch()
    expected = _logits(classifier.model, batch)
    merged = merge(classifier)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        lower(merged, path, exporter=Exporter.TORCH, passes=(GraphPass.ATTENTION,))
        found = OnnxRuntimeEngine(path).run(batch)
        nodes = count_attention(onnx.load(path))
    return {
        "stays": merged.leftover.bottlenecks,
        "difference": float(np.abs(_logits(merged.model, batch) - expected).max()),
        "onnx_difference": float(np.abs(found - expected).max()),
        "attention_nodes": nodes,
    }


def _adapted(spec: BackboneSpec, config: AdapterConfig) -> AdaptedClassifier:
    """Returns a random model whose adapters are random too, since their initial effect is zero."""
    import torch
    from transformers import AutoConfig, AutoModelForSequenceClassification

    from edgeadapt.adapters import BackboneModel, make_adapters
    from edgeadapt.models.classifier import AdaptedClassifier
    from edgeadapt.models.unshare import unshare

    torch.manual_seed(0)
    values = {**SIZES, **SPECIAL.get(spec.model_type, {})}
    model = AutoModelForSequenceClassification.from_config(
        AutoConfig.for_model(spec.model_type, **values)
    ).eval()
    adapters = make_adapters(config)
    if spec.groups_key and any(adapter.per_layer for adapter in adapters.values()):
        model = unshare(model, spec)
    encoder = BackboneModel.of(model, spec)
    for adapter in adapters.values():
        adapter.attach(encoder)
    classifier = AdaptedClassifier(encoder, {str(k): a for k, a in adapters.items()})
    with torch.no_grad():
        for parameter in classifier.adapter_parameters().values():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return classifier


def _batch() -> TokenBatch:
    lengths = np.array([7, 4, 9, 1])
    mask = (np.arange(9) < lengths[:, None]).astype(np.int64)
    ids = np.random.default_rng(0).integers(5, 90, mask.shape) * mask
    return TokenBatch(ids, mask, np.zeros_like(mask))


def _logits(model: PreTrainedModel, batch: TokenBatch) -> np.ndarray:
    import torch

    arrays = batch.select(["input_ids", "attention_mask"])
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    with torch.inference_mode():
        return np.asarray(model(**tensors).logits)


def albert_base_bytes() -> dict[str, int]:
    """Returns fp32 bytes of ALBERT-base with shared layers, and with weights for each layer."""
    import torch
    from transformers import AutoConfig, AutoModelForSequenceClassification

    found = {}
    for name, groups in (("shared", 1), ("unshared", 12)):
        config = AutoConfig.for_model("albert", num_hidden_groups=groups, **ALBERT_BASE)
        with torch.device("meta"):
            model = AutoModelForSequenceClassification.from_config(config)
        found[name] = 4 * model.num_parameters()
    return found


def backbones() -> str:
    """What folds into which architecture."""
    found = load("backbones")
    kinds = list(found["rows"][0]["kinds"])
    lines = [
        (
            f"`{row['backbone']}`",
            *("stays" if row["kinds"][kind]["stays"] else "folds" for kind in kinds),
            f"{row['attention_fused']} of {found['layers']}",
        )
        for row in found["rows"]
    ]
    size = {name: value / 1e6 for name, value in found["albert_base_bytes"].items()}
    return (
        table(("backbone", *kinds, "attention fused"), lines)
        + "\n\nALBERT's layers share their weights. An adapter that differs from layer to layer "
        f"copies them first, which takes ALBERT-base from {size['shared']:.0f} to "
        f"{size['unshared']:.0f} MB in fp32; "
        "`bitfit`, `head` and `full` leave them shared."
    )


SHOWN = Shown(tables={"docs/reference/backbones.md": {"backbones": backbones}})


if __name__ == "__main__":
    sys.exit(main())
