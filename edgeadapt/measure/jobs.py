"""What a measured process is asked and what it answers: a line of JSON each way.

A cold start, of which every import is a part, loads no other job than its own: those are in
``timed_jobs``. Numbers are nanoseconds of ``time.perf_counter_ns`` and bytes.
"""

import json
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeAlias, TypeVar

from edgeadapt.errors import MeasurementError
from edgeadapt.typed import from_json

if TYPE_CHECKING:
    from edgeadapt.measure.timed_jobs import TimedAnswer, TimedJob

__all__ = [
    "AnyAnswer",
    "AnyJob",
    "FirstLabelAnswer",
    "FirstLabelJob",
    "Job",
    "JobText",
    "VariantJob",
    "answer_line",
    "job_line",
    "read_answer",
    "read_job",
]

JobText = str | tuple[str, str]
"""``edgeadapt.text.Text``, whose module loads numpy: that starts threads, and takes its time."""

Answer = TypeVar("Answer")
AnyJob: TypeAlias = "FirstLabelJob | TimedJob"
AnyAnswer: TypeAlias = "FirstLabelAnswer | TimedAnswer"


@dataclass(frozen=True)
class FirstLabelAnswer:
    """A cold start."""

    label: str
    """The most probable label of the text."""
    imported_ns: int
    """From the start of the process until everything was imported."""
    loaded_ns: int
    """From the start of the process until the model was loaded."""


@dataclass(frozen=True, kw_only=True)
class Job(ABC, Generic[Answer]):
    """What one process is asked."""

    task: ClassVar[str]
    """What a line of JSON calls it."""

    threads: int
    """CPU threads of the engine."""
    started_ns: int = 0
    """What the clock showed before the process began; whoever starts it sets this."""

    @property
    @abstractmethod
    def subject(self) -> str:
        """What is measured, for messages."""

    @classmethod
    @abstractmethod
    def answer_kind(cls) -> type[Answer]:
        """Returns the dataclass of the answer."""


@dataclass(frozen=True, kw_only=True)
class VariantJob(Job[Answer]):
    """A job about a variant of a bundle."""

    bundle: str
    """Path of the bundle."""
    variant: str
    engine: str | None = None
    """Another engine than the manifest's; ``None`` for that."""

    @property
    def subject(self) -> str:
        """What is measured, for messages."""
        return f"{self.bundle} ({self.variant})"


@dataclass(frozen=True, kw_only=True)
class FirstLabelJob(VariantJob[FirstLabelAnswer]):
    """One answer, as soon as possible."""

    task = "first_label"

    text: JobText

    @classmethod
    def answer_kind(cls) -> type[FirstLabelAnswer]:
        """Returns the dataclass of the answer."""
        return FirstLabelAnswer


def job_line(job: Job[Any]) -> str:
    """Returns a job as a process reads it."""
    return json.dumps({"task": job.task, **asdict(job)})


def read_job(line: str) -> "AnyJob":
    """Takes back what ``job_line`` gave."""
    value = json.loads(line)
    if (task := value.pop("task")) == FirstLabelJob.task:
        return from_json(FirstLabelJob, value, where=task)
    from edgeadapt.measure.timed_jobs import TIMED_JOBS

    return from_json(TIMED_JOBS[task], value, where=task)


def answer_line(answer: "AnyAnswer") -> str:
    """Returns an answer as the process that asked reads it."""
    return json.dumps(asdict(answer))


def read_answer(job: Job[Answer], line: str) -> Answer:
    """Takes back what ``answer_line`` gave, as the answer to a job.

    Raises:
        MeasurementError: It is no answer to it.
    """
    where = f"The process that measures {job.subject} gave no answer"
    try:
        value = json.loads(line)
    except json.JSONDecodeError:
        raise MeasurementError(
            f"{where}: expected a line of JSON, found {line.strip()!r}."
        ) from None
    return from_json(job.answer_kind(), value, where=where, refusal=MeasurementError)
