"""What may be chosen of the candidates, what is, and what is said where none may be."""

from dataclasses import replace

import numpy as np
import pytest

from edgeadapt.config import Objective, Scheme, Task
from edgeadapt.metrics import Drift, drift
from edgeadapt.quantize.candidate import Candidate
from edgeadapt.quantize.trial import Budget, Trial, best, refusal

SINGLE = Task.SINGLE_LABEL
USUAL = Candidate(Scheme.DYNAMIC_INT8)
BUDGET = Budget(max_drop=0.01, objective=Objective.LATENCY)


def a_drift(drop: int, of: int) -> Drift:
    before = np.eye(2, dtype=np.float32)[np.zeros(of, dtype=int)]
    after = np.eye(2, dtype=np.float32)[[1] * drop + [0] * (of - drop)]
    return drift(before, after, np.zeros(of, dtype=np.int64), task=SINGLE)


# The budget


@pytest.mark.parametrize(
    ("drop", "of", "max_drop"),
    [(0, 10, 0.0), (1, 200, 0.01), (1, 100, 0.01), (2, 200, 0.01), (3, 50, 0.06), (7, 10, 0.7)],
)
def test_a_drop_of_no_more_than_is_allowed_is_within_the_budget(
    drop: int, of: int, max_drop: float
) -> None:
    assert replace(BUDGET, max_drop=max_drop).met_by(a_drift(drop, of))


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

    assert not replace(BUDGET, max_drop=1.0).met_by(found)


# Choosing


def trial(name: str, *, ms: float, rms: float, size: int = 1, peak: int | None = 1) -> Trial:
    drift = replace(a_drift(0, 10), rms_shift=rms)
    return Trial(replace(USUAL, keep=(name,)), drift, size, True, ms, peak)


def chosen(objective: Objective, *trials: Trial) -> str:
    return best(trials, objective).candidate.keep[0]


def test_the_fastest_is_chosen_and_of_those_about_as_fast_the_most_exact() -> None:
    trials = (
        trial("fast", ms=1.0, rms=0.3),
        trial("exact", ms=1.04, rms=0.1),
        trial("slow", ms=1.2, rms=0.0),
    )

    assert chosen(Objective.LATENCY, *trials) == "exact"


@pytest.mark.parametrize(("noise", "name"), [(0.0, "fast"), (0.25, "exact"), (5.0, "exact")])
def test_on_a_busy_machine_more_are_about_as_fast_but_never_all(noise: float, name: str) -> None:
    trials = [
        trial("fast", ms=1.0, rms=0.3),
        trial("exact", ms=1.2, rms=0.1),
        trial("slow", ms=1.4, rms=0.0),
    ]

    assert best(trials, Objective.LATENCY, noise=noise).candidate.keep == (name,)


def test_of_those_about_as_fast_a_much_larger_one_is_not_chosen() -> None:
    trials = (
        trial("small", ms=1.0, rms=0.3, size=20),
        trial("as small", ms=1.0, rms=0.2, size=21),
        trial("large", ms=1.0, rms=0.1, size=50),
    )

    assert chosen(Objective.LATENCY, *trials) == "as small"


def test_the_smallest_or_the_lightest_is_chosen_where_that_is_asked_for() -> None:
    trials = (
        trial("fast", ms=1.0, rms=0.3, size=50, peak=50),
        trial("small", ms=2.0, rms=0.3, size=10, peak=40),
        trial("light", ms=3.0, rms=0.3, size=20, peak=10),
    )

    assert chosen(Objective.SIZE, *trials) == "small"
    assert chosen(Objective.MEMORY, *trials) == "light"


def test_of_those_of_about_the_same_size_the_most_exact_is_chosen() -> None:
    trials = (
        trial("smallest", ms=1.0, rms=0.5, size=1_000),
        trial("exact", ms=1.0, rms=0.1, size=1_015),
        trial("large", ms=1.0, rms=0.0, size=1_030),
    )

    assert chosen(Objective.SIZE, *trials) == "exact"


def test_where_memory_cannot_be_read_the_size_stands_for_it() -> None:
    trials = (
        trial("large", ms=1.0, rms=0.1, size=50, peak=None),
        trial("small", ms=2.0, rms=0.3, size=10, peak=None),
    )

    assert chosen(Objective.MEMORY, *trials) == "small"


def test_a_refusal_gives_the_figures_of_the_best() -> None:
    trials = [
        Trial(USUAL, a_drift(8, 40), 1, False),
        Trial(replace(USUAL, per_channel=False), a_drift(4, 40), 1, False),
    ]

    message = refusal(trials, BUDGET).message

    for words in (
        "None of 2",
        "The best, dynamic-int8, per tensor",
        "100.00% -> 90.00% on 40 held-out texts, a drop of 10.00 points (95 % interval",
        "allowed are 1.00.",
        "90.00% of the labels are the same",
    ):
        assert words in message
