"""Layers of different widths through export, exact passes and quantization: logits stay close."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from edgeadapt.backbones import BACKBONES, backbone_spec
from edgeadapt.exporters.lowering import lower
from edgeadapt.graph.fused import attribute
from edgeadapt.graph.unfuse import unfuse_attention
from edgeadapt.metrics import Logits
from edgeadapt.models.merge import Merged
from edgeadapt.quantize.candidate import Candidate, write
from edgeadapt.recipe import Exporter, GraphPass, Scheme
from edgeadapt.runtime.onnxruntime_engine import OnnxRuntimeEngine
from edgeadapt.runtime.openvino_engine import OpenVinoEngine
from edgeadapt.runtime.resized import KeptWidths, resize
from edgeadapt.shrink.embeddings import trim_embeddings
from edgeadapt.text import TokenBatch
from tests.models.tiny import logits, make_model
from tests.tokens import token_batch

LIMIT = 1e-4
FUSED = ("bert", "roberta", "xlm-roberta", "electra", "distilbert")
KEPT = {
    "wide to narrow": [
        KeptWidths(heads=(0, 2, 3), neurons=(1, 2, 3, 9)),
        KeptWidths(heads=(1,), neurons=(7,)),
        KeptWidths(heads=(3, 2), neurons=range(20)),
    ],
    "an empty first layer": [KeptWidths((), ()), KeptWidths((1, 2)), KeptWidths()],
    "an empty last layer": [KeptWidths(), KeptWidths((1,), (4,)), KeptWidths((), ())],
    "empty sublayers": [KeptWidths(()), KeptWidths(neurons=()), KeptWidths((), range(4))],
}
HEADS = {
    "wide to narrow": [3, 1, 2],
    "an empty first layer": [2, 4],
    "an empty last layer": [4, 1],
    "empty sublayers": [4],
}
every_structure = pytest.mark.parametrize("kept", KEPT)


def pruned(model_type: str, kept: str) -> Merged:
    """A model of three layers of four heads, resized."""
    spec = backbone_spec(model_type)
    heads = "n_heads" if model_type == "distilbert" else "num_attention_heads"
    model = make_model(model_type, **{heads: 4, spec.depth_key: 3})
    widths: Sequence[KeptWidths] = KEPT[kept]
    if spec.attention is None:
        widths = [replace(each, heads=None) for each in widths]
    resize(model, spec, widths)
    return Merged(model, model, (), 0).resized(model)


def heads_of(model: onnx.ModelProto) -> list[int]:
    """Heads of each fused attention, in the order of the layers."""
    return [
        int(attribute(node, "num_heads") or 0)
        for node in model.graph.node
        if node.op_type == "Attention"
    ]


def answers(path: Path) -> Logits:
    return OnnxRuntimeEngine(path, threads=1).run(token_batch())


@every_structure
@pytest.mark.parametrize("exporter", [Exporter.TORCH, Exporter.OPTIMUM])
@pytest.mark.parametrize("model_type", FUSED)
def test_each_attention_is_one_node_with_the_heads_of_its_layer(
    tmp_path: Path, model_type: str, exporter: Exporter, kept: str
) -> None:
    merged = pruned(model_type, kept)
    expected = logits(merged.model).numpy()

    lower(merged, tmp_path / "m.onnx", exporter=exporter, passes=(GraphPass.ATTENTION,))

    assert heads_of(onnx.load(tmp_path / "m.onnx")) == HEADS[kept]
    np.testing.assert_allclose(answers(tmp_path / "m.onnx"), expected, rtol=0, atol=LIMIT)


@every_structure
@pytest.mark.parametrize(
    "model_type", [name for name, spec in BACKBONES.items() if not spec.groups_key]
)
def test_all_passes_together_change_no_logits(tmp_path: Path, model_type: str, kept: str) -> None:
    merged = pruned(model_type, kept)
    expected = logits(merged.model).numpy()

    lower(merged, tmp_path / "m.onnx", exporter=Exporter.TORCH)

    np.testing.assert_allclose(answers(tmp_path / "m.onnx"), expected, rtol=0, atol=LIMIT)


def test_the_sublayers_of_an_empty_layer_add_nothing_but_their_biases(tmp_path: Path) -> None:
    lower(pruned("bert", "an empty first layer"), tmp_path / "m.onnx", exporter=Exporter.TORCH)

    graph = onnx.load(tmp_path / "m.onnx").graph
    nodes = [node for node in graph.node if "/layer.0/" in node.name]
    assert {node.op_type for node in nodes} == {"Add", "LayerNormalization"}
    assert all(0 not in tensor.dims for tensor in graph.initializer)


@every_structure
def test_fused_attention_of_different_heads_is_split_again(tmp_path: Path, kept: str) -> None:
    merged = pruned("bert", kept)
    expected = logits(merged.model).numpy()
    lower(merged, tmp_path / "m.onnx", exporter=Exporter.TORCH)

    onnx.save(unfuse_attention(onnx.load(tmp_path / "m.onnx")), tmp_path / "apart.onnx")

    assert heads_of(onnx.load(tmp_path / "apart.onnx")) == []
    np.testing.assert_allclose(answers(tmp_path / "apart.onnx"), expected, rtol=0, atol=LIMIT)
    found = OpenVinoEngine(tmp_path / "apart.onnx", threads=1).run(token_batch())
    np.testing.assert_allclose(found, expected, rtol=0, atol=LIMIT)


@every_structure
@pytest.mark.parametrize("model_type", ["bert", "distilbert"])
@pytest.mark.parametrize("scheme", Scheme)
def test_every_scheme_quantizes_layers_of_different_widths(
    tmp_path: Path, model_type: str, scheme: Scheme, kept: str
) -> None:
    merged = pruned(model_type, kept)
    expected = logits(merged.model).numpy()
    fused = scheme is Scheme.DYNAMIC_INT8
    passes = tuple(name for name in GraphPass if fused or name is not GraphPass.ATTENTION)
    lower(merged, tmp_path / "m.onnx", exporter=Exporter.TORCH, passes=passes)
    graph = onnx.load(tmp_path / "m.onnx")
    names = [value.name for value in graph.graph.input]

    write(
        Candidate(scheme, fused=fused, block_size=16),
        graph,
        tmp_path / "q.onnx",
        texts=[token_batch().select(names)],
    )

    difference = np.abs(answers(tmp_path / "q.onnx") - expected).max()
    assert difference < (0.5 if scheme is Scheme.INT4_WEIGHTS else 0.1)
    if scheme is Scheme.STATIC_INT8:
        found = OpenVinoEngine(tmp_path / "q.onnx", threads=1).run(token_batch())
        assert np.abs(found - expected).max() < 0.1


def test_a_pruned_model_can_lose_word_pieces(tmp_path: Path) -> None:
    merged = pruned("bert", "wide to narrow")
    expected = logits(merged.model).numpy()
    whole = token_batch()
    rows = [0, *sorted(set(whole.input_ids.flatten().tolist()) - {0})]

    trim_embeddings(merged.model, rows)

    lower(merged, tmp_path / "m.onnx", exporter=Exporter.TORCH)
    batch = TokenBatch(
        np.searchsorted(np.array(rows), whole.input_ids),
        whole.attention_mask,
        whole.token_type_ids,
    )
    found = OnnxRuntimeEngine(tmp_path / "m.onnx", threads=1).run(batch)
    np.testing.assert_allclose(found, expected, rtol=0, atol=LIMIT)
