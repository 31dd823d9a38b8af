"""Read energy counters of the machine: RAPL, or a discharging battery."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgeadapt.measure.files import number_in, text_in

__all__ = ["EnergyGauge", "find_gauge"]

_SYSTEM = Path("/sys/class")


@dataclass(frozen=True)
class _Counter:
    """A file with an energy counter."""

    path: Path
    unit: float
    """Joules per unit; negative for a battery, which counts down."""
    limit: float = 0
    """Joules at which the counter wraps around; 0 where it does not."""


@dataclass(frozen=True)
class EnergyGauge:
    """Energy counters of the whole machine, or of its processors."""

    name: str
    """Name of the counters, for reports."""
    counters: Sequence[_Counter]

    def read(self) -> list[float]:
        """Returns the joules of each counter; only differences of two readings are meaningful.

        Raises:
            OSError: A counter can no longer be read.
        """
        return [
            float(counter.path.read_text(encoding="ascii")) * counter.unit
            for counter in self.counters
        ]

    def spent(self, before: Sequence[float], after: Sequence[float]) -> float:
        """Returns the joules from one reading to a later one."""
        pairs = zip(self.counters, before, after, strict=True)
        return sum(
            (end - start) % counter.limit if counter.limit else end - start
            for counter, start, end in pairs
        )


def find_gauge(system: Path = _SYSTEM) -> EnergyGauge | None:
    """Returns the best gauge that this process can read; ``None`` without any.

    RAPL covers only the processors, and since 2020 only root can read it on Linux (CVE-2020-8694).
    A battery covers the whole machine, while it is not being charged.

    Args:
        system: Mount point of sysfs.
    """
    for name, counters in (
        ("RAPL, processor packages", _rapl(system)),
        ("battery, the whole machine", _battery(system)),
    ):
        if counters:
            return EnergyGauge(name, counters)
    return None


def _rapl(system: Path) -> list[_Counter]:
    """Microjoules of each processor package; they include its parts (``intel-rapl:0:0``)."""
    return [
        _Counter(zone / "energy_uj", 1e-6, (number_in(zone / "max_energy_range_uj") or 0) / 1e6)
        for zone in sorted((system / "powercap").glob("intel-rapl:?"))
        if number_in(zone / "energy_uj") is not None
    ]


def _battery(system: Path) -> list[_Counter]:
    """Remaining charge in microwatt hours."""
    return [
        _Counter(supply / "energy_now", -3_600e-6)
        for supply in sorted((system / "power_supply").glob("BAT*"))
        if text_in(supply / "status") == "Discharging"
        and number_in(supply / "energy_now") is not None
    ]
