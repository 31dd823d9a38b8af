"""Fusing attention: one node per layer, the same logits."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from edgeadapt.graph.attention import count_attention, fuse_attention
from edgeadapt.runtime.onnxruntime_engine import OnnxRuntimeEngine
from tests.graph.exported import exported
from tests.models.tiny import LAYERS
from tests.tokens import token_batch

FUSED = ("bert", "roberta", "xlm-roberta", "electra", "distilbert")


@pytest.mark.parametrize("model_type", FUSED)
def test_every_attention_becomes_one_node(tmp_path: Path, model_type: str) -> None:
    model = exported(tmp_path, model_type)

    fused = fuse_attention(model)

    assert count_attention(model) == 0
    assert count_attention(fused) == LAYERS


@pytest.mark.parametrize("model_type", [*FUSED, "mpnet", "deberta-v2", "modernbert"])
def test_the_answers_stay_the_same_on_padded_batches(tmp_path: Path, model_type: str) -> None:
    onnx.save(
        fuse_attention(exported(tmp_path, model_type)),
        tmp_path / "fused.onnx",
    )
    batch = token_batch()

    found = OnnxRuntimeEngine(tmp_path / "fused.onnx").run(batch)

    expected = OnnxRuntimeEngine(tmp_path / f"{model_type}.onnx").run(batch)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_padding_on_the_left_is_masked_as_well(tmp_path: Path) -> None:
    onnx.save(fuse_attention(exported(tmp_path, "bert")), tmp_path / "fused.onnx")
    ids = torch.tensor([[0, 0, 0, 7, 8, 9], [5, 6, 7, 8, 9, 10]])
    batch = token_batch(ids)

    found = OnnxRuntimeEngine(tmp_path / "fused.onnx").run(batch)

    expected = OnnxRuntimeEngine(tmp_path / "bert.onnx").run(batch)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_the_model_that_was_passed_in_stays_as_it_was(tmp_path: Path) -> None:
    model = exported(tmp_path, "bert")
    before = model.SerializeToString(deterministic=True)

    fuse_attention(model)

    assert model.SerializeToString(deterministic=True) == before
