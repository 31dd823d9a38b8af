"""The evaluation texts of a benchmark, as recorded."""

from collections.abc import Sequence
from dataclasses import dataclass

from edgeadapt.recipe import Task
from edgeadapt.typed import Count

__all__ = ["EvaluationInfo"]


@dataclass(frozen=True, kw_only=True)
class EvaluationInfo:
    """Origin and labels of the texts of a benchmark, without the texts."""

    origin: str
    """Origin, as a phrase."""
    sha256: str | None = None
    """Hash of the file they come from; ``None`` without a file."""
    texts: Count
    """Number of texts that were classified."""
    labels: Sequence[int] | Sequence[Sequence[int]] | None
    """Label index per text or, multi-label, 0 and 1 per text and label; ``None`` where unknown."""
    task: Task = Task.SINGLE_LABEL
    """How many labels a text has."""
    names: tuple[str, ...] = ()
    """Names of the labels, in the order of the logits; empty in early records."""
