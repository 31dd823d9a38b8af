"""The three sizes of a benchmark plan."""

from dataclasses import asdict

import pytest

from edgeadapt.benchmark.plan import PLANS, Effort
from edgeadapt.measure.statistics import MIN_SAMPLES_P90, MIN_SAMPLES_P99
from edgeadapt.store.plan import Plan


@pytest.mark.parametrize("effort", Effort)
def test_every_effort_gives_enough_samples_for_p90_at_fixed_lengths(effort: Effort) -> None:
    plan = PLANS[effort]

    assert plan.rounds * plan.repeats >= MIN_SAMPLES_P90


@pytest.mark.parametrize("effort", Effort)
def test_every_effort_gives_enough_samples_for_p90_on_the_texts_of_a_full_bundle(
    effort: Effort,
) -> None:
    plan = PLANS[effort]

    assert plan.rounds * plan.timed >= MIN_SAMPLES_P90


@pytest.mark.parametrize("effort", Effort)
def test_every_effort_warms_up_and_starts_more_than_one_process(effort: Effort) -> None:
    plan = PLANS[effort]

    assert plan.warmup > 0
    assert plan.rounds > 1
    assert plan.starts > 1


@pytest.mark.parametrize("effort", Effort)
def test_lengths_are_different_and_in_ascending_order(effort: Effort) -> None:
    lengths = PLANS[effort].lengths

    assert list(lengths) == sorted(set(lengths))


@pytest.mark.parametrize("effort", Effort)
def test_further_processes_answer_no_more_texts_than_the_first(effort: Effort) -> None:
    assert PLANS[effort].timed <= PLANS[effort].texts


@pytest.mark.parametrize(
    "count",
    [
        "rounds",
        "repeats",
        "warmup",
        "starts",
        "texts",
        "timed",
        "seconds",
        "bulks",
        "bulk",
        "passes",
        "calls",
        "scaling",
    ],
)
def test_more_effort_never_measures_less(count: str) -> None:
    quick, default, thorough = (
        asdict(PLANS[effort])[count] for effort in (Effort.QUICK, Effort.DEFAULT, Effort.THOROUGH)
    )

    assert quick <= default <= thorough


def test_the_default_effort_is_the_default_plan() -> None:
    assert PLANS[Effort.DEFAULT] == Plan()


def test_the_plans_cannot_be_changed() -> None:
    with pytest.raises(TypeError, match="does not support item assignment"):
        PLANS[Effort.QUICK] = Plan()  # type: ignore[index]


def test_thorough_meets_the_rules_that_it_is_modelled_on() -> None:
    plan = PLANS[Effort.THOROUGH]

    assert plan.seconds >= 60
    assert plan.rounds * plan.timed >= 1_024
    assert plan.bulk >= 1_024
    assert plan.calls >= 10_000
    assert plan.starts >= 30
    assert plan.rounds * min(plan.repeats, plan.timed) >= MIN_SAMPLES_P99


def test_quick_gives_no_p99() -> None:
    plan = PLANS[Effort.QUICK]

    assert plan.rounds * max(plan.repeats, plan.timed) < MIN_SAMPLES_P99


@pytest.mark.parametrize("effort", Effort)
def test_a_plan_without_times_still_answers_every_text_once(effort: Effort) -> None:
    plan = PLANS[effort].without_times()

    assert (plan.lengths, plan.batches) == ((), ())
    assert (plan.starts, plan.timed, plan.seconds, plan.bulks, plan.scaling) == (0, 0, 0, 0, 0)
    assert (plan.rounds, plan.texts) == (1, PLANS[effort].texts)
