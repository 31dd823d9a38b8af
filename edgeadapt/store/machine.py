"""Description of a machine, for runs and records."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from edgeadapt.typed import Count

__all__ = ["Machine", "TrainingMachine"]


@dataclass(frozen=True)
class Machine:
    """CPU, memory, system and library versions; ``None`` for values that cannot be read."""

    cpu: str
    """Model of the CPU, as reported by the system."""
    architecture: str | None = None
    """Architecture, such as ``x86_64``."""
    cores: Count | None = None
    """Number of cores that the process may use."""
    all_cores: Count | None = None
    core_quota: float | None = None
    """CPU quota of the control group, in cores; ``None`` without a limit."""
    flags: Sequence[str] | None = None
    """CPU flags that determine the speed of matrix products."""
    memory_bytes: Count | None = None
    virtualized: bool | None = None
    container: str | None = None
    """Kind of container, such as ``docker``; ``None`` outside of one."""
    emulation: str | None = None
    """Emulator of the CPU; ``None`` for a real one."""
    system: str | None = None
    python: str | None = None
    load_average: float | None = None
    """Load average over the last minute."""
    versions: Mapping[str, str] = field(default_factory=dict)
    """Library -> version, of the libraries that affect speed and results."""


@dataclass(frozen=True)
class TrainingMachine(Machine):
    """The machine, and the device used for training; ``None`` for an imported run."""

    device: str | None = None
    """Name of the GPU, or ``cpu``."""
    precision: str | None = None
    threads: Count | None = None
    """Number of CPU threads of torch."""
    processes: Count | None = None
