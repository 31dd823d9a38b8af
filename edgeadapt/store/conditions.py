"""What a machine was up to while it was measured."""

from dataclasses import dataclass, field

__all__ = ["Conditions", "Moment"]


@dataclass(frozen=True)
class Moment:
    """A machine at one moment; ``None`` where the system does not say."""

    governor: str | None = None
    """How the clock is chosen, such as ``performance``; several are listed."""
    frequency_mhz: float | None = None
    """Mean of the cores' clocks, in megahertz."""
    temperature_c: float | None = None
    """Of the hottest sensor, in degrees Celsius."""
    throttled: str | None = None
    """What has slowed the CPU down so far: the Raspberry Pi's word, or the count of events."""
    load_average: float | None = None
    """Processes that ran or waited, on average over one minute."""


@dataclass(frozen=True)
class Conditions:
    """A machine before and after a benchmark, and who else was at work meanwhile."""

    before: Moment = field(default_factory=Moment)
    after: Moment = field(default_factory=Moment)
    others: float | None = None
    """CPU cores that other processes kept busy on average; ``None`` where that is unknown."""
    stolen: float | None = None
    """CPU cores that a virtual machine's host gave to others on average; ``None`` where that is
    unknown."""
