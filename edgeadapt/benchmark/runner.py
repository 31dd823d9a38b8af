"""Run a plan: each variant in fresh processes, interleaved, so that drift affects all equally."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from edgeadapt import __version__
from edgeadapt.benchmark.jobs import Subject, bulk_job, first_label_job, measure_job, scaling_job
from edgeadapt.measure.child import run_job, time_job
from edgeadapt.measure.conditions import conditions_between, read_conditions
from edgeadapt.measure.machine import describe_machine, install_bytes, usable_cores
from edgeadapt.measure.timed_jobs import BulkAnswer, MeasureAnswer
from edgeadapt.metrics import check_finite
from edgeadapt.progress import SILENT, Progress
from edgeadapt.recipe import Task
from edgeadapt.store.bundle import Manifest
from edgeadapt.store.evaluation import EvaluationInfo
from edgeadapt.store.origin import Origin
from edgeadapt.store.plan import Plan
from edgeadapt.store.record import Record
from edgeadapt.store.sample import Sample, Start
from edgeadapt.text import Text

__all__ = ["Evaluation", "Subject", "measure"]

T = TypeVar("T")


@dataclass(frozen=True)
class Evaluation:
    """The real texts of a benchmark."""

    origin: str
    """Origin, as a phrase."""
    sha256: str | None
    """Hash of the file they come from; ``None`` without a file."""
    texts: tuple[Text, ...] = ()
    labels: NDArray[np.int64] | None = None
    """Label indices of shape ``(texts,)`` or, multi-label, 0 and 1 of shape ``(texts, labels)``;
    ``None`` without labels."""
    task: Task = Task.SINGLE_LABEL
    """How many labels a text has."""
    names: tuple[str, ...] = ()
    """Names of the labels, in the order of the logits."""

    def info(self, count: int) -> EvaluationInfo:
        """Returns the description of the first ``count`` texts, which were classified."""
        return EvaluationInfo(
            origin=self.origin,
            sha256=self.sha256,
            texts=count,
            labels=None if self.labels is None else self.labels[:count].tolist(),
            task=self.task,
            names=self.names,
        )


@dataclass
class _Collected:
    """The results of the processes of one subject so far."""

    subject: Subject
    answers: list[MeasureAnswer] = field(default_factory=list)
    first_label_ns: list[int] = field(default_factory=list)
    starts: list[Start] = field(default_factory=list)
    bulks: list[BulkAnswer] = field(default_factory=list)
    threads_ns: dict[str, list[Sequence[int]]] = field(default_factory=dict)


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
        subjects: The variants to measure, in the order of the table.
        plan: Numbers of processes, runs and texts.
        threads: CPU threads for every engine.
        evaluation: Real texts; without any, accuracy and text latency are left out.
        baseline: The subject that ratios refer to.
        progress: Where to report.

    Raises:
        MeasurementError: A measuring process failed.
        ModelError: A logit of a variant is NaN or infinite.
    """
    machine = describe_machine()
    if machine.emulation:
        progress.warn(f"{machine.emulation}: predictions are measured, but no times.")
        plan = plan.without_times()
    before = read_conditions()
    texts = evaluation.texts[: plan.texts]
    collected = _collect(subjects, _all_series(plan, threads, texts), progress)
    after = read_conditions()
    installed = install_bytes()
    return Record(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        edgeadapt=__version__,
        machine=machine,
        threads=threads,
        plan=plan,
        evaluation=evaluation.info(len(texts)),
        baseline=str(baseline),
        samples=tuple(_sample(found, installed) for found in collected),
        conditions=conditions_between(before, after),
        bundles={subject.bundle.name: _origin(subject.bundle.manifest) for subject in subjects},
    )


@dataclass(frozen=True)
class _Series:
    """A series of fresh processes with the same kind of job."""

    processes: int
    """Number of processes per subject."""
    run: Callable[[_Collected, int], None]
    """Runs the process with a number, counted from 0, and stores its result."""
    note: str = ""
    """Text for the progress display."""


def _collect(
    subjects: Sequence[Subject], series: Sequence[_Series], progress: Progress
) -> list[_Collected]:
    """Runs all processes of all series, and returns the results of each subject."""
    collected = [_Collected(subject) for subject in subjects]
    turns = _interleaved(series)
    with progress.bar("benchmark", len(subjects) * len(turns)) as bar:
        for one, number in turns:
            for found in collected:
                one.run(found, number)
                bar.advance(note=f"{found.subject}{one.note}")
    return collected


def _all_series(plan: Plan, threads: int, texts: Sequence[Text]) -> list[_Series]:
    """All series of a plan, in the order in which they start."""

    def measured(found: _Collected, number: int) -> None:
        asked = texts if number == 0 else texts[: plan.timed]
        answer = run_job(measure_job(found.subject, plan, threads, asked))
        if asked:
            check_finite(np.asarray(answer.logits), where=str(found.subject))
        found.answers.append(answer)

    def started(found: _Collected, _: int) -> None:
        answer, elapsed = time_job(first_label_job(found.subject, threads, texts))
        found.first_label_ns.append(elapsed)
        found.starts.append(Start(answer.imported_ns, answer.loaded_ns))

    def answered_in_bulk(found: _Collected, _: int) -> None:
        found.bulks.append(run_job(bulk_job(found.subject, plan, threads, texts)))

    def scaled(count: int, found: _Collected, _: int) -> None:
        (times,) = run_job(scaling_job(found.subject, plan, count)).latency_ns.values()
        found.threads_ns.setdefault(str(count), []).append(times)

    return [
        _Series(plan.rounds, measured),
        _Series(plan.starts, started, ", cold start"),
        _Series(plan.bulks, answered_in_bulk, ", throughput"),
        *(
            _Series(plan.scaling, partial(scaled, count), f", {count} threads")
            for count in _thread_counts()
        ),
    ]


def _interleaved(series: Sequence[_Series]) -> list[tuple[_Series, int]]:
    """Spreads the processes of each series over the whole benchmark.

    The speed of a machine changes from minute to minute. Measurements within a few seconds see
    only one state of it; measurements spread over the whole run see most of them, so that two runs
    agree better.
    """
    turns = [(one, number) for one in series for number in range(one.processes)]
    return sorted(turns, key=lambda turn: turn[1] / turn[0].processes)


def _thread_counts() -> list[int]:
    """Thread counts to measure: up to eight cores every number, then 1, 2, 4 … and all cores."""
    cores = usable_cores()
    return [n for n in range(1, cores + 1) if cores <= 8 or n & (n - 1) == 0 or n == cores]


def _origin(manifest: Manifest) -> Origin:
    compression = manifest.compression
    return Origin(
        created=manifest.created,
        edgeadapt=manifest.edgeadapt,
        provenance=manifest.provenance,
        schemes={name: variant.scheme for name, variant in manifest.variants.items()},
        structure=compression.of_structure if compression else None,
    )


def _sample(found: _Collected, installed: Mapping[str, int]) -> Sample:
    subject, answers, bulks = found.subject, found.answers, found.bulks
    manifest = subject.bundle.manifest
    variant = manifest.variants[subject.variant]
    needed = ("numpy", "tokenizers", subject.engine or variant.engine)
    return Sample(
        bundle=subject.bundle.name,
        variant=subject.title,
        engine=answers[0].engine,
        method=manifest.provenance.method or "",
        bytes=subject.bundle.variant_bytes(subject.variant),
        sha256=manifest.files[variant.file].sha256,
        latency_ns=_per_child([answer.latency_ns for answer in answers]),
        load_ns=[answer.load_ns for answer in answers],
        first_label_ns=found.first_label_ns,
        peak_bytes=[answer.peak_bytes for answer in answers],
        import_bytes=[answer.import_bytes for answer in answers],
        logits=answers[0].logits,
        tokenizer_bytes=manifest.files["tokenizer.json"].bytes,
        bundle_bytes=sum(file.bytes for file in manifest.files.values()),
        runtime_bytes=sum(installed.get(name, 0) for name in needed),
        memory=_per_child([answer.memory for answer in answers]),
        starts=found.starts,
        pace_ns=[answer.pace_ns for answer in answers],
        signal_ns=[answer.signal_ns for answer in answers],
        throughput=_per_child([bulk.passes for bulk in bulks]),
        bulk_memory=_per_child([bulk.memory for bulk in bulks]),
        gauge=bulks[0].gauge if bulks else None,
        leak=[bulk.leak for bulk in bulks],
        threads_ns=found.threads_ns,
    )


def _per_child(children: Sequence[Mapping[str, T]]) -> dict[str, list[T]]:
    """Turns one mapping per child into a mapping to one value per child."""
    names = children[0] if children else ()
    return {name: [child[name] for child in children] for name in names}
