"""The order of trials by preference."""

from dataclasses import replace

import pytest

from edgeadapt.compress.choice import by_objective
from edgeadapt.compress.step import Proposal, Trial
from edgeadapt.recipe import Objective
from tests.compress.drifts import a_drift


def trial(name: str, *, ms: float, rms: float, size: int = 1, peak: int | None = 1) -> Trial:
    drift = replace(a_drift(0, 10), rms_shift=rms)
    return Trial(Proposal(name, make=lambda folder: name), drift, size, True, ms, peak)


def chosen(objective: Objective, *trials: Trial) -> str:
    return by_objective(trials, objective)[0].name


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

    assert by_objective(trials, Objective.LATENCY, noise=noise)[0].name == name


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


def test_every_trial_has_a_place_in_the_order() -> None:
    trials = [trial(str(n), ms=n, rms=0.1 * n, size=n) for n in (5, 1, 3)]

    assert [each.name for each in by_objective(trials, Objective.SIZE)] == ["1", "3", "5"]
