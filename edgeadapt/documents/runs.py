"""The columns of what ``edgeadapt train`` shows of runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgeadapt.documents.cells import Cell, Column, count, fixed, share, text
from edgeadapt.metrics import wilson_interval
from edgeadapt.run import RunInfo

__all__ = ["COMPARED", "LABELS", "SCORES", "LabelScores", "Scores", "label_scores"]


@dataclass(frozen=True)
class Scores:
    """What a classifier scores on one set of texts."""

    name: str
    """Of the set."""
    texts: int
    accuracy: float
    macro_f1: float

    @classmethod
    def of(cls, name: str, scores: Mapping[str, Any]) -> "Scores":
        """Returns what a run says of a split, whose scores are plain JSON values there."""
        return cls(name, scores["texts"], scores["accuracy"], scores["macro_f1"])


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
    return share(scores.accuracy, wilson_interval(scores.accuracy, scores.texts))


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
    Column.of("macro-F1", "", share, lambda info: info.test["macro_f1"]),
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
    test = info.test
    found = [
        _label(at, info.labels, test["precision"][at], test["recall"][at], test["confusion"])
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
