"""Fused attention is split again, with the same logits."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edgeadapt.errors import ExportError
from edgeadapt.graph import PASSES, rewrite
from edgeadapt.graph.attention import count_attention
from edgeadapt.graph.unfuse import unfuse_attention
from edgeadapt.quantize.candidate import Candidate, write
from edgeadapt.quantize.products import products
from edgeadapt.recipe import GraphPass, Scheme
from tests.graph.exported import answers, assert_same_answers, exported, fused, operators
from tests.graph.test_attention import FUSED
from tests.models.tiny import LAYERS
from tests.tokens import token_batch

Inputs = dict[str, NDArray[np.generic]]


def attention(
    *,
    width: int = 8,
    heads: int = 2,
    size: int = 4,
    masked: bool = True,
    output: str = "y",
    inputs: tuple[str, ...] = (),
    **attributes: object,
) -> onnx.ModelProto:
    """A graph of one ``Attention``, with random weights large enough to tell positions apart."""
    generator = np.random.default_rng(width * 100 + heads * 10 + size)
    constants = {
        "weights": (generator.normal(size=(width, 3 * heads * size)) / width**0.5).astype(
            np.float32
        ),
        "biases": generator.normal(size=3 * heads * size).astype(np.float32),
    }
    node = helper.make_node(
        "Attention",
        ["x", "weights", "biases", *(["mask"] if masked else []), *inputs],
        [output],
        name="Attention_0",
        domain="com.microsoft",
        num_heads=heads,
        **attributes,
    )
    given = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", "seq", width])]
    if masked:
        given += [helper.make_tensor_value_info("mask", TensorProto.INT32, ["batch", "seq"])]
    graph = helper.make_graph(
        [node],
        "attention",
        given,
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def run(model: onnx.ModelProto, inputs: Inputs) -> NDArray[np.float32]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return np.asarray(session.run(None, inputs)[0])


def made(batch: int, length: int, width: int, masks: list[list[bool]] | None) -> Inputs:
    generator = np.random.default_rng(batch * 100 + length)
    inputs: Inputs = {"x": generator.normal(size=(batch, length, width)).astype(np.float32)}
    if masks is not None:
        inputs["mask"] = np.asarray(masks, dtype=np.int32).reshape(batch, length)
    return inputs


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_products_answer_as_the_node_for_every_shape_and_every_mask(data: st.DataObject) -> None:
    batch, length = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 24))
    heads, size = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 6))
    masked = data.draw(st.booleans())
    masks = None
    if masked:  # padding anywhere, even everywhere
        cells = st.lists(st.booleans(), min_size=length, max_size=length)
        masks = data.draw(st.lists(cells, min_size=batch, max_size=batch))
    attributes: dict[str, object] = {}
    if data.draw(st.booleans()):
        attributes["mask_filter_value"] = data.draw(
            st.sampled_from([-1.0, -1e4, float(np.finfo(np.float32).min)])
        )
    if data.draw(st.booleans()):
        attributes["scale"] = data.draw(st.floats(0.125, 2, width=32))
    model = attention(width=8, heads=heads, size=size, masked=masked, **attributes)
    inputs = made(batch, length, 8, masks)

    found = run(unfuse_attention(model), inputs)

    np.testing.assert_allclose(found, run(model, inputs), rtol=0, atol=1e-5)


def test_no_attention_is_left_and_the_model_that_was_passed_in_stays_as_it_was() -> None:
    model = attention()
    before = model.SerializeToString(deterministic=True)

    apart = unfuse_attention(model)

    assert count_attention(model) == 1
    assert count_attention(apart) == 0
    assert model.SerializeToString(deterministic=True) == before


@pytest.mark.parametrize("model_type", FUSED)
@pytest.mark.parametrize("passes", [(GraphPass.ATTENTION,), tuple(GraphPass)])
def test_the_answers_of_a_classifier_stay_the_same(
    tmp_path: Path, model_type: str, passes: tuple[GraphPass, ...]
) -> None:
    model = rewrite(exported(tmp_path, model_type), passes, pairs=False)
    assert count_attention(model)

    apart = unfuse_attention(model)

    assert count_attention(apart) == 0
    assert_same_answers(model, apart, tmp_path)


@pytest.mark.parametrize("model_type", ["mpnet", "albert", "deberta-v2", "modernbert"])
def test_what_was_not_fused_is_only_copied(tmp_path: Path, model_type: str) -> None:
    model = PASSES[GraphPass.RESIDUAL_SUMS](exported(tmp_path, model_type), False)

    assert unfuse_attention(model) == model


@pytest.mark.parametrize("model_type", FUSED)
def test_products_are_named_after_the_layers_that_they_are_part_of(
    tmp_path: Path, model_type: str
) -> None:
    whole = {product.node for product in products(exported(tmp_path, model_type))}

    found = {product.node for product in products(unfuse_attention(fused(tmp_path, model_type)))}

    own = {name for name in found if name.endswith("/query_key_value/MatMul")}
    assert len(own) == LAYERS
    assert found - own < whole  # all others as an exporter names them
    for name in own:  # beside the three that it stands for
        scope = name.removesuffix("/query_key_value/MatMul")
        assert len([other for other in whole - found if other.startswith(f"{scope}/")]) == 3


def test_layers_share_what_is_added_for_their_mask(tmp_path: Path) -> None:
    apart = unfuse_attention(fused(tmp_path))

    assert count_attention(fused(tmp_path)) == LAYERS > 1
    assert len(operators(apart, "Where")) == 1


@pytest.mark.parametrize("scheme", [Scheme.STATIC_INT8, Scheme.INT8_WEIGHTS, Scheme.INT4_WEIGHTS])
def test_schemes_that_know_no_such_node_quantize_every_product(
    tmp_path: Path, scheme: Scheme
) -> None:
    batch = token_batch()
    apart = unfuse_attention(fused(tmp_path))
    inputs = batch.select([value.name for value in apart.graph.input])

    write(Candidate(scheme, fused=False), apart, tmp_path / "q.onnx", texts=[inputs])

    quantized = onnx.load(tmp_path / "q.onnx")
    assert products(quantized) == []
    assert np.isfinite(answers(quantized, tmp_path, batch)).all()


@pytest.mark.parametrize(
    "model",
    [
        attention(unidirectional=1),
        attention(do_rotary=1),
        attention(qkv_hidden_sizes=[8, 8, 8]),
        attention(inputs=("", "bias")),
    ],
    ids=["unidirectional", "rotary", "sizes", "bias"],
)
def test_an_attention_of_another_kind_is_refused_by_name(model: onnx.ModelProto) -> None:
    with pytest.raises(ExportError, match="'Attention_0' cannot be split"):
        unfuse_attention(model)


def test_an_attention_without_module_in_its_output_is_named_after_the_node() -> None:
    (product,) = products(unfuse_attention(attention(output="y")))

    assert product.node == "Attention_0/query_key_value/MatMul"
