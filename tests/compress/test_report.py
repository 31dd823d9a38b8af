"""One report over a chain of steps, for all kinds of steps."""

from pathlib import Path

from edgeadapt.compress.budget import DECIDING_TEXTS, SLACK, Budget
from edgeadapt.compress.report import compression_of
from edgeadapt.recipe import Objective
from tests.compress.drifts import a_drift
from tests.compress.test_climb import Exact, Losing, climbed, wrong
from tests.store.handmade import make_step

SPENT = a_drift(3, of=100)


def test_each_step_says_what_was_tried_what_was_chosen_and_what_it_was_given(
    tmp_path: Path,
) -> None:
    first = Losing("a", [[wrong(1, 2, 3, 4, 5)], [wrong(1)]], candidates="ways to a")
    chain = climbed(tmp_path, first, Exact("b", [[wrong()]]), Losing("c", [[wrong(2)]]))

    found = compression_of(chain, budget=Budget(0.02), spent=SPENT, objective=Objective.SIZE)

    a, c = found.steps  # what is exact has nothing to tell
    assert (a.name, a.candidates, a.title, a.chosen) == ("a", "ways to a", "a [1]", "a [1]")
    assert [trial.allowed for trial in a.trials] == [False, True]
    assert a.taken.drift.accuracy_drop == 1 / 100
    assert (a.baseline.bytes, c.baseline.bytes) == (100, 101)  # c was given what a had made
    assert c.taken.drift.accuracy_drop == 2 / 100  # of both, from the uncompressed model on
    assert (found.max_drop, found.texts, found.objective) == (0.02, 100, "size")
    assert (found.deciding_texts, found.slack) == (DECIDING_TEXTS, SLACK)


def test_after_the_last_step_the_finished_file_counts(tmp_path: Path) -> None:
    chain = climbed(tmp_path, Losing("a", [[wrong(1)]]), Losing("b", [[wrong()]]))

    found = compression_of(chain, budget=Budget(0.05), spent=SPENT)

    assert [(step.name, cost.accuracy_drop) for step, cost in found.costs] == [
        ("a", 1 / 100),
        ("b", 3 / 100),
    ]


def test_a_step_that_is_taken_again_takes_the_place_of_its_former_report(tmp_path: Path) -> None:
    earlier = (make_step(name="vocabulary"), make_step(name="a", title="former"))
    chain = climbed(tmp_path, Losing("a", [[wrong(1)]]))

    found = compression_of(chain, budget=Budget(0.05), spent=SPENT, earlier=earlier)

    assert [step.title for step in found.steps] == [
        "quantized (dynamic-int8) against fp32",
        "a [1]",
    ]
