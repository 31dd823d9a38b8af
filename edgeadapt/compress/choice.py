"""Rank trials by the objective that the user chose."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from edgeadapt.compress.step import Trial
from edgeadapt.recipe import Objective

__all__ = ["by_objective"]

_MOST_NOISE = 0.3
"""Largest tolerance for latency: even on a noisy machine, larger differences decide."""


def by_objective(
    trials: Sequence[Trial], objective: Objective, *, noise: float = 0.0
) -> list[Trial]:
    """Returns the trials, best first.

    Of trials that are equal by the objective, within a tolerance, the one whose logits are closest
    to the reference comes first. Labels would not distinguish them, as on few texts often all
    trials keep all labels.

    Args:
        trials: Trials with their measurements.
        objective: What to optimize.
        noise: Measured noise of latencies on this machine, as a share of the latency.
    """
    left, ordered = list(trials), []
    while left:
        ordered.append(_best(left, objective, noise))
        left.remove(ordered[-1])
    return ordered


def _best(trials: Sequence[Trial], objective: Objective, noise: float) -> Trial:
    for measure, alike in _ORDER[objective]:
        least = min(measure(trial) for trial in trials)
        chance = min(max(alike, noise), _MOST_NOISE) if measure is _latency else alike
        trials = [trial for trial in trials if measure(trial) <= least * (1 + chance)]
    return min(trials, key=_shift)


def _shift(trial: Trial) -> float:
    assert trial.cost.rms_shift is not None
    return trial.cost.rms_shift


def _latency(trial: Trial) -> float:
    assert trial.latency_ms is not None
    return trial.latency_ms


def _size(trial: Trial) -> float:
    return trial.bytes


def _memory(trial: Trial) -> float:
    """Returns peak memory; without /proc the file's size, which accounts for most differences."""
    return trial.peak_bytes or trial.bytes


_ORDER: Mapping[Objective, Sequence[tuple[Callable[[Trial], float], float]]] = MappingProxyType(
    {
        Objective.LATENCY: ((_latency, 0.1), (_size, 0.1)),
        Objective.SIZE: ((_size, 0.02),),
        Objective.MEMORY: ((_memory, 0.02), (_latency, 0.1)),
    }
)
"""The measures to compare, in order, each with its tolerance as a share of the smallest figure.

Without a tolerance, a few percent of latency, which are noise on a shared machine, would outweigh a
file of twice the size; and one percent of size would outweigh the accuracy of per-channel scales.
"""
