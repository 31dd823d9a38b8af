"""What was measured of one variant: raw values of each process, before any statistics."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from edgeadapt.typed import Count

# The measured process imports this module before it measures: nothing heavy may come with it.

__all__ = ["LeakReading", "Memory", "Pass", "Sample", "Start", "scenario_title"]

LeakReading = tuple[int, int | None]
"""Texts answered so far, and resident bytes then; ``None`` where the system does not say."""


@dataclass(frozen=True)
class Memory:
    """What a process holds at one moment, in bytes; ``None`` where the system does not say."""

    rss: Count | None
    """Resident bytes, those of shared libraries counted whole."""
    pss: Count | None
    """Resident bytes, those of shared pages divided among the processes that share them."""
    peak: Count | None
    """Most resident bytes so far."""


@dataclass(frozen=True)
class Start:
    """A cold start, in nanoseconds since the process began."""

    imported_ns: int
    """Until everything was imported."""
    loaded_ns: int
    """Until the model was loaded."""


@dataclass(frozen=True)
class Pass:
    """One pass over the texts in batches."""

    texts: Count
    """Texts answered."""
    ns: Count
    """Nanoseconds that they took, tokenization included."""
    joules: float | None
    """Energy that the machine's gauge counted meanwhile; ``None`` without a gauge."""


@dataclass(frozen=True)
class Sample:
    """Everything measured of one variant on one engine, before any statistics."""

    bundle: str
    """Name of the bundle."""
    variant: str
    """``fp32``, ``int8`` or ``torch``."""
    engine: str
    """What the engine says of itself: name, version, threads."""
    method: str
    """How the model was trained."""
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
    """Size of the tokenizer's file. This and what follows is not in records of version 1."""
    bundle_bytes: Count | None = None
    """Size of the whole bundle."""
    runtime_bytes: Count | None = None
    """What the engine's library takes on disk with the others of the base install."""
    memory: Mapping[str, Sequence[Memory]] = field(default_factory=dict)
    """``"loaded"``, then scenarios in their order -> memory after it, one value per child."""
    starts: Sequence[Start] = field(default_factory=list)
    """One value per child of ``first_label_ns``."""
    pace_ns: Sequence[int] = field(default_factory=list)
    """What a fixed computation took at the end of each measuring child."""
    signal_ns: Sequence[int | None] = field(default_factory=list)
    """What a signal from one core to another and back took at the beginning of each; ``None`` where
    that cannot be measured."""
    throughput: Mapping[str, Sequence[Sequence[Pass]]] = field(default_factory=dict)
    """Batch size -> per child its passes."""
    bulk_memory: Mapping[str, Sequence[Memory]] = field(default_factory=dict)
    """``"loaded"``, then batch sizes -> memory after it, as in ``memory``."""
    gauge: str | None = None
    """What counted the energy."""
    leak: Sequence[Sequence[LeakReading]] = field(default_factory=list)
    """Per child its readings of the memory while it answered texts."""
    threads_ns: Mapping[str, Sequence[Sequence[int]]] = field(default_factory=dict)
    """Number of threads -> latencies at one length, one list per child."""

    def __str__(self) -> str:
        return f"{self.bundle}:{self.variant}"


def scenario_title(name: str) -> str:
    """Returns what a key of ``Sample.latency_ns`` stands for."""
    titles = {"text": "real texts", "text-model": "real texts, model alone"}
    return titles.get(name, f"{name} tokens")
