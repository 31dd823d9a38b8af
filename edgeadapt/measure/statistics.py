"""Statistics of raw samples. They are computed when shown; records store only the samples."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "MIN_SAMPLES_P90",
    "MIN_SAMPLES_P99",
    "Interval",
    "Latency",
    "latency",
    "median",
    "resampled_percentiles",
]

Interval = tuple[float, float]
"""``(lower, upper)`` end of an interval."""

MIN_SAMPLES_P90 = 64
MIN_SAMPLES_P99 = 662
"""Percentile -> fewest samples for it, from the early stopping criterion of MLPerf."""

_PERCENTILES = (50, 90, 99)
_RESAMPLES = 400
_LEVEL = 0.95


@dataclass(frozen=True)
class Latency:
    """Percentiles of one scenario, in milliseconds, with 95 % intervals."""

    p50: float
    p90: float | None
    """``None`` with too few samples, as for p99."""
    n: int
    """Number of samples over all processes."""
    p99: float | None = None
    p50_interval: Interval | None = None
    p90_interval: Interval | None = None
    p99_interval: Interval | None = None


def latency(children: Sequence[Sequence[int]]) -> Latency | None:
    """Summarizes the nanosecond samples of several child processes; ``None`` without samples.

    Each percentile is the median of the percentiles of the processes. With pooled samples, a single
    process of five that happens to run at half speed would determine p90, because it contributes
    the slowest fifth of the samples.
    """
    samples = _arrays(children)
    if not samples:
        return None
    count = sum(map(len, samples))
    p50, p90, p99 = (float(value) for value in _typical(samples) / 1e6)
    tail = 50 * (1 - _LEVEL)
    ends = np.percentile(resampled_percentiles(children) / 1e6, [tail, 100 - tail], axis=0)
    at50, at90, at99 = ((float(low), float(high)) for low, high in ends.T)
    has90, has99 = count >= MIN_SAMPLES_P90, count >= MIN_SAMPLES_P99
    return Latency(
        p50=p50,
        p90=p90 if has90 else None,
        n=count,
        p99=p99 if has99 else None,
        p50_interval=at50,
        p90_interval=at90 if has90 else None,
        p99_interval=at99 if has99 else None,
    )


def resampled_percentiles(
    children: Sequence[Sequence[int]], *, resamples: int = _RESAMPLES, seed: int = 0
) -> NDArray[np.float64]:
    """Returns p50, p90 and p99 of bootstrap resamples; shape ``(resamples, 3)``, nanoseconds.

    Processes are resampled first, then samples within each, so that the interval includes the
    variation between processes (memory layout, core). With a single process it cannot.

    Source: Davison and Hinkley, Bootstrap Methods and their Application (1997), section 3.8.
    """
    samples = _arrays(children)
    generator = np.random.default_rng(seed)
    percentiles = np.empty((resamples, len(_PERCENTILES)))
    for row in range(resamples):
        drawn = [samples[index] for index in generator.integers(len(samples), size=len(samples))]
        percentiles[row] = _typical(
            [one[generator.integers(len(one), size=len(one))] for one in drawn]
        )
    return percentiles


def _arrays(children: Sequence[Sequence[int]]) -> list[NDArray[np.float64]]:
    return [np.asarray(child, dtype=np.float64) for child in children if len(child)]


def _typical(children: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Medians over the processes of p50, p90 and p99."""
    own = [np.percentile(child, _PERCENTILES) for child in children]
    return np.asarray(np.median(own, axis=0), dtype=np.float64)


def median(values: Sequence[int | None]) -> float | None:
    """Returns the median of the values that are not ``None``; ``None`` without any."""
    readable = [value for value in values if value is not None]
    return float(np.median(readable)) if readable else None
