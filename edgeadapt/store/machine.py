"""What a machine is, as runs and records say it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from edgeadapt.typed import Count

__all__ = ["Machine", "TrainingMachine"]


@dataclass(frozen=True)
class Machine:
    """CPU, memory, system and library versions; ``None`` for what cannot be read."""

    cpu: str
    """Its model, as the system names it."""
    architecture: str | None = None
    """Such as ``x86_64``."""
    cores: Count | None = None
    """That the process may use."""
    all_cores: Count | None = None
    core_quota: float | None = None
    """Cores' worth of time that the control group may use; ``None`` for no limit."""
    flags: Sequence[str] | None = None
    """Instructions that decide the speed of products."""
    memory_bytes: Count | None = None
    virtualized: bool | None = None
    container: str | None = None
    """Such as ``docker``; ``None`` outside of any."""
    emulation: str | None = None
    """What emulates the CPU; ``None`` for a real one."""
    system: str | None = None
    python: str | None = None
    load_average: float | None = None
    """Of the minute before."""
    versions: Mapping[str, str] = field(default_factory=dict)
    """Of the libraries that decide speed and answers."""


@dataclass(frozen=True)
class TrainingMachine(Machine):
    """The machine, and what of it a training used; ``None`` for a run that was imported."""

    device: str | None = None
    """Name of the GPU, or ``cpu``."""
    precision: str | None = None
    threads: Count | None = None
    """CPU threads of torch."""
    processes: Count | None = None
