"""The columns of what ``edgeadapt train`` shows of runs."""

from collections.abc import Sequence
from dataclasses import dataclass

from edgeadapt.documents.cells import Cell, Column, accuracy, count, fixed, share, text
from edgeadapt.metrics import Score
from edgeadapt.store.run import RunInfo

__all__ = ["COMPARED", "LABELS", "SCORES", "LabelScores", "Scores", "label_scores", "measured"]


@dataclass(frozen=True)
class Scores:
    """What a classifier scores on one set of texts."""

    name: str
    """Of the set."""
    texts: int
    accuracy: float
    macro_f1: float

    @classmethod
    def of(cls, name: str, score: Score | None) -> "Scores":
        """Returns what a trained run says of a split."""
        known = measured(score)
        return cls(name, known.texts, known.accuracy, known.macro_f1)


def measured(score: Score | None) -> Score:
    """Returns the score of a run that was trained, and therefore scored on both splits."""
    assert score is not None
    return score


@dataclass(frozen=True)
class LabelScores:
    """How one label fares."""

    label: str
    precision: float
    recall: float
    f1: float
    texts: int | None
    """Of that label; ``None`` where a text can have several, as the next."""
    mistaken: tuple[str, int] | None
    """The label that most of its texts got instead, and how many; ``None`` without any."""


def _accuracy(scores: Scores) -> Cell:
    return accuracy(scores.accuracy, scores.texts)


def _trained(info: RunInfo) -> Cell:
    """The share of trained parameters: often so small that it needs two decimals."""
    found = info.trainable_parameters / info.total_parameters
    return Cell(f"{found:.2%}", value=found)


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
    """Returns how each label fares on test text, the worst first."""
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
