"""Detection of disturbances of a benchmark."""

from dataclasses import replace
from typing import Any

import pytest

from edgeadapt.benchmark.noise import disturbances
from edgeadapt.store.conditions import Conditions, Moment
from tests.benchmark.handmade import MS, make_record, make_sample

QUIET = Conditions(others=0.01, stolen=0.0)


def noise(conditions: Conditions = QUIET, **changes: Any) -> list[str]:
    record = make_record(make_sample(**changes))
    return disturbances(replace(record, conditions=conditions))


def processes(*medians: float) -> dict[str, Any]:
    return {"latency_ns": {"16": [[round(m * MS)] * 5 for m in medians]}}


def test_a_quiet_machine_is_not_spoken_of() -> None:
    assert noise(QUIET, pace_ns=[100, 101, 99]) == []


def test_a_record_of_version_1_says_nothing_of_the_machine() -> None:
    assert noise(Conditions()) == []


def test_processes_that_differ_are_named_with_their_figures() -> None:
    (found,) = noise(**processes(1.0, 1.0, 1.05, 1.2, 1.2))

    assert "small:fp32 at 16 tokens: 1.00 to 1.20 ms" in found
    assert "1 of 1 scenarios" in found


def test_one_slow_process_of_five_is_named_as_such() -> None:
    (found,) = noise(**processes(1.0, 1.0, 1.0, 1.0, 1.8))

    assert found.startswith("a process was over 25% slower than the median in 1 of 1 scenarios")
    assert found.endswith("small:fp32 at 16 tokens: 1.80 ms, median 1.00 ms")


def test_processes_that_differ_a_little_are_not_spoken_of() -> None:
    assert noise(**processes(1.0, 1.02, 1.05, 1.0, 1.2)) == []


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        (Conditions(others=0.5, stolen=0.0), "other processes used 0.50 CPU cores"),
        (Conditions(others=0.0, stolen=0.1), "the host gave 0.10 CPU cores"),
        (
            Conditions(Moment(frequency_mhz=2000.0), Moment(frequency_mhz=1500.0)),
            "the clock fell from 2000 to 1500 MHz",
        ),
        (Conditions(after=Moment(throttled="0x50005")), "throttled (0x50005)"),
        (Conditions(after=Moment(governor="powersave")), "governor is powersave"),
    ],
)
def test_what_the_machine_says_is_passed_on(conditions: Conditions, expected: str) -> None:
    (found,) = noise(conditions)

    assert expected in found


@pytest.mark.parametrize(
    "conditions",
    [
        Conditions(Moment(frequency_mhz=2000.0), Moment(frequency_mhz=1950.0)),
        Conditions(Moment(throttled="3 events"), Moment(throttled="3 events")),
        Conditions(after=Moment(governor="performance")),
        Conditions(others=None, stolen=None),
    ],
)
def test_what_is_as_it_should_be_is_not(conditions: Conditions) -> None:
    assert noise(conditions) == []


def test_cores_that_were_moved_are_told_by_the_signal_between_them() -> None:
    (found,) = noise(signal_ns=[150, None, 610, 150])

    assert found.startswith("a signal between two cores took 150 to 610 ns")
    assert noise(signal_ns=[150, 280, None]) == []
    assert noise(signal_ns=[None, None]) == []


def test_a_single_thread_does_not_feel_where_the_other_cores_are() -> None:
    moved = replace(make_record(make_sample(signal_ns=[150, 610]), labels=None), threads=1)

    assert disturbances(moved) == []


def test_a_core_that_became_slower_is_told_by_the_fixed_computation() -> None:
    (found,) = noise(pace_ns=[100, 104, 112])

    assert "took 12% longer in the last round" in found
