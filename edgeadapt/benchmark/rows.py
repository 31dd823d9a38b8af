"""Compute the rows of the comparison table from raw samples."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from edgeadapt.benchmark.figures import (
    Leak,
    Throughput,
    import_share,
    joules_per_1000,
    leak,
    throughput,
)
from edgeadapt.measure.statistics import Interval, Latency, latency, median
from edgeadapt.metrics import (
    Difference,
    Labels,
    Logits,
    agreement,
    difference,
    largest_shift,
    macro_f1_interval,
    score,
    wilson_interval,
)
from edgeadapt.recipe import Task
from edgeadapt.store.record import Record
from edgeadapt.store.sample import Memory, Sample

__all__ = ["Ratios", "Row", "answers", "known_labels", "rows", "task_of"]


@dataclass(frozen=True)
class Ratios:
    """Ratios of the baseline to a row; above 1 the row is better."""

    latency: Mapping[str, float]
    """Scenario -> p50 of the baseline divided by that of the row (times faster)."""
    peak: float | None
    """Peak memory of the baseline divided by that of the row (times smaller)."""
    bytes: float
    """Model size of the baseline divided by that of the row (times smaller)."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row of the table."""

    bundle: str
    variant: str
    engine: str
    method: str
    accuracy: float | None = None
    """0 to 1; ``None`` without labels, like the next three fields."""
    accuracy_interval: Interval | None = None
    macro_f1: float | None = None
    macro_f1_interval: Interval | None = None
    against_baseline: Difference | None = None
    """Difference in accuracy to the baseline on the same texts; also ``None`` for the baseline."""
    agreement: float | None = None
    """Share of texts with the same prediction as the bundle's fp32 variant; ``None`` without it."""
    agreement_interval: Interval | None = None
    largest_shift: float | None = None
    """Largest logit difference from the bundle's fp32 variant."""
    latency_ms: Mapping[str, Latency]
    """Tokens, ``text`` for real texts with tokenization or ``text-model`` for them without ->
    percentiles at batch 1."""
    texts_per_s: Mapping[str, Throughput]
    """Batch size -> throughput over real texts with tokenization."""
    threads_ms: Mapping[str, Latency]
    """Threads -> percentiles at one length."""
    load_s: float | None
    """Median seconds to load the model."""
    first_label_s: float | None
    """Median seconds from process start to first label."""
    import_share: float | None
    """Share of imports in that time, 0 to 1."""
    peak_mb: float | None
    """Median peak resident memory in megabytes (1e6 bytes); ``None`` without /proc."""
    import_mb: float | None
    """Peak memory before loading the model: interpreter, libraries and tokenizer."""
    rss_mb: float | None
    """Median resident memory (RSS) after the last scenario at batch size 1."""
    pss_mb: float | None
    """The same as proportional set size (PSS): shared pages are divided by their processes."""
    peak_mb_after: Mapping[str, float]
    """Scenario -> median peak memory up to its end, including all scenarios before it."""
    peak_mb_at_batch: Mapping[str, float]
    """Batch size -> the same in the processes that measure throughput."""
    leak: Leak | None
    joules_per_1000_texts: float | None
    """``None`` without a readable energy counter."""
    bytes: int
    """Size of the model files."""
    tokenizer_bytes: int | None
    bundle_bytes: int | None
    runtime_bytes: int | None
    """Size on disk of the engine and its libraries."""
    is_baseline: bool
    is_pareto: bool = False
    """Whether the row is Pareto optimal in accuracy and latency over real texts."""
    ratios: Ratios

    @property
    def name(self) -> str:
        """``BUNDLE:VARIANT``."""
        return f"{self.bundle}:{self.variant}"


def rows(record: Record) -> list[Row]:
    """Returns one row per sample, in the order of the record."""
    baseline = next(sample for sample in record.samples if str(sample) == record.baseline)
    percentiles = {str(sample): _percentiles(sample.latency_ns) for sample in record.samples}
    table = [_row(sample, baseline, record, percentiles) for sample in record.samples]
    best = _pareto(table)
    return [replace(row, is_pareto=row.name in best) for row in table]


def answers(sample: Sample) -> Logits | None:
    """Returns the logits of a sample, shape ``(texts, labels)``; ``None`` without texts."""
    return np.asarray(sample.logits, dtype=np.float32) if len(sample.logits) else None


def known_labels(record: Record) -> Labels | None:
    """Returns the labels of a record's texts; ``None`` without labels."""
    labels = record.evaluation.labels
    return None if labels is None else np.asarray(labels, dtype=np.int64)


def task_of(record: Record) -> Task:
    """Returns the task of a record's texts."""
    return record.evaluation.task


def _row(
    sample: Sample,
    baseline: Sample,
    record: Record,
    percentiles: Mapping[str, Mapping[str, Latency]],
) -> Row:
    row = _costs(sample, baseline, percentiles)
    row = _with_accuracy(row, sample, baseline, record)
    return _with_agreement(row, sample, record)


def _costs(
    sample: Sample, baseline: Sample, percentiles: Mapping[str, Mapping[str, Latency]]
) -> Row:
    """Builds a row without accuracy and agreement."""
    own = percentiles[str(sample)]
    last = next(reversed(list(sample.memory.values())), ())
    return Row(
        bundle=sample.bundle,
        variant=sample.variant,
        engine=sample.engine,
        method=sample.method,
        latency_ms=own,
        texts_per_s=throughput(sample),
        threads_ms=_percentiles(sample.threads_ns),
        load_s=_scaled(median(sample.load_ns), 1e9),
        first_label_s=_scaled(median(sample.first_label_ns), 1e9),
        import_share=import_share(sample),
        peak_mb=_megabytes(sample.peak_bytes),
        import_mb=_megabytes(sample.import_bytes),
        rss_mb=_megabytes([held.rss for held in last]),
        pss_mb=_megabytes([held.pss for held in last]),
        peak_mb_after=_peaks(sample.memory),
        peak_mb_at_batch=_peaks(sample.bulk_memory),
        leak=leak(sample),
        joules_per_1000_texts=joules_per_1000(sample),
        bytes=sample.bytes,
        tokenizer_bytes=sample.tokenizer_bytes,
        bundle_bytes=sample.bundle_bytes,
        runtime_bytes=sample.runtime_bytes,
        is_baseline=sample is baseline,
        ratios=_ratios(sample, baseline, own, percentiles[str(baseline)]),
    )


def _with_accuracy(row: Row, sample: Sample, baseline: Sample, record: Record) -> Row:
    """Adds accuracy, where the texts have labels."""
    logits, labels, task = answers(sample), known_labels(record), task_of(record)
    if logits is None or labels is None:
        return row
    scored = score(logits, labels, task=task)
    reference = None if sample is baseline else answers(baseline)
    against = None if reference is None else difference(reference, logits, labels, task=task)
    return replace(
        row,
        accuracy=scored.accuracy,
        accuracy_interval=wilson_interval(scored.accuracy, len(labels)),
        macro_f1=scored.macro_f1,
        macro_f1_interval=macro_f1_interval(logits, labels, task=task),
        against_baseline=against,
    )


def _with_agreement(row: Row, sample: Sample, record: Record) -> Row:
    """Adds the agreement with the bundle's fp32 variant, where it was measured."""
    logits, fp32, task = answers(sample), _fp32_of(sample, record), task_of(record)
    if logits is None or fp32 is None:
        return row
    same = agreement(fp32, logits, task=task)
    return replace(
        row,
        agreement=same,
        agreement_interval=wilson_interval(same, len(logits)),
        largest_shift=largest_shift(fp32, logits),
    )


def _ratios(
    sample: Sample, baseline: Sample, own: Mapping[str, Latency], slower: Mapping[str, Latency]
) -> Ratios:
    peak, baseline_peak = median(sample.peak_bytes), median(baseline.peak_bytes)
    return Ratios(
        latency={n: slower[n].p50 / p.p50 for n, p in own.items() if n in slower},
        peak=baseline_peak / peak if peak and baseline_peak else None,
        bytes=baseline.bytes / sample.bytes,
    )


def _pareto(rows: Sequence[Row]) -> set[str]:
    """Names of the Pareto-optimal rows in accuracy and latency over real texts."""
    points = {
        row.name: (-row.accuracy, row.latency_ms["text"].p50)
        for row in rows
        if row.accuracy is not None and "text" in row.latency_ms
    }
    return {
        name
        for name, (error, time) in points.items()
        if not any(
            other[0] <= error and other[1] <= time and other != (error, time)
            for other in points.values()
        )
    }


def _percentiles(children: Mapping[str, Sequence[Sequence[int]]]) -> dict[str, Latency]:
    pooled = {name: latency(samples) for name, samples in children.items()}
    return {name: value for name, value in pooled.items() if value}


def _fp32_of(sample: Sample, record: Record) -> Logits | None:
    """Logits of the same bundle's fp32 variant."""
    for other in record.samples:
        if (other.bundle, other.variant) == (sample.bundle, "fp32"):
            return answers(other)
    return None


def _peaks(memory: Mapping[str, Sequence[Memory]]) -> dict[str, float]:
    peaks = {name: _megabytes([held.peak for held in found]) for name, found in memory.items()}
    return {name: value for name, value in peaks.items() if value is not None}


def _megabytes(children: Sequence[int | None]) -> float | None:
    return _scaled(median(children), 1e6)


def _scaled(value: float | None, unit: float) -> float | None:
    return None if value is None else value / unit
