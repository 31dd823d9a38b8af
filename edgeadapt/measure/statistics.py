"""Statistics of raw samples, computed when they are shown and never stored in their place."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["MIN_SAMPLES_P90", "Latency", "latency", "median"]

MIN_SAMPLES_P90 = 64
"""Samples below which p90 is not given: MLPerf's early-stopping figure for the 90th percentile."""


@dataclass(frozen=True)
class Latency:
    """Percentiles of one scenario, in milliseconds."""

    p50: float
    p90: float | None
    """``None`` where there are too few samples."""
    n: int
    """Number of samples."""


def latency(children: Sequence[Sequence[int]]) -> Latency | None:
    """Pools the nanosecond samples of several child processes; ``None`` without samples."""
    pooled = np.asarray([sample for child in children for sample in child], dtype=np.float64)
    if not len(pooled):
        return None
    p50, p90 = np.percentile(pooled, [50, 90]) / 1e6
    enough = len(pooled) >= MIN_SAMPLES_P90
    return Latency(p50=float(p50), p90=float(p90) if enough else None, n=len(pooled))


def median(values: Sequence[int | None]) -> float | None:
    """Returns the median of the values that could be read; ``None`` where none could."""
    known = [value for value in values if value is not None]
    return float(np.median(known)) if known else None
