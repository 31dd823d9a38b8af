"""Energy gauges, on files as Linux writes them."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeadapt.measure.energy import EnergyGauge, find_gauge


def write(folder: Path, **files: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in files.items():
        (folder / name).write_text(f"{value}\n")
    return folder


def package(system: Path, number: int, *, microjoules: object, limit: int = 1_000_000) -> Path:
    zone = system / "powercap" / f"intel-rapl:{number}"
    return write(zone, energy_uj=microjoules, max_energy_range_uj=limit)


def battery(system: Path, *, status: str = "Discharging", **files: object) -> Path:
    return write(system / "power_supply" / "BAT0", status=status, **files)


def gauge_of(system: Path) -> EnergyGauge:
    gauge = find_gauge(system)
    assert gauge is not None
    return gauge


def test_packages_are_added_up_in_joules(tmp_path: Path) -> None:
    zones = [package(tmp_path, number, microjoules=100_000) for number in (0, 1)]
    gauge = gauge_of(tmp_path)
    before = gauge.read()
    write(zones[0], energy_uj=350_000)
    write(zones[1], energy_uj=150_000)

    assert gauge.name == "RAPL, processor packages"
    assert gauge.spent(before, gauge.read()) == pytest.approx(0.3)


def test_a_counter_that_started_anew_has_gone_on(tmp_path: Path) -> None:
    zone = package(tmp_path, 0, microjoules=900_000)
    package(tmp_path, 1, microjoules=5)
    gauge = gauge_of(tmp_path)
    before = gauge.read()
    write(zone, energy_uj=100_000)

    assert gauge.spent(before, gauge.read()) == pytest.approx(0.2)


@given(start=st.integers(0, 999_999), spent=st.integers(0, 999_999))
def test_energy_below_one_turn_of_the_counter_is_never_lost(
    tmp_path_factory: pytest.TempPathFactory, start: int, spent: int
) -> None:
    system = tmp_path_factory.mktemp("system")
    zone = package(system, 0, microjoules=start)
    gauge = gauge_of(system)
    before = gauge.read()
    write(zone, energy_uj=(start + spent) % 1_000_000)

    assert gauge.spent(before, gauge.read()) == pytest.approx(spent / 1e6, abs=1e-9)


def test_parts_of_a_package_are_not_counted_twice(tmp_path: Path) -> None:
    package(tmp_path, 0, microjoules=1)
    write(tmp_path / "powercap" / "intel-rapl:0:0", energy_uj=1)

    assert len(gauge_of(tmp_path).counters) == 1


def test_a_battery_counts_what_is_left(tmp_path: Path) -> None:
    supply = battery(tmp_path, energy_now=50_000_000)
    gauge = gauge_of(tmp_path)
    before = gauge.read()
    write(supply, energy_now=49_999_000)  # a milliwatt hour less

    assert gauge.name == "battery, the whole machine"
    assert gauge.spent(before, gauge.read()) == pytest.approx(3.6)


def test_a_battery_that_is_charged_tells_nothing(tmp_path: Path) -> None:
    battery(tmp_path, status="Charging", energy_now=50_000_000)

    assert find_gauge(tmp_path) is None


def test_counters_come_before_a_battery(tmp_path: Path) -> None:
    battery(tmp_path, energy_now=50_000_000)
    package(tmp_path, 0, microjoules=1)

    assert gauge_of(tmp_path).name.startswith("RAPL")


@pytest.mark.parametrize("content", ["", "unknown"])
def test_a_counter_without_a_number_is_no_gauge(tmp_path: Path, content: str) -> None:
    package(tmp_path, 0, microjoules=content)

    assert find_gauge(tmp_path) is None


def test_a_machine_without_any_has_no_gauge(tmp_path: Path) -> None:
    assert find_gauge(tmp_path) is None
