"""Jobs that time a loaded model, and their results."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Any

from edgeadapt.measure.jobs import Job, JobText, VariantJob
from edgeadapt.store.sample import LeakReading, Memory, Pass
from edgeadapt.typed import Check

# Imported before the signal between cores is timed, so it must not import numpy (starts threads).

__all__ = [
    "TIMED_JOBS",
    "BulkAnswer",
    "BulkJob",
    "FixedInput",
    "GraphAnswer",
    "GraphJob",
    "GraphsAnswer",
    "GraphsJob",
    "MeasureAnswer",
    "MeasureJob",
    "TimedAnswer",
    "TimedJob",
]

_Logit = Annotated[Any, Check("a number", lambda value: type(value) in (int, float))]
"""A logit; NaN is accepted here, because the parent reports it with the number of the text."""


@dataclass(frozen=True)
class FixedInput:
    """Tokens of a text without padding: ``edgeadapt.text.Tokens``, whose module imports numpy."""

    ids: list[int]
    type_ids: list[int]


@dataclass(frozen=True)
class MeasureAnswer:
    """Latency at batch size 1, and the logits of texts."""

    engine: str
    """Description of the engine."""
    load_ns: int
    """Duration of loading the model, without imports."""
    latency_ns: Mapping[str, Sequence[int]]
    """Tokens of a fixed input, ``"text"`` for real texts with tokenization or ``"text-model"`` for
    them without -> one value per run."""
    logits: Sequence[Sequence[_Logit]]
    """One row per text."""
    import_bytes: int | None
    """Peak memory before the model was loaded; ``None`` without /proc."""
    peak_bytes: int | None
    memory: Mapping[str, Memory]
    """``"loaded"``, then each scenario in order -> memory after it."""
    pace_ns: int
    """Duration of a fixed computation."""
    signal_ns: int | None
    """Round trip of a signal to another core; ``None`` where it cannot be measured."""


@dataclass(frozen=True)
class BulkAnswer:
    """Throughput, and memory over many texts."""

    passes: Mapping[str, Sequence[Pass]]
    """Batch size -> passes over the texts."""
    memory: Mapping[str, Memory]
    """``"loaded"``, then each batch size -> memory after it."""
    gauge: str | None
    """Name of the energy counter."""
    leak: Sequence[LeakReading]


@dataclass(frozen=True)
class GraphAnswer:
    """Latency and memory of an ONNX file."""

    latency_ns: Sequence[Sequence[int]]
    """One list per fixed input, with one value per run."""
    peak_bytes: int | None
    """``None`` without /proc."""


@dataclass(frozen=True)
class GraphsAnswer:
    """Latency of several ONNX files."""

    latency_ns: Sequence[Sequence[int]]
    """One list per file, with one value per run."""


@dataclass(frozen=True, kw_only=True)
class MeasureJob(VariantJob[MeasureAnswer]):
    """Measure latency at fixed lengths and over real texts, and return the logits of the texts."""

    task = "measure"

    fixed: Sequence[FixedInput]
    texts: Sequence[JobText]
    """Texts to classify."""
    timed: int
    """Number of texts to time, one after another."""
    seconds: float
    """Shortest total time of the timed texts; they are repeated until then."""
    warmup: int
    """Runs before the timed ones, per fixed input and for texts."""
    repeats: int
    """Timed runs per fixed input."""

    @classmethod
    def answer_kind(cls) -> type[MeasureAnswer]:
        """Returns the dataclass of the answer."""
        return MeasureAnswer


@dataclass(frozen=True, kw_only=True)
class BulkJob(VariantJob[BulkAnswer]):
    """Measure throughput, energy, and memory leaks."""

    task = "bulk"

    texts: Sequence[JobText]
    batches: Sequence[int]
    """Batch sizes."""
    passes: int
    """Passes over the texts at each batch size."""
    seconds: float
    """Shortest total time of the passes at the fastest batch size."""
    calls: int
    """Texts classified one after another in the leak check."""
    readings: int
    """Number of memory readings in the leak check."""

    @classmethod
    def answer_kind(cls) -> type[BulkAnswer]:
        """Returns the dataclass of the answer."""
        return BulkAnswer


@dataclass(frozen=True, kw_only=True)
class GraphJob(Job[GraphAnswer]):
    """Measure latency and memory of an ONNX file outside of a bundle."""

    task = "graph"

    model: str
    """Path of the file."""
    engine: str
    fixed: Sequence[FixedInput]
    warmup: int
    """Runs before the timed ones, per fixed input."""
    repeats: int
    """Timed runs per fixed input."""

    @property
    def subject(self) -> str:
        """What is measured, for messages."""
        return self.model

    @classmethod
    def answer_kind(cls) -> type[GraphAnswer]:
        """Returns the dataclass of the answer."""
        return GraphAnswer


@dataclass(frozen=True, kw_only=True)
class GraphsJob(Job[GraphsAnswer]):
    """Measure latency of many ONNX files in one process, one loaded after another.

    For files whose latencies are compared with each other: starting a process for each takes
    longer than timing it.
    """

    task = "graphs"

    models: Sequence[str]
    """Paths of the files."""
    engine: str
    fixed: FixedInput
    warmup: int
    """Runs of each file before the timed ones."""
    repeats: int
    """Timed runs of each file."""

    @property
    def subject(self) -> str:
        """What is measured, for messages."""
        return f"{len(self.models)} graphs, {self.models[0]} first"

    @classmethod
    def answer_kind(cls) -> type[GraphsAnswer]:
        """Returns the dataclass of the answer."""
        return GraphsAnswer


TimedJob = MeasureJob | BulkJob | GraphJob | GraphsJob
TimedAnswer = MeasureAnswer | BulkAnswer | GraphAnswer | GraphsAnswer

TIMED_JOBS: Mapping[str, type[TimedJob]] = MappingProxyType(
    {kind.task: kind for kind in (MeasureJob, BulkJob, GraphJob, GraphsJob)}
)
"""Name of a job in JSON -> its dataclass."""
