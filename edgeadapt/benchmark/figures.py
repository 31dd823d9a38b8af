"""Compute figures of one sample from its raw values."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgeadapt.measure.statistics import Interval
from edgeadapt.store.sample import Pass, Sample

__all__ = [
    "Leak",
    "Throughput",
    "import_share",
    "joules_per_1000",
    "leak",
    "speeds",
    "throughput",
]

_SETTLED = 0.2
"""Share of a leak check's texts that count as warm-up, in which memory may grow."""
_LEAKED_BYTES = 1_000_000
"""Growth in bytes above which it is a leak; allocator noise is smaller."""


@dataclass(frozen=True)
class Throughput:
    """Texts per second at one batch size."""

    median: float
    interval: Interval
    """The slowest and the fastest pass; there are too few passes for percentiles."""


@dataclass(frozen=True)
class Leak:
    """Growth of memory over many texts."""

    calls: int
    """Number of texts per process."""
    bytes_per_1000: float
    """Growth of memory after the warm-up; the median over the processes."""
    leaks: bool
    """Whether memory grew by over a megabyte in every process."""


def throughput(sample: Sample) -> dict[str, Throughput]:
    """Returns texts per second for every batch size, over all passes of all processes."""
    return {batch: _speed(children) for batch, children in sample.throughput.items()}


def _speed(children: Sequence[Sequence[Pass]]) -> Throughput:
    rates = speeds(children)
    return Throughput(float(np.median(rates)), (min(rates), max(rates)))


def speeds(children: Sequence[Sequence[Pass]]) -> list[float]:
    """Returns texts per second of every pass of every process."""
    return [1e9 * one.texts / (one.ns or 1) for child in children for one in child]


def joules_per_1000(sample: Sample) -> float | None:
    """Returns the joules per 1,000 texts at the most efficient batch size; ``None`` unmeasured."""
    per_batch = []
    for children in sample.throughput.values():
        passes = [one for child in children for one in child]
        joules = [one.joules for one in passes if one.joules is not None]
        if passes and len(joules) == len(passes):
            per_batch.append(1_000 * sum(joules) / sum(one.texts for one in passes))
    return min(per_batch, default=None)


def import_share(sample: Sample) -> float | None:
    """Returns the median share of imports in the time of a cold start, 0 to 1."""
    pairs = zip(sample.starts, sample.first_label_ns, strict=False)
    shares = [start.imported_ns / whole for start, whole in pairs]
    return float(np.median(shares)) if shares else None


def leak(sample: Sample) -> Leak | None:
    """Returns the result of the leak check; ``None`` where it was not run, or without /proc."""
    slopes, grown, calls = [], [], 0
    for readings in sample.leak:
        points = np.asarray([pair for pair in readings if None not in pair], dtype=np.float64)
        if len(points) < 3:
            return None
        calls = int(points[-1, 0])
        settled = points[points[:, 0] > _SETTLED * calls]
        slope = float(np.polyfit(settled[:, 0], settled[:, 1], 1)[0])
        slopes.append(slope)
        grown.append(slope * (settled[-1, 0] - settled[0, 0]) > _LEAKED_BYTES)
    if not slopes:
        return None
    return Leak(calls, 1_000 * float(np.median(slopes)), all(grown))
