"""Runs a plan: every variant in fresh processes, interleaved, so that drift hits all alike."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeadapt import __version__
from edgeadapt.bench.plan import Plan
from edgeadapt.bundle import Bundle
from edgeadapt.config import Task
from edgeadapt.measure.child import run_job, time_job
from edgeadapt.measure.machine import describe_machine
from edgeadapt.progress import SILENT, Progress
from edgeadapt.record import Record, Sample
from edgeadapt.text import Text, TextEncoder, text_of

__all__ = ["Evaluation", "Subject", "measure"]

_WORDS = "the room was small and the food came late but we would go back again"
"""What is measured where no real text is needed, or none is at hand."""


@dataclass(frozen=True)
class Evaluation:
    """The real texts of a benchmark."""

    origin: str
    """Where they come from, in words."""
    sha256: str | None
    """Hash of the file they come from; ``None`` without a file."""
    texts: tuple[Text, ...] = ()
    labels: NDArray[np.int64] | None = None
    """Label indices of shape ``(texts,)`` or, multi-label, 0 and 1 of shape ``(texts, labels)``,
    where known."""
    task: Task = Task.SINGLE_LABEL
    """How many labels a text has."""


@dataclass(frozen=True)
class Subject:
    """One variant of one bundle, under measurement."""

    bundle: Bundle
    variant: str

    def __str__(self) -> str:
        return f"{self.bundle.name}:{self.variant}"


@dataclass
class _Collected:
    """What the processes of one subject have answered so far."""

    answers: list[dict[str, Any]] = field(default_factory=list)
    first_label_ns: list[int] = field(default_factory=list)


def measure(
    subjects: Sequence[Subject],
    *,
    plan: Plan,
    threads: int,
    evaluation: Evaluation,
    baseline: Subject,
    progress: Progress = SILENT,
) -> Record:
    """Measures all subjects and returns the record.

    Args:
        subjects: What to measure, in the order of the table.
        plan: How often.
        threads: CPU threads for every engine.
        evaluation: Real texts; without any, accuracy and text latency are left out.
        baseline: The subject that ratios refer to.
        progress: Where to report.

    Raises:
        MeasurementError: A measuring process failed.
    """
    machine = describe_machine()
    collected = {str(subject): _Collected() for subject in subjects}
    texts = evaluation.texts[: plan.texts]
    total = len(subjects) * (plan.rounds + plan.starts)
    with progress.task("benchmark", total) as task:
        for number in range(plan.rounds):
            for subject in subjects:
                job = _measure_job(subject, plan, threads)
                job["texts"] = texts if number == 0 else texts[: plan.timed]
                collected[str(subject)].answers.append(run_job(job))
                task.advance(note=str(subject))
        for _ in range(plan.starts):
            for subject in subjects:
                _, elapsed = time_job(_first_label_job(subject, threads, texts))
                collected[str(subject)].first_label_ns.append(elapsed)
                task.advance(note=f"{subject}, cold start")
    labels = None if evaluation.labels is None else evaluation.labels[: len(texts)].tolist()
    return Record(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        edgeadapt=__version__,
        machine=machine,
        threads=threads,
        plan=asdict(plan),
        evaluation={
            "origin": evaluation.origin,
            "sha256": evaluation.sha256,
            "texts": len(texts),
            "labels": labels,
            "task": evaluation.task,
        },
        baseline=str(baseline),
        samples=tuple(_sample(subject, collected[str(subject)]) for subject in subjects),
    )


def _measure_job(subject: Subject, plan: Plan, threads: int) -> dict[str, Any]:
    lengths = [n for n in plan.lengths if n <= subject.bundle.manifest.max_length]
    return {
        "task": "measure",
        "bundle": str(subject.bundle.path),
        "variant": subject.variant,
        "threads": threads,
        "fixed": _fixed_inputs(subject.bundle, lengths),
        "warmup": plan.warmup,
        "repeats": plan.repeats,
    }


def _first_label_job(subject: Subject, threads: int, texts: Sequence[Text]) -> dict[str, Any]:
    return {
        "task": "first_label",
        "bundle": str(subject.bundle.path),
        "variant": subject.variant,
        "threads": threads,
        "text": texts[0] if texts else _made_up("A short text.", subject.bundle),
    }


def _fixed_inputs(bundle: Bundle, lengths: Sequence[int]) -> list[dict[str, Any]]:
    """Tokens of exactly the given lengths: plain words, repeated and cut."""
    encoder = bundle.text_encoder()
    inputs = []
    for length in lengths:
        cut = TextEncoder(
            encoder.tokenizer, max_length=length, pad_id=encoder.pad_id, pairs=encoder.pairs
        )
        (tokens,) = cut.encode([_made_up(" ".join([_WORDS] * length), bundle)])
        inputs.append(asdict(tokens))
    return inputs


def _made_up(text: str, bundle: Bundle) -> Text:
    """A text in the form that the bundle takes."""
    return text_of([text] * (2 if bundle.manifest.pairs else 1))


def _sample(subject: Subject, collected: _Collected) -> Sample:
    answers = collected.answers
    manifest = subject.bundle.manifest
    file = manifest.variants[subject.variant].file
    scenarios: Mapping[str, Any] = answers[0]["latency_ns"]
    return Sample(
        bundle=subject.bundle.name,
        variant=subject.variant,
        engine=answers[0]["engine"],
        method=str(manifest.provenance.get("method", "")),
        bytes=subject.bundle.variant_bytes(subject.variant),
        sha256=manifest.files[file].sha256,
        latency_ns={name: [answer["latency_ns"][name] for answer in answers] for name in scenarios},
        load_ns=[answer["load_ns"] for answer in answers],
        first_label_ns=collected.first_label_ns,
        peak_bytes=[answer["peak_bytes"] for answer in answers],
        import_bytes=[answer["import_bytes"] for answer in answers],
        logits=answers[0]["logits"],
    )
