"""Jobs for a measured process and their results, each exchanged as one line of JSON.

Imports are part of a cold start, so this module contains only the cold start job; the others are in
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
"""``edgeadapt.text.Text``, repeated here because its module imports numpy, which takes time and
starts threads."""

Answer = TypeVar("Answer")
AnyJob: TypeAlias = "FirstLabelJob | TimedJob"
AnyAnswer: TypeAlias = "FirstLabelAnswer | TimedAnswer"


@dataclass(frozen=True)
class FirstLabelAnswer:
    """Result of a cold start."""

    label: str
    """The most probable label of the text."""
    imported_ns: int
    """From the start of the process until everything was imported."""
    loaded_ns: int
    """From the start of the process until the model was loaded."""


@dataclass(frozen=True, kw_only=True)
class Job(ABC, Generic[Answer]):
    """A job for one process."""

    task: ClassVar[str]
    """Name of the job in JSON."""

    threads: int
    """CPU threads of the engine."""
    started_ns: int = 0
    """Clock just before the start of the process; set by the parent."""

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
    """Engine; ``None`` for the one in the manifest."""

    @property
    def subject(self) -> str:
        """What is measured, for messages."""
        return f"{self.bundle} ({self.variant})"


@dataclass(frozen=True, kw_only=True)
class FirstLabelJob(VariantJob[FirstLabelAnswer]):
    """A cold start: predict the label of one text as soon as possible."""

    task = "first_label"

    text: JobText

    @classmethod
    def answer_kind(cls) -> type[FirstLabelAnswer]:
        """Returns the dataclass of the answer."""
        return FirstLabelAnswer


def job_line(job: Job[Any]) -> str:
    """Returns a job as a line of JSON."""
    return json.dumps({"task": job.task, **asdict(job)})


def read_job(line: str) -> "AnyJob":
    """Returns the job from a line of JSON; the inverse of ``job_line``."""
    value = json.loads(line)
    if (task := value.pop("task")) == FirstLabelJob.task:
        return from_json(FirstLabelJob, value, where=task)
    from edgeadapt.measure.timed_jobs import TIMED_JOBS

    return from_json(TIMED_JOBS[task], value, where=task)


def answer_line(answer: "AnyAnswer") -> str:
    """Returns an answer as a line of JSON."""
    return json.dumps(asdict(answer))


def read_answer(job: Job[Answer], line: str) -> Answer:
    """Returns the answer to a job from a line of JSON; the inverse of ``answer_line``.

    Raises:
        MeasurementError: The line is not an answer to the job.
    """
    where = f"The process that measures {job.subject} gave no answer"
    try:
        value = json.loads(line)
    except json.JSONDecodeError:
        raise MeasurementError(
            f"{where}: expected a line of JSON, found {line.strip()!r}."
        ) from None
    return from_json(job.answer_kind(), value, where=where, refusal=MeasurementError)
