"""The embedding of the only segment is added to the position embeddings."""

from pathlib import Path

import onnx
import pytest

from edgeadapt.graph.token_types import fold_token_types
from tests.conftest import TINY_CONFIGS
from tests.graph.exported import assert_same_answers, exported, fused, operators


def names_of_inputs(model: onnx.ModelProto) -> list[str]:
    return [value.name for value in model.graph.input]


@pytest.mark.parametrize("model_type", TINY_CONFIGS)
def test_the_answers_stay_the_same_without_segment_ids(tmp_path: Path, model_type: str) -> None:
    model = exported(tmp_path, model_type)

    folded = fold_token_types(model)

    assert_same_answers(model, folded, tmp_path)
    assert names_of_inputs(folded) == ["input_ids", "attention_mask"]


@pytest.mark.parametrize("model_type", ["bert", "electra", "albert"])
def test_one_look_up_and_one_sum_go(tmp_path: Path, model_type: str) -> None:
    model = fused(tmp_path, model_type)

    folded = fold_token_types(model)

    assert "token_type_ids" in names_of_inputs(model)
    for operator in ("Gather", "Add"):
        assert len(operators(folded, operator)) == len(operators(model, operator)) - 1
    assert not any("token_type_embeddings" in t.name for t in folded.graph.initializer)


def test_the_model_that_was_passed_in_stays_as_it_was(tmp_path: Path) -> None:
    model = exported(tmp_path)
    before = model.SerializeToString(deterministic=True)

    fold_token_types(model)

    assert model.SerializeToString(deterministic=True) == before
