"""Position embeddings are sliced from the beginning of their table."""

from pathlib import Path

import pytest

from edgeadapt.graph.positions import slice_positions
from tests.conftest import TINY_CONFIGS
from tests.graph.exported import assert_same_answers, exported, operators

NUMBERED = ("bert", "electra", "distilbert", "albert")
"""Backbones that number positions from 0, whatever the text."""


@pytest.mark.parametrize("model_type", TINY_CONFIGS)
def test_the_answers_stay_the_same(tmp_path: Path, model_type: str) -> None:
    model = exported(tmp_path, model_type)

    assert_same_answers(model, slice_positions(model), tmp_path)


@pytest.mark.parametrize("model_type", NUMBERED)
def test_a_slice_stands_for_the_look_up(tmp_path: Path, model_type: str) -> None:
    model = exported(tmp_path, model_type)

    sliced = slice_positions(model)

    assert len(operators(sliced, "Gather")) < len(operators(model, "Gather"))
    tables = {tensor.name for tensor in sliced.graph.initializer if "position" in tensor.name}
    assert [n for n in operators(sliced, "Slice") if n.input[0] in tables]


@pytest.mark.parametrize("model_type", ["roberta", "xlm-roberta", "mpnet"])
def test_positions_that_depend_on_the_text_are_looked_up(tmp_path: Path, model_type: str) -> None:
    model = exported(tmp_path, model_type)

    same = slice_positions(model)

    assert len(operators(same, "Gather")) == len(operators(model, "Gather"))
