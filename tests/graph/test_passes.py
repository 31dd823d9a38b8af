"""All passes together: each can be left out, and none changes the logits."""

from pathlib import Path

import pytest

from edgeadapt.graph import PASSES, rewrite
from edgeadapt.recipe import GraphPass
from tests.graph.exported import assert_same_answers, exported, with_rows_alike

pytestmark = pytest.mark.versions


def test_every_pass_has_its_place() -> None:
    assert tuple(PASSES) == tuple(GraphPass)


@pytest.mark.parametrize("left_out", GraphPass)
def test_any_pass_can_be_left_out(tmp_path: Path, left_out: GraphPass) -> None:
    model = with_rows_alike(exported(tmp_path))
    others = set(GraphPass) - {left_out}

    rewritten = rewrite(model, others, pairs=False)

    assert_same_answers(model, rewritten, tmp_path)
    assert operators_of(rewritten) != operators_of(rewrite(model, tuple(GraphPass), pairs=False))


def test_without_passes_the_graph_is_the_exporters(tmp_path: Path) -> None:
    model = exported(tmp_path)

    assert rewrite(model, (), pairs=False) == model


def test_a_model_of_pairs_keeps_its_segments(tmp_path: Path) -> None:
    model = exported(tmp_path)

    inputs = [
        {value.name for value in rewrite(model, tuple(GraphPass), pairs=pairs).graph.input}
        for pairs in (False, True)
    ]

    assert inputs[1] - inputs[0] == {"token_type_ids"}


def operators_of(model: object) -> list[str]:
    return [node.op_type for node in model.graph.node]  # type: ignore[attr-defined]
