"""Figures of one sample, compared with values computed by hand."""

import pytest

from edgeadapt.benchmark.figures import import_share, joules_per_1000, leak, throughput
from edgeadapt.store.sample import LeakReading, Pass, Sample, Start
from tests.benchmark.handmade import make_sample

SECOND = 1_000_000_000


def passes(*seconds: float, joules: float | None = None) -> list[Pass]:
    return [Pass(100, round(s * SECOND), joules) for s in seconds]


def watched(*children: list[LeakReading]) -> Sample:
    return make_sample(leak=list(children))


def readings(start: int, per_call: float, count: int = 50) -> list[LeakReading]:
    return [(10 * n, round(start + per_call * 10 * n)) for n in range(1, count + 1)]


def test_throughput_is_the_median_over_all_passes_of_all_processes() -> None:
    sample = make_sample(throughput={"8": [passes(1, 2), passes(4)]})

    found = throughput(sample)["8"]

    assert found.median == pytest.approx(50)
    assert found.interval == pytest.approx((25, 100))


def test_energy_is_that_of_the_batch_size_that_takes_least() -> None:
    sample = make_sample(
        throughput={"1": [passes(1, joules=5.0)], "8": [passes(1, joules=2.0), passes(1, joules=4)]}
    )

    assert joules_per_1000(sample) == pytest.approx(30)


def test_energy_that_one_pass_lacks_is_not_known() -> None:
    sample = make_sample(throughput={"1": [passes(1, joules=5.0), passes(1)]})

    assert joules_per_1000(sample) is None


def test_without_throughput_there_is_no_energy() -> None:
    assert joules_per_1000(make_sample()) is None


def test_the_share_of_imports_is_a_median() -> None:
    starts = [Start(n, 90) for n in (20, 50, 70)]

    assert import_share(make_sample(starts=starts, first_label_ns=[100] * 3)) == 0.5


def test_without_starts_there_is_no_share() -> None:
    assert import_share(make_sample()) is None


def test_memory_that_grows_in_every_process_leaks() -> None:
    found = leak(watched(readings(50_000_000, 5_000), readings(60_000_000, 4_000)))

    assert found is not None
    assert found.leaks
    assert found.calls == 500
    assert found.bytes_per_1000 == pytest.approx(4_500_000, rel=1e-6)


def test_one_process_that_grows_is_chance() -> None:
    found = leak(watched(readings(50_000_000, 5_000), readings(60_000_000, 0)))

    assert found is not None
    assert not found.leaks


def test_growth_before_memory_has_settled_is_no_leak() -> None:
    early: list[LeakReading] = [(10 * n, 50_000_000 + min(n, 10) * 1_000_000) for n in range(1, 51)]

    found = leak(watched(early))

    assert found is not None
    assert not found.leaks
    assert found.bytes_per_1000 == pytest.approx(0, abs=1e-3)


def test_growth_below_a_megabyte_is_noise() -> None:
    found = leak(watched(readings(50_000_000, 100)))

    assert found is not None
    assert not found.leaks


def test_memory_that_cannot_be_read_says_nothing() -> None:
    assert leak(watched([(n, None) for n in range(10)])) is None


def test_memory_that_was_not_watched_says_nothing() -> None:
    assert leak(make_sample()) is None
