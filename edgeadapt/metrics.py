"""The one judge of logits, whoever produced them: torch or an engine, fp32 or int8."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeadapt.errors import GateError

__all__ = [
    "Drift",
    "Labels",
    "Logits",
    "Parity",
    "Score",
    "agreement",
    "bootstrap_interval",
    "drift",
    "largest_shift",
    "probabilities",
    "score",
]

Logits = NDArray[np.float32]
"""Shape ``(texts, labels)``."""
Labels = NDArray[np.int64]
"""Shape ``(texts,)``."""


@dataclass(frozen=True)
class Score:
    """How well logits match labels."""

    texts: int
    """Number of texts scored."""
    accuracy: float
    """Share of texts whose largest logit is the label's, 0 to 1."""
    macro_f1: float
    """Unweighted mean of the labels' F1 scores, 0 to 1."""
    precision: tuple[float, ...]
    """Per label; 0 where the label was never predicted."""
    recall: tuple[float, ...]
    """Per label; 0 where the label never occurs."""

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values for JSON."""
        return asdict(self)


def score(logits: Logits, labels: Labels) -> Score:
    """Scores logits of shape ``(texts, labels)`` against label indices of shape ``(texts,)``.

    A label that neither occurs nor is predicted does not count towards macro-F1, as in
    scikit-learn's ``f1_score(average="macro")``.

    Raises:
        ValueError: The shapes do not match or there is no text.
    """
    if len(logits) != len(labels) or not len(labels):
        raise ValueError(f"expected as many labels as logits, found {len(labels)}, {len(logits)}")
    predicted = logits.argmax(axis=1)
    width = logits.shape[1]
    hits = np.bincount(labels[predicted == labels], minlength=width)
    occurs = np.bincount(labels, minlength=width)
    chosen = np.bincount(predicted, minlength=width)
    precision = hits / np.maximum(chosen, 1)
    recall = hits / np.maximum(occurs, 1)
    seen = (occurs + chosen) > 0
    # F1 = 2 hits / (occurrences + predictions): the harmonic mean of precision and recall.
    f1 = 2 * hits[seen] / (occurs + chosen)[seen]
    return Score(
        texts=len(labels),
        accuracy=float((predicted == labels).mean()),
        macro_f1=float(f1.mean()),
        precision=tuple(map(float, precision)),
        recall=tuple(map(float, recall)),
    )


def probabilities(logits: Logits) -> NDArray[np.float64]:
    """Returns the softmax of logits over the last axis, computed in float64."""
    shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    weights = np.exp(shifted)
    return np.asarray(weights / weights.sum(axis=-1, keepdims=True))


def agreement(left: Logits, right: Logits) -> float:
    """Returns the share of texts to which both give the same label, 0 to 1."""
    return float((left.argmax(axis=1) == right.argmax(axis=1)).mean())


def largest_shift(left: Logits, right: Logits) -> float:
    """Returns the largest absolute difference between two arrays of logits."""
    return float(np.abs(left - right).max())


def bootstrap_interval(
    values: NDArray[np.float64], *, level: float = 0.95, resamples: int = 2_000, seed: int = 0
) -> tuple[float, float]:
    """Returns a percentile bootstrap interval for the mean of ``values``, shape ``(texts,)``.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 13.
    """
    generator = np.random.default_rng(seed)
    means = [generator.choice(values, len(values)).mean() for _ in range(resamples)]
    tail = (1 - level) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)


@dataclass(frozen=True)
class Parity:
    """Whether two forms of a model give the same logits."""

    gate: str
    """What was compared, in words."""
    max_difference: float
    """Largest absolute difference of logits."""
    limit: float
    """Largest difference that passes."""
    texts: int
    """Number of real texts compared."""
    label_agreement: float
    """Share of texts with the same label."""

    @classmethod
    def of(cls, gate: str, reference: Logits, candidate: Logits, *, limit: float) -> "Parity":
        """Compares two arrays of logits of shape ``(texts, labels)``."""
        return cls(
            gate=gate,
            max_difference=largest_shift(reference, candidate),
            limit=limit,
            texts=len(reference),
            label_agreement=agreement(reference, candidate),
        )

    def check(self) -> None:
        """Raises ``GateError`` with the figures when the difference exceeds the limit."""
        # Written so that NaN fails.
        if not self.max_difference <= self.limit:
            raise GateError(
                f"{self.gate}: logits differ by up to {self.max_difference:.3g} over {self.texts} "
                f"texts, expected at most {self.limit:g}; {self.label_agreement:.2%} of the labels "
                "are the same.",
                hint="No bundle was written. Please report this with the run's run.json.",
            )

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Drift:
    """What a lossy change did to a model's answers."""

    texts: int
    """Number of held-out texts."""
    accuracy_before: float
    """0 to 1."""
    accuracy_after: float
    """0 to 1."""
    accuracy_drop: float
    """Before minus after; negative where the change helped."""
    drop_interval: tuple[float, float]
    """95 % paired bootstrap interval of the drop."""
    label_agreement: float
    """Share of texts with the same label before and after, 0 to 1."""
    largest_shift: float
    """Largest absolute difference of logits."""

    def check(self, *, max_drop: float, gate: str) -> None:
        """Raises ``GateError`` with the figures when the accuracy drop exceeds ``max_drop``."""
        if not np.isfinite(self.largest_shift):
            raise GateError(
                f"{gate}: some logits are not numbers on {self.texts} held-out texts.",
                hint="No bundle was written. Export without --quantize.",
            )
        if not self.accuracy_drop <= max_drop:
            low, high = self.drop_interval
            raise GateError(
                f"{gate}: accuracy falls from {self.accuracy_before:.2%} to "
                f"{self.accuracy_after:.2%} on {self.texts} held-out texts, a drop of "
                f"{100 * self.accuracy_drop:.2f} points (95 % interval {100 * low:.2f} to "
                f"{100 * high:.2f}); at most {100 * max_drop:.2f} are allowed. "
                f"{self.label_agreement:.2%} of the labels are the same.",
                hint="No bundle was written. Allow more with --max-drop, train longer, "
                "or export without --quantize.",
            )

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values for JSON."""
        return asdict(self)


def drift(before: Logits, after: Logits, labels: Labels) -> Drift:
    """Compares logits before and after a lossy change on the same labelled texts."""

    def right(logits: Logits) -> NDArray[np.float64]:
        return np.asarray(logits.argmax(axis=1) == labels, dtype=np.float64)

    return Drift(
        texts=len(labels),
        accuracy_before=float(right(before).mean()),
        accuracy_after=float(right(after).mean()),
        # The mean of differences: the difference of means can round to above an allowed drop.
        accuracy_drop=float((right(before) - right(after)).mean()),
        drop_interval=bootstrap_interval(right(before) - right(after)),
        label_agreement=agreement(before, after),
        largest_shift=largest_shift(before, after),
    )
