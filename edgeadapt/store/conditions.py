"""The state of a machine during a measurement."""

from dataclasses import dataclass, field

__all__ = ["Conditions", "Moment"]


@dataclass(frozen=True)
class Moment:
    """State of a machine at one moment; ``None`` for values that cannot be read."""

    governor: str | None = None
    """CPU frequency governors, such as ``performance``, joined by commas."""
    frequency_mhz: float | None = None
    """Mean clock of the cores, in megahertz."""
    temperature_c: float | None = None
    """Temperature of the hottest sensor, in degrees Celsius."""
    throttled: str | None = None
    """CPU throttling so far: the flags of a Raspberry Pi, or the number of events."""
    load_average: float | None = None
    """Load average over one minute."""


@dataclass(frozen=True)
class Conditions:
    """State of a machine before and after a benchmark, and the load by others in between."""

    before: Moment = field(default_factory=Moment)
    after: Moment = field(default_factory=Moment)
    others: float | None = None
    """CPU cores used by other processes on average; ``None`` where unknown."""
    stolen: float | None = None
    """CPU cores used by other guests of the virtual machine's host on average (steal time);
    ``None`` where unknown."""
