"""All passes together: each can be left out, and none changes the logits."""

from pathlib import Path

import pytest

from edgeadapt.graph import PASSES, Architecture, rewrite
from edgeadapt.recipe import GraphPass
from tests.graph.exported import HEADS, assert_same_answers, exported, with_rows_alike
from tests.models.tiny import HIDDEN

pytestmark = pytest.mark.versions

SINGLE = Architecture(heads=HEADS, hidden=HIDDEN, pairs=False)
PAIRS = Architecture(heads=HEADS, hidden=HIDDEN, pairs=True)


def test_every_pass_has_its_place() -> None:
    assert tuple(PASSES) == tuple(GraphPass)


@pytest.mark.parametrize("left_out", GraphPass)
def test_any_pass_can_be_left_out(tmp_path: Path, left_out: GraphPass) -> None:
    model = with_rows_alike(exported(tmp_path))
    others = set(GraphPass) - {left_out}

    rewritten = rewrite(model, others, SINGLE)

    assert_same_answers(model, rewritten, tmp_path)
    assert operators_of(rewritten) != operators_of(rewrite(model, tuple(GraphPass), SINGLE))


def test_without_passes_the_graph_is_the_exporters(tmp_path: Path) -> None:
    model = exported(tmp_path)

    assert rewrite(model, (), SINGLE) == model


def test_a_model_of_pairs_keeps_its_segments(tmp_path: Path) -> None:
    model = exported(tmp_path)

    inputs = [
        {value.name for value in rewrite(model, tuple(GraphPass), known).graph.input}
        for known in (SINGLE, PAIRS)
    ]

    assert inputs[1] - inputs[0] == {"token_type_ids"}


def operators_of(model: object) -> list[str]:
    return [node.op_type for node in model.graph.node]  # type: ignore[attr-defined]
