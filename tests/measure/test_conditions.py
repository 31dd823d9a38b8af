"""State of the machine, read from files as Linux writes them."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from edgeadapt.measure import conditions as module
from edgeadapt.measure.conditions import Reading, conditions_between, pace_ns, read_conditions
from edgeadapt.store.conditions import Moment

STAT = "cpu  1000 200 300 9000 50 30 20 70 400 0\ncpu0 1 2 3\n"
QUIET = Reading(
    moment=Moment(load_average=0.0),
    at=100.0,
    busy_s=50.0,
    stolen_s=1.0,
    own_s=5.0,
)


CPUS = "sys/devices/system/cpu"
PI_THROTTLED = "sys/devices/platform/soc/soc:firmware/get_throttled"


@pytest.fixture
def system(tmp_path: Path) -> Callable[[str, object], None]:
    """Writes the files of another machine, whose root is ``tmp_path``."""

    def write(name: str, content: object) -> None:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"{content}\n")

    return write


def test_a_machine_that_says_nothing_is_unknown(tmp_path: Path) -> None:
    found = read_conditions(tmp_path)

    assert (found.moment.governor, found.moment.frequency_mhz, found.moment.temperature_c) == (
        None,
        None,
        None,
    )
    assert (found.moment.throttled, found.busy_s, found.stolen_s) == (None, None, None)


def test_clocks_are_averaged_and_the_hottest_sensor_counts(
    system: Callable[[str, object], None], tmp_path: Path
) -> None:
    for core, kilohertz in enumerate((1_500_000, 2_500_000)):
        system(f"{CPUS}/cpu{core}/cpufreq/scaling_cur_freq", kilohertz)
        system(f"{CPUS}/cpu{core}/cpufreq/scaling_governor", "ondemand")
    for zone, millidegrees in enumerate((41_000, 63_500)):
        system(f"sys/class/thermal/thermal_zone{zone}/temp", millidegrees)

    found = read_conditions(tmp_path)

    assert (found.moment.frequency_mhz, found.moment.governor, found.moment.temperature_c) == (
        2000.0,
        "ondemand",
        63.5,
    )


@pytest.mark.parametrize(("word", "expected"), [("0", None), ("50005", "0x50005")])
def test_a_raspberry_pi_says_what_slows_it_down(
    system: Callable[[str, object], None], tmp_path: Path, word: str, expected: str | None
) -> None:
    system(PI_THROTTLED, word)

    assert read_conditions(tmp_path).moment.throttled == expected


def test_throttling_events_of_all_cores_are_counted(
    system: Callable[[str, object], None], tmp_path: Path
) -> None:
    for core, count in enumerate((0, 3, 4)):
        system(f"{CPUS}/cpu{core}/thermal_throttle/core_throttle_count", count)

    assert read_conditions(tmp_path).moment.throttled == "7 events"


def test_busy_time_is_all_but_waiting_and_guests_are_in_it_already(
    system: Callable[[str, object], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    system("proc/stat", STAT)
    monkeypatch.setattr(module.os, "sysconf", {"SC_CLK_TCK": 100}.__getitem__)

    found = read_conditions(tmp_path)

    assert found.busy_s == pytest.approx(15.5)
    assert found.stolen_s == pytest.approx(0.7)


def test_a_host_without_the_steal_field_is_unknown(
    system: Callable[[str, object], None], tmp_path: Path
) -> None:
    system("proc/stat", "cpu  1 2 3 4")

    assert read_conditions(tmp_path).busy_s is None


def test_others_are_what_is_busy_beside_ourselves() -> None:
    after = replace(QUIET, at=110.0, busy_s=62.0, stolen_s=1.5, own_s=15.0)

    found = conditions_between(QUIET, after)

    assert found.others == pytest.approx(0.2)
    assert found.stolen == pytest.approx(0.05)


def test_rounding_gives_nobody_less_than_nothing() -> None:
    after = replace(QUIET, at=110.0, busy_s=59.0, own_s=15.0)

    assert conditions_between(QUIET, after).others == 0.0


def test_where_times_are_unknown_so_are_the_others() -> None:
    unknown = replace(QUIET, at=110.0, busy_s=None)

    found = conditions_between(QUIET, unknown)

    assert (found.others, found.stolen) == (None, None)


def test_both_moments_are_kept() -> None:
    after = replace(QUIET, moment=Moment(governor="powersave"), at=110.0)

    found = conditions_between(QUIET, after)

    assert (found.before, found.after) == (QUIET.moment, after.moment)


def test_the_fixed_computation_takes_its_time() -> None:
    assert pace_ns(200_000) > 10 * pace_ns(2_000) > 0
