"""A candidate after its trial: what it may cost, which is the best, and why none is good enough."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from edgeadapt.config import EngineName, Objective, Task
from edgeadapt.errors import GateError
from edgeadapt.metrics import Drift, Labels, Logits
from edgeadapt.quantize.candidate import Candidate
from edgeadapt.runtime import ENGINES
from edgeadapt.text import Tokens

__all__ = ["DECIDING_TEXTS", "SLACK", "Budget", "HeldOut", "Trial", "best", "refusal"]

DECIDING_TEXTS = 1_000
"""Held-out texts from which on the interval of the drop has to meet the budget too."""
SLACK = 0.01
"""How far beyond the budget the interval may reach."""


@dataclass(frozen=True)
class HeldOut:
    """What candidates are judged on."""

    texts: Sequence[Tokens]
    labels: Labels
    task: Task

    def logits(self, model: Path, engine: EngineName = EngineName.ONNXRUNTIME) -> Logits:
        """Returns logits of shape ``(texts, labels)``, one text at a time."""
        runs = ENGINES[engine]()(model)
        return np.concatenate([runs.run(tokens.as_batch()) for tokens in self.texts])


@dataclass(frozen=True)
class Budget:
    """What a candidate may cost, and what it should be good at."""

    max_drop: float
    """Largest accuracy drop, 0 to 1."""
    objective: Objective

    def met_by(self, drift: Drift) -> bool:
        """Says whether a drop is allowed; written so that NaN is not."""
        if not np.isfinite(drift.largest_shift):
            return False
        likely = drift.texts < DECIDING_TEXTS or drift.drop_interval[1] <= self.max_drop + SLACK
        return bool(drift.accuracy_drop <= self.max_drop and likely)


@dataclass(frozen=True)
class Trial:
    """A candidate and what was measured of it."""

    candidate: Candidate
    drift: Drift
    bytes: int
    """Size of the file."""
    allowed: bool
    """Whether it meets the budget."""
    latency_ms: float | None = None
    """Mean over real texts at batch 1; of candidates that are not allowed, not measured."""
    peak_bytes: int | None = None
    """Peak memory of a process that loads and runs it; ``None`` also without /proc."""

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values for JSON."""
        return {
            **{name: getattr(self, name) for name in ("bytes", "allowed", "latency_ms")},
            "name": str(self.candidate),
            "candidate": self.candidate.to_dict(),
            "drift": self.drift.to_dict(),
            "peak_bytes": self.peak_bytes,
        }


def best(trials: Sequence[Trial], objective: Objective, *, noise: float = 0.0) -> Trial:
    """The best by the objective; of those alike, the one whose logits are closest to fp32's.

    Labels would tell less: among few texts all of them keep all labels.

    Args:
        trials: Those to choose from.
        objective: What is compared first.
        noise: Share of a latency that is chance on this machine now.
    """
    for measure, alike in _ORDER[objective]:
        least = min(measure(trial) for trial in trials)
        chance = min(max(alike, noise), _MOST_NOISE) if measure is _latency else alike
        trials = [trial for trial in trials if measure(trial) <= least * (1 + chance)]
    return min(trials, key=lambda trial: trial.drift.rms_shift)


_MOST_NOISE = 0.3
"""On a machine that is busier than that, a third of the latency is still worth having."""


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


_REFUSED = (
    "No bundle was written. Allow more with --max-drop, try another --scheme, train longer, or "
    "export without --quantize."
)


def refusal(trials: Sequence[Trial], budget: Budget) -> GateError:
    """Returns the error that says how far the best candidate is from what is allowed."""
    numbers = [trial for trial in trials if np.isfinite(trial.drift.largest_shift)]
    if not numbers:
        message = f"{trials[0].candidate}: some logits are not numbers on held-out texts."
        return GateError(message, hint=_REFUSED)
    closest = min(numbers, key=lambda trial: trial.drift.accuracy_drop)
    found = closest.drift
    low, high = found.drop_interval
    likely = f" and an interval below {100 * (budget.max_drop + SLACK):.2f}"
    likely = likely if found.texts >= DECIDING_TEXTS else ""
    message = (
        f"None of {len(trials)} quantized models is good enough. The best, {closest.candidate}: "
        f"accuracy {found.accuracy_before:.2%} -> {found.accuracy_after:.2%} on {found.texts:,} "
        f"held-out texts, a drop of {100 * found.accuracy_drop:.2f} points (95 % interval "
        f"{100 * low:.2f} to {100 * high:.2f}); allowed are {100 * budget.max_drop:.2f}"
        f"{likely}. {found.label_agreement:.2%} of the labels are the same."
    )
    return GateError(message, hint=_REFUSED)
