"""Raw measurements of one variant, per process and before any statistics."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from edgeadapt.typed import Count

# The measured process imports this module before it measures, so it must not import heavy modules.

__all__ = ["LeakReading", "Memory", "Pass", "Sample", "Start", "scenario_title"]

LeakReading = tuple[int, int | None]
"""``(texts classified so far, resident bytes)``; ``None`` where it cannot be read."""


@dataclass(frozen=True)
class Memory:
    """Memory of a process at one moment, in bytes; ``None`` for values that cannot be read."""

    rss: Count | None
    """Resident set size (RSS): shared libraries are counted in full."""
    pss: Count | None
    """Proportional set size (PSS): shared pages are divided by the number of processes."""
    peak: Count | None
    """Peak resident set size so far."""


@dataclass(frozen=True)
class Start:
    """Timestamps of a cold start, in nanoseconds since the start of the process."""

    imported_ns: int
    """When all imports were done."""
    loaded_ns: int
    """When the model was loaded."""


@dataclass(frozen=True)
class Pass:
    """One pass over the texts in batches."""

    texts: Count
    """Number of texts."""
    ns: Count
    """Duration in nanoseconds, including tokenization."""
    joules: float | None
    """Energy in joules; ``None`` without a readable counter."""


@dataclass(frozen=True)
class Sample:
    """All measurements of one variant on one engine, before any statistics."""

    bundle: str
    """Name of the bundle."""
    variant: str
    """``fp32``, ``int8`` or ``torch``."""
    engine: str
    """Description of the engine: name and version."""
    method: str
    """Training method of the model."""
    bytes: Count
    """Size of the model files."""
    sha256: str
    """Hash of the model file."""
    latency_ns: Mapping[str, Sequence[Sequence[int]]]
    """Tokens per text, or ``"text"`` for real texts -> one list of nanoseconds per child."""
    load_ns: Sequence[int]
    """Model load, one value per child."""
    first_label_ns: Sequence[int]
    """Process start to first label, one value per child."""
    peak_bytes: Sequence[int | None]
    """Peak resident memory (VmHWM), one value per child; ``None`` where /proc has none."""
    import_bytes: Sequence[int | None]
    """Peak resident memory before the model was loaded, one value per child."""
    logits: Sequence[Sequence[float]]
    """One row per evaluation text; empty without texts."""
    tokenizer_bytes: Count | None = None
    """Size of the tokenizer's file. Records of version 1 lack this and all following fields."""
    bundle_bytes: Count | None = None
    """Size of the whole bundle."""
    runtime_bytes: Count | None = None
    """Size on disk of the engine's library and the base install."""
    memory: Mapping[str, Sequence[Memory]] = field(default_factory=dict)
    """``"loaded"``, then each scenario in order -> memory after it, one value per child."""
    starts: Sequence[Start] = field(default_factory=list)
    """One value per child of ``first_label_ns``."""
    pace_ns: Sequence[int] = field(default_factory=list)
    """Duration of a fixed computation at the end of each child, in nanoseconds."""
    signal_ns: Sequence[int | None] = field(default_factory=list)
    """Round trip of a signal between two cores at the beginning of each child, in nanoseconds;
    ``None`` where it cannot be measured."""
    throughput: Mapping[str, Sequence[Sequence[Pass]]] = field(default_factory=dict)
    """Batch size -> passes of each child."""
    bulk_memory: Mapping[str, Sequence[Memory]] = field(default_factory=dict)
    """``"loaded"``, then each batch size -> memory after it, as in ``memory``."""
    gauge: str | None = None
    """Name of the energy counter."""
    leak: Sequence[Sequence[LeakReading]] = field(default_factory=list)
    """Memory readings of each child during the leak check."""
    threads_ns: Mapping[str, Sequence[Sequence[int]]] = field(default_factory=dict)
    """Number of threads -> latencies at one length, one list per child."""

    def __str__(self) -> str:
        return f"{self.bundle}:{self.variant}"


def scenario_title(name: str) -> str:
    """Returns the title of a key of ``Sample.latency_ns``."""
    titles = {"text": "real texts", "text-model": "real texts, model alone"}
    return titles.get(name, f"{name} tokens")
