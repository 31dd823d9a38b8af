"""The accuracy budget of all compression steps together."""

import numpy as np
import pytest

from edgeadapt.compress.budget import Budget, Reference
from edgeadapt.metrics import drift
from edgeadapt.recipe import Task
from tests.compress.drifts import a_drift

SINGLE = Task.SINGLE_LABEL
BUDGET = Budget(max_drop=0.01)


@pytest.mark.parametrize(
    ("drop", "of", "max_drop"),
    [(0, 10, 0.0), (1, 200, 0.01), (1, 100, 0.01), (2, 200, 0.01), (3, 50, 0.06), (7, 10, 0.7)],
)
def test_a_drop_of_no_more_than_is_allowed_is_within_the_budget(
    drop: int, of: int, max_drop: float
) -> None:
    assert Budget(max_drop).met_by(a_drift(drop, of))


@pytest.mark.parametrize(("drop", "of"), [(1, 10), (2, 100), (3, 200), (100, 100)])
def test_a_larger_drop_is_not(drop: int, of: int) -> None:
    assert not BUDGET.met_by(a_drift(drop, of))


def test_from_a_thousand_texts_on_the_interval_counts_too() -> None:
    generator = np.random.default_rng(0)
    for count, allowed in ((999, True), (1_000, False)):
        # Many answers change both ways: the drop is small, and nobody knows how small.
        labels = np.zeros(count, dtype=np.int64)
        wrong = generator.permutation(count)
        before = np.eye(2, dtype=np.float32)[(wrong < 300).astype(int)]
        after = np.eye(2, dtype=np.float32)[(wrong >= count - 300).astype(int)]
        found = drift(before, after, labels, task=SINGLE)

        assert found.accuracy_drop == 0
        assert found.drop_interval[1] > 0.02
        assert BUDGET.met_by(found) is allowed


def test_answers_that_are_not_numbers_never_are() -> None:
    # argmax of NaN is 0: the label of every text here.
    nan = np.full((20, 2), np.nan, dtype=np.float32)
    ones = np.eye(2, dtype=np.float32)[np.zeros(20, dtype=int)]
    found = drift(ones, nan, np.zeros(20, dtype=np.int64), task=SINGLE)

    assert not Budget(1.0).met_by(found)


def test_a_cost_is_measured_from_the_reference() -> None:
    right = np.eye(3, dtype=np.float32)[[0, 1, 2, 0]]
    labels = np.array([0, 1, 2, 1])
    reference = Reference(("a", "b", "c", "d"), labels, SINGLE, right)

    cost = reference.cost_of(right[[1, 1, 2, 0]])

    assert (cost.texts, cost.accuracy_before, cost.accuracy_after) == (4, 0.75, 0.5)
    assert cost.accuracy_drop == 0.25


def test_the_halves_share_no_text_and_lose_none() -> None:
    texts = tuple(map(str, range(7)))
    logits = np.arange(14, dtype=np.float32).reshape(7, 2)
    whole = Reference(texts, np.arange(7), SINGLE, logits)

    choosing, judging = whole.halves()

    assert choosing.texts == ("0", "2", "4", "6")
    assert judging.texts == ("1", "3", "5")
    assert judging.labels.tolist() == [1, 3, 5]
    assert judging.logits.tolist() == logits[1::2].tolist()
