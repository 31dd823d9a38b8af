"""What a record says of the texts that a benchmark answered."""

from collections.abc import Sequence
from dataclasses import dataclass

from edgeadapt.recipe import Task
from edgeadapt.typed import Count

__all__ = ["EvaluationInfo"]


@dataclass(frozen=True, kw_only=True)
class EvaluationInfo:
    """The texts of a benchmark: where they come from and their labels, not the texts themselves."""

    origin: str
    """Where they come from, in words."""
    sha256: str | None = None
    """Hash of the file they come from; ``None`` without a file."""
    texts: Count
    """Number of texts answered."""
    labels: Sequence[int] | Sequence[Sequence[int]] | None
    """Label index per text or, multi-label, 0 and 1 per text and label; ``None`` where unknown."""
    task: Task = Task.SINGLE_LABEL
    """How many labels a text has."""
    names: tuple[str, ...] = ()
    """What the labels are called, in the order of the logits; empty in early records."""
