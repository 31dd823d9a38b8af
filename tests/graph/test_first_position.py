"""The last layer computes only the first position, with the same logits."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edgeadapt.graph.attention import count_attention
from edgeadapt.graph.first_position import first_position_only
from edgeadapt.quantize.dynamic_int8 import quantize_dynamic_int8
from edgeadapt.runtime.onnxruntime_engine import OnnxRuntimeEngine
from tests.conftest import TINY_CONFIGS
from tests.graph.exported import answers, assert_same_answers, exported, fused, operators
from tests.graph.test_attention import FUSED
from tests.models.tiny import LAYERS
from tests.tokens import token_batch


@pytest.mark.parametrize("model_type", TINY_CONFIGS)
@pytest.mark.parametrize("make", [exported, fused])
def test_the_answers_stay_the_same(tmp_path: Path, model_type: str, make: object) -> None:
    model = make(tmp_path, model_type)  # type: ignore[operator]

    assert_same_answers(model, first_position_only(model), tmp_path)


@pytest.mark.parametrize("model_type", FUSED)
def test_the_last_attention_has_one_query_and_projects_no_keys(
    tmp_path: Path, model_type: str
) -> None:
    model = fused(tmp_path, model_type)

    first = first_position_only(model)

    assert count_attention(model) == LAYERS
    assert count_attention(first) == LAYERS - 1
    assert len(answers(first, tmp_path)) == 4


@pytest.mark.parametrize("model_type", ["mpnet", "deberta-v2", "modernbert"])
def test_where_attention_is_not_one_node_the_rest_of_the_layer_is_reduced(
    tmp_path: Path, model_type: str
) -> None:
    model = fused(tmp_path, model_type)

    first = first_position_only(model)

    picked = [n for n in operators(first, "Gather") if "first_position" in n.input]
    # What attention gives and the residual; or that, and both halves of a gated FFN.
    assert len(picked) == (3 if model_type == "modernbert" else 2)


def test_the_reduced_layer_can_be_quantized(tmp_path: Path) -> None:
    first = first_position_only(fused(tmp_path))
    onnx.save(first, tmp_path / "first.onnx")

    onnx.save(quantize_dynamic_int8(first), tmp_path / "int8.onnx")

    found = OnnxRuntimeEngine(tmp_path / "int8.onnx").run(token_batch())
    expected = OnnxRuntimeEngine(tmp_path / "first.onnx").run(token_batch())
    np.testing.assert_allclose(found, expected, atol=0.5)
    weights = [t for t in onnx.load(tmp_path / "int8.onnx").graph.initializer if len(t.dims) == 2]
    floats = [t.name for t in weights if t.data_type == TensorProto.FLOAT]
    assert not [name for name in floats if name.endswith("_weight")]


@pytest.mark.parametrize("given", [False, True])
def test_a_model_that_reads_every_position_is_only_copied(tmp_path: Path, given: bool) -> None:
    model = fused(tmp_path)
    output = operators(model, "LayerNormalization")[-1].output[0]
    if not given:
        model.graph.node.append(helper.make_node("ReduceMean", [output], ["mean"], keepdims=0))
        output = "mean"
    model.graph.output.append(helper.make_tensor_value_info(output, TensorProto.FLOAT, None))

    same = first_position_only(model)

    assert count_attention(same) == LAYERS
    assert sorted(n.name for n in same.graph.node) == sorted(n.name for n in model.graph.node)
