"""From a merged model to its graph: bottlenecks prevent no fusion and change no logits."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from edgeadapt.adapters.bottleneck import site
from edgeadapt.backbones import backbone_spec
from edgeadapt.exporters import export_onnx
from edgeadapt.exporters.lowering import lower
from edgeadapt.graph.attention import count_attention, fuse_attention
from edgeadapt.models.merge import Merged, merge
from edgeadapt.models.unshare import unshare
from edgeadapt.recipe import AdapterConfig, Exporter, GraphPass, Placement
from edgeadapt.runtime.onnxruntime_engine import OnnxRuntimeEngine
from tests.conftest import TINY_CONFIGS
from tests.models.tiny import HIDDEN, adapt, logits, make_model, randomize
from tests.tokens import token_batch

STAYING = {
    "houlsby": AdapterConfig(method="houlsby", dimension=4),
    "sequential": AdapterConfig(method="sequential", dimension=4, scaling=2.0),
    "compacter": AdapterConfig(method="compacter", dimension=4),
    "seq_bn": AdapterConfig(method="sequential", dimension=4, original_ln_before=True),
    "par_bn": AdapterConfig(method="parallel", dimension=4, activation="relu"),
    "parallel, both": AdapterConfig(method="parallel", dimension=4, placement=Placement.BOTH),
    "parallel under houlsby": AdapterConfig(
        method="houlsby+parallel+lora", dimension=4, activation="silu", placement=Placement.BOTH
    ),
}
CASES = [
    pytest.param(model_type, name, id=f"{model_type}, {name}")
    for model_type in TINY_CONFIGS
    for name in STAYING
    if (model_type, name) != ("modernbert", "seq_bn")  # it has no LayerNorm there; refused
]


def merged_and_logits(model_type: str, config: AdapterConfig) -> tuple[Merged, np.ndarray]:
    model, spec = make_model(model_type), backbone_spec(model_type)
    if spec.groups_key:
        model = unshare(model, spec)
    classifier = adapt(model, config)
    randomize(classifier)
    expected = logits(classifier.model).numpy()
    return merge(classifier), expected


@pytest.mark.parametrize(("model_type", "name"), CASES)
def test_a_bottleneck_that_stays_costs_neither_an_answer_nor_a_fused_attention(
    tmp_path: Path, model_type: str, name: str
) -> None:
    merged, expected = merged_and_logits(model_type, STAYING[name])
    fusing = (GraphPass.ATTENTION,)

    lower(merged, tmp_path / "all.onnx", exporter=Exporter.TORCH)
    lower(merged, tmp_path / "model.onnx", exporter=Exporter.TORCH, passes=fusing)

    found = OnnxRuntimeEngine(tmp_path / "all.onnx").run(token_batch())
    np.testing.assert_allclose(found, expected, atol=1e-5)

    found = OnnxRuntimeEngine(tmp_path / "model.onnx").run(token_batch())
    np.testing.assert_allclose(found, expected, atol=1e-5)
    export_onnx(merged.stock, tmp_path / "stock" / "model.onnx", exporter=Exporter.TORCH)
    stock = fuse_attention(onnx.load(tmp_path / "stock" / "model.onnx"))
    assert count_attention(onnx.load(tmp_path / "model.onnx")) == count_attention(stock)
    assert merged.leftover.bottlenecks > 0


@pytest.mark.parametrize("model_type", ["bert", "distilbert", "modernbert"])
def test_both_exporters_can_be_spliced(tmp_path: Path, model_type: str) -> None:
    merged, expected = merged_and_logits(model_type, STAYING["houlsby"])

    lower(merged, tmp_path / "model.onnx", exporter=Exporter.OPTIMUM)

    found = OnnxRuntimeEngine(tmp_path / "model.onnx").run(token_batch())
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("method", ["parallel", "lora", "ia3", "bitfit", "parallel+lora+ia3"])
def test_what_folds_adds_no_node(tmp_path: Path, method: str) -> None:
    merged, _ = merged_and_logits("bert", AdapterConfig(method=method, dimension=4))

    lower(merged, tmp_path / "model.onnx", exporter=Exporter.TORCH, passes=())

    export_onnx(make_model("bert"), tmp_path / "stock" / "model.onnx", exporter=Exporter.TORCH)
    operators = [
        [node.op_type for node in onnx.load(path).graph.node]
        for path in (tmp_path / "model.onnx", tmp_path / "stock" / "model.onnx")
    ]
    assert operators[0] == operators[1]


@pytest.mark.parametrize("model_type", TINY_CONFIGS)
def test_every_sublayer_begins_and_ends_with_a_dense_layer(model_type: str) -> None:
    backbone = adapt(make_model(model_type), AdapterConfig(method="head")).backbone
    for sublayer in ("attention", "ffn"):
        place = site(backbone.spec, sublayer)
        first, last = (
            backbone.layers()[0].module.get_submodule(name) for name in (place.first, place.last)
        )
        assert (first.in_features, last.out_features) == (HIDDEN, HIDDEN)
