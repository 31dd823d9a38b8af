"""What a run says of its training beside the recipe: data, frozen weights, where it comes from."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from edgeadapt.typed import Count

__all__ = ["DataReport", "FrozenHashes", "Imported"]


@dataclass(frozen=True)
class DataReport:
    """What a data set is like; what needs training text is empty for an imported run."""

    examples: Mapping[str, Count]
    """Split -> number of examples."""
    fingerprint: str | None = None
    """Hash of all examples; ``None`` without data."""
    truncated: Mapping[str, Count] = field(default_factory=dict)
    """Split -> texts that are longer than the longest input."""
    unknown: Mapping[str, float] = field(default_factory=dict)
    """Split -> share of tokens that the tokenizer has no word piece for, 0 to 1."""
    shared: Mapping[str, Count] = field(default_factory=dict)
    """``SPLIT in SPLIT`` -> texts that both have."""
    contradictory: Count | None = None
    """Training texts that occur with different labels."""


@dataclass(frozen=True)
class FrozenHashes:
    """Hash of all weights that are not trained."""

    before: str
    """Before training."""
    after: str
    """After it: the same."""


@dataclass(frozen=True)
class Imported:
    """Where a run comes from that was not trained here."""

    format: str
    """Such as ``peft``, ``adapterhub`` or ``checkpoint``."""
    folder: str
    """Name of the folder or hub id."""
