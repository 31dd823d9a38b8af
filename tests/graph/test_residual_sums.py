"""Residual sums are not fused with LayerNormalization, in any session."""

from pathlib import Path

import onnx
import onnxruntime
import pytest

from edgeadapt.graph.residual_sums import keep_residual_sums
from edgeadapt.quantize.dynamic_int8 import quantize_dynamic_int8
from tests.conftest import TINY_CONFIGS
from tests.graph.exported import assert_same_answers, fused, operators
from tests.models.tiny import LAYERS


@pytest.mark.parametrize("model_type", TINY_CONFIGS)
def test_the_answers_stay_the_same(tmp_path: Path, model_type: str) -> None:
    model = fused(tmp_path, model_type)

    assert_same_answers(model, keep_residual_sums(model), tmp_path)


def test_every_residual_sum_is_kept_and_no_bias(tmp_path: Path) -> None:
    model = fused(tmp_path)

    kept = keep_residual_sums(model)

    changed = len(operators(model, "Add")) - len(operators(kept, "Add"))
    assert len(operators(kept, "Sum")) == changed == 2 * LAYERS + 1  # and that of the embeddings
    assert not operators(model, "Sum")


def test_a_session_with_default_options_fuses_none_of_them_in_int8(tmp_path: Path) -> None:
    model = fused(tmp_path)

    assert fused_sums(model, tmp_path)
    assert not fused_sums(keep_residual_sums(model), tmp_path)


def fused_sums(model: onnx.ModelProto, folder: Path) -> list[onnx.NodeProto]:
    """The fused sums in the graph that a session makes for itself of a quantized model."""
    onnx.save(quantize_dynamic_int8(model), folder / "int8.onnx")
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(folder / "optimized.onnx")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(
        str(folder / "int8.onnx"), options, providers=["CPUExecutionProvider"]
    )
    return operators(onnx.load(folder / "optimized.onnx"), "SkipLayerNormalization")
