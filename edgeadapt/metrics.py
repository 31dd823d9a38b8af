"""Scores and comparisons of logits: the same code for torch and every engine, fp32 and int8."""

import math
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from edgeadapt.errors import GateError, ModelError
from edgeadapt.recipe import Task
from edgeadapt.typed import Count

__all__ = [
    "Decisions",
    "Difference",
    "Drift",
    "Labels",
    "Logits",
    "Parity",
    "Score",
    "agreement",
    "bootstrap_interval",
    "calibration_error",
    "check_finite",
    "confidence",
    "decide",
    "difference",
    "divergence",
    "drift",
    "label_sets",
    "largest_shift",
    "macro_f1_interval",
    "mean_loss",
    "probabilities",
    "rms_shift",
    "score",
    "wilson_interval",
]

Logits = NDArray[np.float32]
"""Shape ``(texts, labels)``."""
Labels = NDArray[np.int64]
"""Label indices of shape ``(texts,)`` or, multi-label, 0 and 1 of shape ``(texts, labels)``."""
Decisions = NDArray[np.bool_]
"""Which labels are predicted for each text, or are correct; bool, shape ``(texts, labels)``."""


def check_finite(logits: Logits, *, where: str) -> None:
    """Checks that all logits are finite, because argmax returns a label for NaN too.

    Args:
        logits: Shape ``(texts, labels)``.
        where: The model that computed them, for the message.

    Raises:
        ModelError: A text has a logit that is NaN or infinite; the message gives its number,
            counted from 1.
    """
    wrong = np.flatnonzero(~np.isfinite(logits).all(axis=-1))
    if len(wrong):
        values = ", ".join(f"{value:g}" for value in logits[wrong[0], :8])
        raise ModelError(
            f"{where}: expected finite logits, found {values} for text {wrong[0] + 1}"
            f" ({len(wrong)} of {len(logits)} texts are without an answer).",
            hint="The weights hold NaN or infinite values, or overflow. Use another variant or "
            "an earlier checkpoint; nothing is answered from such logits.",
        )


def decide(logits: Logits, task: Task) -> Decisions:
    """Turns logits into decisions. All code that needs labels from logits calls this function.

    The label with the largest logit or, multi-label, every label with a logit above 0, which is a
    probability above one half.
    """
    if task is Task.MULTI_LABEL:
        return np.asarray(logits > 0)
    return label_sets(logits.argmax(axis=1), logits.shape[1])


def label_sets(labels: Labels, width: int) -> Decisions:
    """Returns reference labels in the form of decisions, of shape ``(texts, width)``."""
    return labels.astype(bool) if labels.ndim == 2 else np.eye(width, dtype=bool)[labels]


def probabilities(logits: Logits, task: Task) -> NDArray[np.float64]:
    """Returns each label's probability, in float64.

    The softmax over the last axis or, multi-label, the sigmoid.
    """
    wide = logits.astype(np.float64)
    if task is Task.MULTI_LABEL:
        return np.asarray(np.exp(-np.logaddexp(0, -wide)))
    weights = np.exp(wide - wide.max(axis=-1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=-1, keepdims=True))


def confidence(logits: Logits, task: Task) -> NDArray[np.float64]:
    """Returns the probability of each decision, shape ``(texts,)``.

    The probability of the predicted label or, multi-label, of the least certain of the binary
    decisions.
    """
    likely = probabilities(logits, task)
    if task is Task.MULTI_LABEL:
        return np.asarray(np.maximum(likely, 1 - likely).min(axis=1))
    return np.asarray(likely.max(axis=1))


def mean_loss(logits: Logits, labels: Labels, *, task: Task) -> float:
    """Returns the mean cross-entropy, multi-label the binary one over texts and labels."""
    likely, known = probabilities(logits, task), label_sets(labels, logits.shape[1])
    chosen = np.where(known, likely, 1 - likely) if task is Task.MULTI_LABEL else likely[known]
    return float(-np.log(np.maximum(chosen, 1e-12)).mean())


@dataclass(frozen=True)
class Score:
    """How well logits match labels."""

    texts: Count
    """Number of texts scored."""
    accuracy: float
    """Share of texts whose labels are all correct, 0 to 1."""
    macro_f1: float
    """Unweighted mean of the labels' F1 scores, 0 to 1."""
    precision: tuple[float, ...]
    """Per label; 0 where the label was never predicted."""
    recall: tuple[float, ...]
    """Per label; 0 where the label never occurs."""
    calibration_error: float | None = None
    """Expected calibration error, 0 to 1: see ``calibration_error``; ``None`` in early runs."""
    confusion: tuple[tuple[int, ...], ...] | None = None
    """Confusion matrix: texts per true label (rows) and predicted label (columns); ``None`` for
    multi-label, and in early runs."""

    def to_dict(self) -> dict[str, object]:
        """Returns plain values for JSON."""
        return asdict(self)


def score(logits: Logits, labels: Labels, *, task: Task) -> Score:
    """Scores logits of shape ``(texts, labels)`` against reference labels.

    A label that neither occurs nor is predicted does not count towards macro-F1, as in
    scikit-learn's ``f1_score(average="macro", zero_division=np.nan)``; without any other it is 0.

    Raises:
        ValueError: The shapes do not match or there is no text.
    """
    if len(logits) != len(labels) or not len(labels):
        raise ValueError(f"expected as many labels as logits, found {len(labels)}, {len(logits)}")
    given, known = decide(logits, task), label_sets(labels, logits.shape[1])
    hits = (given & known).sum(axis=0)
    occurs, chosen = known.sum(axis=0), given.sum(axis=0)
    precision = hits / np.maximum(chosen, 1)
    recall = hits / np.maximum(occurs, 1)
    seen = (occurs + chosen) > 0
    # F1 = 2 hits / (occurrences + predictions): the harmonic mean of precision and recall.
    f1 = 2 * hits[seen] / (occurs + chosen)[seen]
    return Score(
        texts=len(labels),
        accuracy=float(_right(given, known).mean()),
        macro_f1=float(f1.mean()) if seen.any() else 0.0,
        precision=tuple(map(float, precision)),
        recall=tuple(map(float, recall)),
        calibration_error=calibration_error(logits, labels, task=task),
        confusion=None if task is Task.MULTI_LABEL else _confusion(given, known),
    )


def calibration_error(logits: Logits, labels: Labels, *, task: Task, bins: int = 15) -> float:
    """Returns the expected calibration error: the gap between confidence and accuracy, 0 to 1.

    Averaged over bins of equal width, each weighted by its number of decisions. Multi-label, each
    label of a text is one binary decision.

    Source: Guo et al. 2017, On Calibration of Modern Neural Networks (arXiv 1706.04599).
    """
    likely = probabilities(logits, task)
    given, known = decide(logits, task), label_sets(labels, logits.shape[1])
    if task is Task.MULTI_LABEL:
        sure, right = np.maximum(likely, 1 - likely).ravel(), (given == known).ravel()
    else:
        sure, right = confidence(logits, task), _right(given, known)
    sure = np.nan_to_num(sure)  # NaN logits count as confidence 0
    # A bin holds its upper edge, as in the paper.
    places = np.clip(np.ceil(sure * bins) - 1, 0, bins - 1).astype(int)
    gaps = np.bincount(places, weights=right - sure, minlength=bins)
    # Further digits depend on how texts were batched, which changes the last bits of logits.
    return round(float(np.abs(gaps).sum() / len(sure)), 6)


def _confusion(given: Decisions, known: Decisions) -> tuple[tuple[int, ...], ...]:
    counts = known.T.astype(np.int64) @ given.astype(np.int64)
    return tuple(tuple(map(int, row)) for row in counts)


def agreement(left: Logits, right: Logits, *, task: Task) -> float:
    """Returns the share of texts for which both predict the same labels, 0 to 1."""
    return float(_right(decide(left, task), decide(right, task)).mean())


def divergence(before: Logits, after: Logits, *, task: Task) -> float:
    """Returns the mean Kullback-Leibler divergence of a text's probabilities, in nats.

    Far less noisy than accuracy on the same texts, and without labels. Multi-label, the sum over
    the labels' binary probabilities.

    Args:
        before: The model that is approximated, ``(texts, labels)``.
        after: The approximation; infinite divergence if a logit is not a number.
        task: How many labels a text has.
    """
    old, new = probabilities(before, task), np.clip(probabilities(after, task), 1e-12, 1)
    terms = old * np.log(np.clip(old, 1e-12, 1) / new)
    if task is Task.MULTI_LABEL:
        rest = np.clip(1 - old, 1e-12, 1)
        terms = terms + rest * np.log(rest / np.clip(1 - new, 1e-12, 1))
    mean = float(terms.sum(axis=1).mean())
    return mean if math.isfinite(mean) else math.inf


def largest_shift(left: Logits, right: Logits) -> float:
    """Returns the largest absolute difference between two arrays of logits."""
    return float(np.abs(left - right).max())


def rms_shift(left: Logits, right: Logits) -> float:
    """Returns the root of the mean squared difference between two arrays of logits."""
    return float(np.sqrt(np.square(left - right, dtype=np.float64).mean()))


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


def wilson_interval(share: float, count: int, *, z: float = 1.959964) -> tuple[float, float]:
    """Returns the Wilson score interval of a share observed on ``count`` independent texts.

    Args:
        share: 0 to 1.
        count: At least 1.
        z: Quantile of the normal distribution; the default's level is 95 %.

    Source: Wilson 1927, Journal of the American Statistical Association 22 (158).
    """
    weight = z * z / count
    middle = (share + weight / 2) / (1 + weight)
    half = z / (1 + weight) * (share * (1 - share) / count + weight / (4 * count)) ** 0.5
    return middle - half, middle + half


@dataclass(frozen=True)
class Parity:
    """Whether two forms of a model give the same logits."""

    gate: str
    """Name of the comparison, for messages and reports."""
    max_difference: float
    """Largest absolute difference of logits."""
    limit: float
    """Largest difference that passes."""
    texts: Count
    """Number of real texts compared."""
    label_agreement: float
    """Share of texts with the same labels."""

    @classmethod
    def of(
        cls, gate: str, reference: Logits, candidate: Logits, *, limit: float, task: Task
    ) -> "Parity":
        """Compares two arrays of logits of shape ``(texts, labels)``."""
        return cls(
            gate=gate,
            max_difference=largest_shift(reference, candidate),
            limit=limit,
            texts=len(reference),
            label_agreement=agreement(reference, candidate, task=task),
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

    def to_dict(self) -> dict[str, object]:
        """Returns plain values for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Drift:
    """The effect of a lossy change on a model's predictions."""

    texts: Count
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
    """Share of texts with the same labels before and after, 0 to 1."""
    largest_shift: float
    """Largest absolute difference of logits."""
    rms_shift: float | None = None
    """Root of the mean squared difference of logits; ``None`` in early bundles."""

    def texts_for(self, half_width: float) -> int:
        """Returns about how many texts are needed for an interval of ± ``half_width`` (0 to 1).

        The width is inversely proportional to the square root of the number of texts. Where no
        prediction has changed, the rule of three applies: ``3 / half_width`` texts.

        Source: Hanley and Lippman-Hand 1983, If Nothing Goes Wrong, Is Everything All Right?
        """
        low, high = self.drop_interval
        seen = self.texts * ((high - low) / 2 / half_width) ** 2
        return math.ceil(max(seen, 3 / half_width))

    def to_dict(self) -> dict[str, object]:
        """Returns plain values for JSON."""
        return asdict(self)


def drift(before: Logits, after: Logits, labels: Labels, *, task: Task) -> Drift:
    """Compares logits before and after a lossy change on the same labelled texts."""
    known = label_sets(labels, before.shape[1])
    right_before = _right(decide(before, task), known)
    right_after = _right(decide(after, task), known)
    return Drift(
        texts=len(labels),
        accuracy_before=float(right_before.mean()),
        accuracy_after=float(right_after.mean()),
        # The mean of differences: rounding can lift the difference of means above an allowed drop.
        accuracy_drop=float((right_before - right_after).mean()),
        drop_interval=bootstrap_interval(right_before - right_after),
        label_agreement=agreement(before, after, task=task),
        largest_shift=largest_shift(before, after),
        rms_shift=rms_shift(before, after),
    )


@dataclass(frozen=True)
class Difference:
    """One model's accuracy against another's, on the same texts."""

    points: float
    """Difference in accuracy, -1 to 1; positive where it is better than the reference."""
    interval: tuple[float, float]
    """95 % bootstrap interval of ``points``, by resampling texts."""
    won: int
    """Texts that only this model labels correctly."""
    lost: int
    """Texts that only the reference labels correctly."""
    p_value: float
    """Two-sided p-value of the exact McNemar test."""


def difference(reference: Logits, logits: Logits, labels: Labels, *, task: Task) -> Difference:
    """Compares two models on the same labelled texts, the first being the reference.

    Source: McNemar 1947, Psychometrika 12 (2), in its exact form.
    """
    known = label_sets(labels, logits.shape[1])
    gains = _right(decide(logits, task), known) - _right(decide(reference, task), known)
    won, lost = int((gains > 0).sum()), int((gains < 0).sum())
    rarer = sum(math.comb(won + lost, count) for count in range(min(won, lost) + 1))
    return Difference(
        points=float(gains.mean()),
        interval=bootstrap_interval(gains),
        won=won,
        lost=lost,
        # In integers, which stay exact where powers of two exceed the range of a float.
        p_value=min(1.0, 2 * rarer / 2 ** (won + lost)),
    )


def macro_f1_interval(
    logits: Logits, labels: Labels, *, task: Task, resamples: int = 400, seed: int = 0
) -> tuple[float, float]:
    """Returns a 95 % interval of macro-F1, by resampling texts as ``bootstrap_interval`` does."""
    given, known = decide(logits, task), label_sets(labels, logits.shape[1])
    hits, occurs, chosen = (
        np.asarray(part, dtype=np.float32) for part in (given & known, known, given)
    )
    generator = np.random.default_rng(seed)
    scores = []
    for _ in range(resamples):
        drawn = generator.multinomial(len(labels), np.full(len(labels), 1 / len(labels)))
        right, there, said = (drawn.astype(np.float32) @ part for part in (hits, occurs, chosen))
        seen = (there + said) > 0
        scores.append(float((2 * right[seen] / (there + said)[seen]).mean()) if seen.any() else 0.0)
    low, high = np.quantile(scores, [0.025, 0.975])
    return float(low), float(high)


def _right(given: Decisions, known: Decisions) -> NDArray[np.float64]:
    """1 for every text whose labels are all correct, else 0; shape ``(texts,)``."""
    return np.asarray((given == known).all(axis=1), dtype=np.float64)
