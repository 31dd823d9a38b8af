"""Facts about a training beside the recipe: data statistics, frozen weights, import source."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from edgeadapt.typed import Count

__all__ = ["DataReport", "FrozenHashes", "Imported"]


@dataclass(frozen=True)
class DataReport:
    """Statistics of a data set; those of training text are empty for an imported run."""

    examples: Mapping[str, Count]
    """Split -> number of examples."""
    fingerprint: str | None = None
    """Hash of all examples; ``None`` without data."""
    truncated: Mapping[str, Count] = field(default_factory=dict)
    """Split -> number of truncated texts."""
    unknown: Mapping[str, float] = field(default_factory=dict)
    """Split -> share of unknown tokens, 0 to 1."""
    shared: Mapping[str, Count] = field(default_factory=dict)
    """``SPLIT in SPLIT`` -> number of texts in both."""
    contradictory: Count | None = None
    """Number of training texts that occur with different labels."""


@dataclass(frozen=True)
class FrozenHashes:
    """Hash of all frozen weights."""

    before: str
    """Before training."""
    after: str
    """After training; must be equal."""


@dataclass(frozen=True)
class Imported:
    """Source of an imported run."""

    format: str
    """Format, such as ``peft``, ``adapterhub`` or ``checkpoint``."""
    folder: str
    """Name of the folder or hub id."""
