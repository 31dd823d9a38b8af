"""Which of several trials is the best, by what a user wants of it."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from edgeadapt.compress.step import Trial
from edgeadapt.recipe import Objective

__all__ = ["by_objective"]

_MOST_NOISE = 0.3
"""On a machine that is busier than that, a third of the latency is still worth having."""


def by_objective(
    trials: Sequence[Trial], objective: Objective, *, noise: float = 0.0
) -> list[Trial]:
    """Returns the trials, the best first.

    Of those that are alike by the objective, the one whose logits are closest to the reference
    comes first. Labels would tell less: among few texts all of them keep all labels.

    Args:
        trials: Measured ones.
        objective: What is compared first.
        noise: Share of a latency that is chance on this machine now.
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
    """Without /proc the file's size has to do: it is most of what differs."""
    return trial.peak_bytes or trial.bytes


_ORDER: Mapping[Objective, Sequence[tuple[Callable[[Trial], float], float]]] = MappingProxyType(
    {
        Objective.LATENCY: ((_latency, 0.1), (_size, 0.1)),
        Objective.SIZE: ((_size, 0.02),),
        Objective.MEMORY: ((_memory, 0.02), (_latency, 0.1)),
    }
)
"""What is compared in turn, and up to which share of the least figures are alike.

On a shared machine a few percent of latency are chance, and nobody asked for a file of twice the
size to win them; nor for one scale a weight, to win a hundredth of the size.
"""
