"""From raw samples to the rows of the comparison table."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from edgeadapt.config import Task
from edgeadapt.measure.statistics import Latency, latency, median
from edgeadapt.metrics import Score, agreement, largest_shift, score
from edgeadapt.record import Record, Sample

__all__ = ["Ratios", "Row", "rows"]


@dataclass(frozen=True)
class Ratios:
    """How a row compares with the baseline; above 1 is better than the baseline."""

    latency: Mapping[str, float]
    """Per scenario: baseline's p50 over this row's (times faster)."""
    peak: float | None
    """Baseline's peak memory over this row's (times smaller)."""
    bytes: float
    """Baseline's model size over this row's (times smaller)."""


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    bundle: str
    variant: str
    engine: str
    method: str
    accuracy: float | None
    """0 to 1; ``None`` without labels."""
    macro_f1: float | None
    """0 to 1; ``None`` without labels."""
    agreement: float | None
    """Share of texts with the same labels as the bundle's fp32 variant; ``None`` without it."""
    largest_shift: float | None
    """Largest logit difference from the bundle's fp32 variant."""
    latency_ms: Mapping[str, Latency]
    """Tokens, or ``text`` for real texts with tokenization -> percentiles at batch 1."""
    load_s: float | None
    """Median seconds to load the model."""
    first_label_s: float | None
    """Median seconds from process start to first label."""
    peak_mb: float | None
    """Median peak resident memory in megabytes (1e6 bytes); ``None`` without /proc."""
    import_mb: float | None
    """Of which the interpreter, libraries and tokenizer, before the model was loaded."""
    bytes: int
    """Size of the model files."""
    is_baseline: bool
    ratios: Ratios

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values for JSON."""
        return asdict(self)


def rows(record: Record) -> list[Row]:
    """Returns one row per sample, in the record's order."""
    baseline = next(sample for sample in record.samples if _name(sample) == record.baseline)
    return [_row(sample, baseline, record) for sample in record.samples]


def _row(sample: Sample, baseline: Sample, record: Record) -> Row:
    scored = _score(sample, record)
    reference = _fp32_of(sample, record)
    percentiles = _percentiles(sample)
    return Row(
        bundle=sample.bundle,
        variant=sample.variant,
        engine=sample.engine,
        method=sample.method,
        accuracy=scored.accuracy if scored else None,
        macro_f1=scored.macro_f1 if scored else None,
        agreement=agreement(*reference, task=_task(record)) if reference else None,
        largest_shift=largest_shift(*reference) if reference else None,
        latency_ms=percentiles,
        load_s=_scaled(median(sample.load_ns), 1e9),
        first_label_s=_scaled(median(sample.first_label_ns), 1e9),
        peak_mb=_scaled(median(sample.peak_bytes), 1e6),
        import_mb=_scaled(median(sample.import_bytes), 1e6),
        bytes=sample.bytes,
        is_baseline=_name(sample) == record.baseline,
        ratios=_ratios(sample, percentiles, baseline),
    )


def _ratios(sample: Sample, percentiles: Mapping[str, Latency], baseline: Sample) -> Ratios:
    slower = _percentiles(baseline)
    peak, baseline_peak = median(sample.peak_bytes), median(baseline.peak_bytes)
    return Ratios(
        latency={n: slower[n].p50 / p.p50 for n, p in percentiles.items() if n in slower},
        peak=baseline_peak / peak if peak and baseline_peak else None,
        bytes=baseline.bytes / sample.bytes,
    )


def _percentiles(sample: Sample) -> dict[str, Latency]:
    pooled = {name: latency(children) for name, children in sample.latency_ns.items()}
    return {name: value for name, value in pooled.items() if value}


def _score(sample: Sample, record: Record) -> Score | None:
    labels = record.evaluation["labels"]
    if labels is None or not len(sample.logits):
        return None
    logits = np.asarray(sample.logits, dtype=np.float32)
    return score(logits, np.asarray(labels, dtype=np.int64), task=_task(record))


def _task(record: Record) -> Task:
    return Task(record.evaluation.get("task", Task.SINGLE_LABEL))


def _fp32_of(sample: Sample, record: Record) -> tuple[Any, Any] | None:
    """Logits of the same bundle's fp32 variant, and the sample's own."""
    for other in record.samples:
        if (other.bundle, other.variant) == (sample.bundle, "fp32") and len(other.logits):
            return np.asarray(other.logits), np.asarray(sample.logits)
    return None


def _scaled(value: float | None, unit: float) -> float | None:
    return None if value is None else value / unit


def _name(sample: Sample) -> str:
    return f"{sample.bundle}:{sample.variant}"
