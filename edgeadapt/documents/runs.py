"""The columns of the tables of ``edgeadapt train``."""

from collections.abc import Sequence
from dataclasses import dataclass

from edgeadapt.documents.cells import Cell, Column, accuracy, count, fixed, share, text
from edgeadapt.metrics import Score
from edgeadapt.store.run import RunInfo

__all__ = ["COMPARED", "LABELS", "SCORES", "LabelScores", "Scores", "label_scores", "measured"]


@dataclass(frozen=True)
class Scores:
    """Scores of a classifier on one set of texts."""

    name: str
    """Name of the set."""
    texts: int
    accuracy: float
    macro_f1: float

    @classmethod
    def of(cls, name: str, score: Score | None) -> "Scores":
        """Returns the scores of a trained run on a split."""
        known = measured(score)
        return cls(name, known.texts, known.accuracy, known.macro_f1)


def measured(score: Score | None) -> Score:
    """Returns a score that is not ``None``: trained runs are scored on both splits."""
    assert score is not None
    return score


@dataclass(frozen=True)
class LabelScores:
    """Scores of one label."""

    label: str
    precision: float
    recall: float
    f1: float
    texts: int | None
    """Texts with that label; ``None`` for multi-label tasks, like the next field."""
    mistaken: tuple[str, int] | None
    """The most frequent wrong prediction for its texts, and its count; ``None`` without any."""


def _accuracy(scores: Scores) -> Cell:
    return accuracy(scores.accuracy, scores.texts)


def _trained(info: RunInfo) -> Cell:
    """The share of trained parameters, with two decimals because it is often below 1 %."""
    fraction = info.trainable_parameters / info.total_parameters
    return Cell(f"{fraction:.2%}", value=fraction)


def _mistaken(scores: LabelScores) -> str | None:
    return None if scores.mistaken is None else "{} ({})".format(*scores.mistaken)


SCORES: tuple[Column[Scores], ...] = (
    Column.of("texts", "", count, lambda scores: scores.texts),
    Column("accuracy", "", _accuracy),
    Column.of("macro-F1", "", share, lambda scores: scores.macro_f1),
)
COMPARED: tuple[Column[RunInfo], ...] = (
    Column("trained", "", _trained),
    Column("validation", "", lambda info: _accuracy(Scores.of("validation", info.validation))),
    Column("test", "", lambda info: _accuracy(Scores.of("test", info.test))),
    Column.of("macro-F1", "", share, lambda info: measured(info.test).macro_f1),
    Column.of("time", "s", fixed(0), lambda info: info.seconds),
)
LABELS: tuple[Column[LabelScores], ...] = (
    Column.of("precision", "", share, lambda scores: scores.precision),
    Column.of("recall", "", share, lambda scores: scores.recall),
    Column.of("F1", "", share, lambda scores: scores.f1),
    Column.of("texts", "", count, lambda scores: scores.texts),
    Column.of("mostly mistaken for", "", text, _mistaken),
)


def label_scores(info: RunInfo) -> list[LabelScores]:
    """Returns the scores of each label on test text, the worst first."""
    test = measured(info.test)
    found = [
        _label(at, info.labels, test.precision[at], test.recall[at], test.confusion)
        for at in range(len(info.labels))
    ]
    return sorted(found, key=lambda scores: scores.f1)


def _label(
    at: int,
    names: Sequence[str],
    precision: float,
    recall: float,
    confusion: Sequence[Sequence[int]] | None,
) -> LabelScores:
    f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    if confusion is None:
        return LabelScores(names[at], precision, recall, f1, None, None)
    wrong = [(number, names[to]) for to, number in enumerate(confusion[at]) if to != at and number]
    number, mistaken = max(wrong, default=(0, ""))
    return LabelScores(
        names[at],
        precision,
        recall,
        f1,
        sum(confusion[at]),
        (mistaken, number) if number else None,
    )
