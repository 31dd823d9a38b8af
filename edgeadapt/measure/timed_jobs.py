"""Jobs that time a model which is loaded already, and what is answered to them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Any

from edgeadapt.measure.jobs import Job, JobText, VariantJob
from edgeadapt.store.sample import LeakReading, Memory, Pass
from edgeadapt.typed import Check

# Imported before the signal between cores is timed: numpy, which starts threads, must not come too.

__all__ = [
    "TIMED_JOBS",
    "BulkAnswer",
    "BulkJob",
    "FixedInput",
    "GraphAnswer",
    "GraphJob",
    "MeasureAnswer",
    "MeasureJob",
    "TimedAnswer",
    "TimedJob",
]

_Logit = Annotated[Any, Check("a number", lambda value: type(value) in (int, float))]
"""Also NaN, which is no answer: whoever asked refuses it, and says for which text."""


@dataclass(frozen=True)
class FixedInput:
    """One text's tokens without padding: ``edgeadapt.text.Tokens``, whose module loads numpy."""

    ids: list[int]
    type_ids: list[int]


@dataclass(frozen=True)
class MeasureAnswer:
    """Latency at batch 1, and the answers to texts."""

    engine: str
    """What the engine says of itself."""
    load_ns: int
    """Model load, without imports."""
    latency_ns: Mapping[str, Sequence[int]]
    """Tokens of a fixed input, ``"text"`` for real texts with tokenization or ``"text-model"`` for
    them without -> one value per run."""
    logits: Sequence[Sequence[_Logit]]
    """One row per text."""
    import_bytes: int | None
    """Peak memory before the model was loaded; ``None`` without /proc."""
    peak_bytes: int | None
    memory: Mapping[str, Memory]
    """``"loaded"``, then scenarios in their order -> memory after it."""
    pace_ns: int
    """What a fixed computation took."""
    signal_ns: int | None
    """What a signal to another core and back took; ``None`` where that cannot be measured."""


@dataclass(frozen=True)
class BulkAnswer:
    """Throughput, and memory over many texts."""

    passes: Mapping[str, Sequence[Pass]]
    """Batch size -> its passes over the texts."""
    memory: Mapping[str, Memory]
    """``"loaded"``, then batch sizes -> memory after it."""
    gauge: str | None
    """What counted the energy."""
    leak: Sequence[LeakReading]


@dataclass(frozen=True)
class GraphAnswer:
    """Latency and memory of an ONNX file."""

    latency_ns: Sequence[Sequence[int]]
    """Per fixed input one value per run."""
    peak_bytes: int | None
    """``None`` without /proc."""


@dataclass(frozen=True, kw_only=True)
class MeasureJob(VariantJob[MeasureAnswer]):
    """Latency at fixed lengths and over real texts, and the answers to those."""

    task = "measure"

    fixed: Sequence[FixedInput]
    texts: Sequence[JobText]
    """Texts to answer."""
    timed: int
    """How many of them are timed, one after another."""
    seconds: float
    """What these take at least: they are answered again until then."""
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
    """Throughput, the energy that it takes, and a leak check."""

    task = "bulk"

    texts: Sequence[JobText]
    batches: Sequence[int]
    """Batch sizes."""
    passes: int
    """Times that the texts are answered at each."""
    seconds: float
    """What the passes of the fastest batch size take at least."""
    calls: int
    """Texts answered one after another in the leak check."""
    readings: int
    """Times that memory is read meanwhile."""

    @classmethod
    def answer_kind(cls) -> type[BulkAnswer]:
        """Returns the dataclass of the answer."""
        return BulkAnswer


@dataclass(frozen=True, kw_only=True)
class GraphJob(Job[GraphAnswer]):
    """Latency and memory of an ONNX file that is in no bundle yet."""

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


TimedJob = MeasureJob | BulkJob | GraphJob
TimedAnswer = MeasureAnswer | BulkAnswer | GraphAnswer

TIMED_JOBS: Mapping[str, type[TimedJob]] = MappingProxyType(
    {kind.task: kind for kind in (MeasureJob, BulkJob, GraphJob)}
)
"""What a line of JSON calls a job -> its dataclass."""
