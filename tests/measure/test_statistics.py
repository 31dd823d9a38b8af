"""Statistics of raw samples."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeadapt.measure.statistics import (
    MIN_SAMPLES_P90,
    MIN_SAMPLES_P99,
    latency,
    median,
    resampled_percentiles,
)

NANOSECONDS = st.integers(min_value=0, max_value=10**12)
CHILDREN = st.lists(st.lists(NANOSECONDS, max_size=50), max_size=6).filter(any)


@given(CHILDREN)
@settings(max_examples=50, deadline=None)
def test_percentiles_are_the_median_over_processes_of_numpys_in_milliseconds(
    children: list[list[int]],
) -> None:
    own = [np.percentile(np.asarray(child, dtype=float), [50, 90]) for child in children if child]

    found = latency(children)

    assert found is not None
    assert found.n == sum(map(len, children))
    assert found.p50 == pytest.approx(np.median([p50 for p50, _ in own]) / 1e6)
    if found.p90 is not None:
        assert found.p90 == pytest.approx(np.median([p90 for _, p90 in own]) / 1e6)


@given(CHILDREN)
@settings(max_examples=50, deadline=None)
def test_p90_is_given_from_64_samples_on(children: list[list[int]]) -> None:
    found = latency(children)

    assert found is not None
    assert (found.p90 is not None) == (found.n >= 64)


@given(CHILDREN)
@settings(max_examples=50, deadline=None)
def test_the_order_of_the_processes_does_not_matter(children: list[list[int]]) -> None:
    found, other = latency(children), latency(children[::-1])

    assert found is not None
    assert other is not None
    assert (found.p50, found.p90, found.n) == (other.p50, other.p90, other.n)


def test_one_process_at_half_speed_does_not_decide_p90() -> None:
    quiet = [[1_000_000] * 40] * 4

    found = latency([*quiet, [2_000_000] * 40])

    assert found is not None
    assert (found.p50, found.p90) == (1.0, 1.0)
    assert found.p90_interval == (1.0, 2.0)  # but it is not passed over in silence


def test_p90_needs_64_samples_and_63_are_too_few() -> None:
    below = latency([[1_000_000] * (MIN_SAMPLES_P90 - 1)])
    enough = latency([[1_000_000] * MIN_SAMPLES_P90])

    assert MIN_SAMPLES_P90 == 64
    assert below is not None
    assert enough is not None
    assert (below.p90, enough.p90) == (None, 1.0)


def test_known_percentiles() -> None:
    found = latency([[n * 1_000_000 for n in range(101)]])

    assert found is not None
    assert (found.p50, found.p90, found.n) == (50.0, 90.0, 101)


@pytest.mark.parametrize("children", [[], [[]], [[], []]])
def test_there_is_no_latency_without_samples(children: Sequence[Sequence[int]]) -> None:
    assert latency(children) is None


@given(st.lists(st.none() | NANOSECONDS, max_size=20))
@settings(max_examples=50, deadline=None)
def test_the_median_is_numpys_over_the_values_that_could_be_read(
    values: list[int | None],
) -> None:
    known = [value for value in values if value is not None]

    assert median(values) == (float(np.median(known)) if known else None)


def test_the_median_ignores_what_could_not_be_read() -> None:
    assert median([None, 10, None, 30, 20]) == 20.0
    assert median([10, None, 20]) == 15.0


@pytest.mark.parametrize("values", [[], [None], [None, None]])
def test_there_is_no_median_where_nothing_could_be_read(values: list[None]) -> None:
    assert median(values) is None


def test_p99_needs_662_samples_and_661_are_too_few() -> None:
    below, enough = latency([[1_000_000] * 661]), latency([[1_000_000] * MIN_SAMPLES_P99])

    assert MIN_SAMPLES_P99 == 662
    assert below is not None
    assert enough is not None
    assert (below.p99, enough.p99) == (None, 1.0)
    assert (below.p99_interval, enough.p99_interval) == (None, (1.0, 1.0))


@given(CHILDREN)
@settings(max_examples=20, deadline=None)
def test_an_interval_lies_within_the_samples(children: list[list[int]]) -> None:
    pooled = [sample / 1e6 for child in children for sample in child]

    found = latency(children)

    assert found is not None
    assert found.p50_interval is not None
    low, high = found.p50_interval
    assert min(pooled) <= low <= high <= max(pooled)


def test_an_interval_covers_the_true_median_as_often_as_it_says() -> None:
    generator = np.random.default_rng(0)
    covered = 0
    for _ in range(60):
        # Processes differ by 5 %, samples of one process by 1 %; the true median is 1 ms.
        middles = generator.normal(1.0, 0.05, size=10)
        times = [(generator.normal(m, 0.01, size=50) * 1e6).astype(int).tolist() for m in middles]
        found = latency(times)
        assert found is not None
        assert found.p50_interval is not None
        covered += found.p50_interval[0] <= 1.0 <= found.p50_interval[1]

    # 95 % of 60 are 57; resampling ten processes is known to fall a little short of it.
    assert covered >= 50


def test_pooling_alone_would_claim_too_much() -> None:
    apart = [[1_000_000] * 50, [2_000_000] * 50]

    found = latency(apart)

    assert found is not None
    assert found.p50_interval == (1.0, 2.0)


def test_the_same_samples_give_the_same_interval() -> None:
    children = [[n * 997 % 5_000 for n in range(80)]]

    first, again = (resampled_percentiles(children) for _ in range(2))

    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, resampled_percentiles(children, seed=1))
