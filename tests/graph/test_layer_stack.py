"""Stacks of layers: the graph that a stock classifier has after export and the exact passes."""

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedModel

from edgeadapt.graph import rewrite
from edgeadapt.graph.attention import count_attention
from edgeadapt.graph.layer_stack import EncoderShape, Weights, layer_stack, unshared
from edgeadapt.recipe import GraphPass
from edgeadapt.store.structure import Structure
from tests.graph.exported import answers, assert_same_answers, exported
from tests.models.tiny import HIDDEN, INTERMEDIATE, LAYERS, make_model

HEADS = 2
"""Attention heads of the tiny models."""
FULL = Structure((HEADS,) * LAYERS, (INTERMEDIATE,) * LAYERS)


@pytest.fixture(scope="module")
def model() -> PreTrainedModel:
    return make_model("bert")


@pytest.fixture(scope="module")
def shape(model: PreTrainedModel) -> EncoderShape:
    return EncoderShape(
        hidden=HIDDEN,
        head_size=HIDDEN // HEADS,
        vocabulary=model.config.vocab_size,
        positions=model.config.max_position_embeddings,
        labels=model.config.num_labels,
    )


@pytest.fixture
def lowered(tmp_path: Path) -> onnx.ModelProto:
    return rewrite(exported(tmp_path), tuple(GraphPass), pairs=False)


def of_torch(model: PreTrainedModel) -> Weights:
    """The weights of a torch model, with token types folded into the positions."""
    state: dict[str, Tensor] = dict(model.state_dict())
    positions = "bert.embeddings.position_embeddings.weight"
    state[positions] = state[positions] + state["bert.embeddings.token_type_embeddings.weight"][0]

    def weights(name: str, size: tuple[int, ...]) -> NDArray[np.float32]:
        values: NDArray[np.float32] = state[name].numpy()
        assert values.shape == size
        return values

    return weights


def operators(model: onnx.ModelProto) -> Counter[str]:
    return Counter(node.op_type for node in model.graph.node if node.op_type != "Constant")


def test_a_stack_with_the_weights_of_a_torch_model_gives_its_logits(
    model: PreTrainedModel, shape: EncoderShape, lowered: onnx.ModelProto, tmp_path: Path
) -> None:
    stack = layer_stack(shape, FULL, of_torch(model))

    assert_same_answers(lowered, stack, tmp_path)


def test_a_stack_has_the_nodes_of_a_lowered_model(
    shape: EncoderShape, lowered: onnx.ModelProto
) -> None:
    assert operators(layer_stack(shape, FULL)) == operators(lowered)


@pytest.mark.parametrize(
    ("heads", "fused"), [((2, 2), 1), ((2, 1, 1), 2), ((2, 0, 1), 1), ((0, 1), 0), ((2, 2, 0), 1)]
)
def test_each_attention_but_the_last_is_one_node(
    shape: EncoderShape, heads: tuple[int, ...], fused: int
) -> None:
    stack = layer_stack(shape, Structure(heads, (8,) * len(heads)))

    assert count_attention(stack) == fused


@pytest.mark.parametrize("heads", [(2, 2), (2, 1, 0)])
def test_from_the_last_attention_on_a_single_position_is_computed(
    shape: EncoderShape, heads: tuple[int, ...]
) -> None:
    structure = Structure(heads, (8,) * len(heads))
    shapes = computed_shapes(layer_stack(shape, structure), tokens=5)

    positions = [size[1] for name, size in shapes.items() if name.endswith("gelu.output")]
    assert positions == [5] + [1] * (len(heads) - 1)


def test_layers_have_the_widths_of_the_structure(shape: EncoderShape) -> None:
    stack = layer_stack(shape, Structure((1, 2, 1), (8, 5, 3)))

    shapes = computed_shapes(stack, tokens=5)
    inner = [size[2] for name, size in shapes.items() if name.endswith("gelu.output")]
    context = [size[2] for name, size in shapes.items() if name.endswith("attention.context")]
    assert inner == [8, 5, 3]
    assert context == [HIDDEN // HEADS, HIDDEN]


def test_a_width_of_0_leaves_the_bias_of_the_sublayer(
    model: PreTrainedModel, shape: EncoderShape, tmp_path: Path
) -> None:
    def zeroed(name: str, size: tuple[int, ...]) -> NDArray[np.float32]:
        values = of_torch(model)(name, size)
        second = name.endswith("output.dense.weight") and "layer.0" in name
        return np.zeros_like(values) if second else values

    without = layer_stack(shape, Structure((0, HEADS), (0, INTERMEDIATE)), of_torch(model))

    assert_same_answers(layer_stack(shape, FULL, zeroed), without, tmp_path)


def test_random_weights_are_the_same_every_time(shape: EncoderShape, tmp_path: Path) -> None:
    one, other = layer_stack(shape, FULL), layer_stack(shape, FULL)

    assert np.isfinite(answers(one, tmp_path)).all()
    assert one == other


def test_layers_of_equal_widths_can_share_their_weights_and_get_their_own_again(
    shape: EncoderShape, tmp_path: Path
) -> None:
    structure = Structure((2, 1, 2, 1), (8, 5, 8, 8))

    shared = layer_stack(shape, structure, shared=True)
    own = unshared(shared)

    assert len(linears(layer_stack(shape, structure))) == len(linears(own)) == 12
    assert len(linears(shared)) == 9
    readers = Counter(name for node in own.graph.node for name in node.input)
    assert all(readers[constant.name] == 1 for constant in own.graph.initializer)
    packed = [c.raw_data for c in own.graph.initializer if "dense.weight_transposed" in c.name]
    assert len(set(packed)) == len(packed)
    assert np.isfinite(answers(own, tmp_path)).all()


def linears(model: onnx.ModelProto) -> list[str]:
    """The weights of the dense layers, without the query, key and value."""
    names = [constant.name for constant in model.graph.initializer]
    return [name for name in names if "dense.weight_transposed" in name]


def computed_shapes(model: onnx.ModelProto, *, tokens: int) -> dict[str, tuple[int, ...]]:
    """Name of each computed tensor -> its shape for one text."""
    import onnxruntime

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    names = [node.output[0] for node in model.graph.node if node.output[0] != "logits"]
    copy.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    session = onnxruntime.InferenceSession(copy.SerializeToString())
    ids = np.ones((1, tokens), np.int64)
    values = session.run(names, {"input_ids": ids, "attention_mask": ids})
    return {name: value.shape for name, value in zip(names, values, strict=True)}
