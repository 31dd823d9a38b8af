"""How much of a model's layers to remove: the value of ``--compress``."""

import re
from dataclasses import dataclass
from typing import Self

__all__ = ["COMPRESS_WORDS", "Reduction", "is_reduction"]

COMPRESS_WORDS = "auto, none, or depth=N, prune=SHARE or both, joined by a comma"
"""What ``Reduction.parsed`` reads, in words."""

_PART = re.compile(r"(depth)=(\d{1,4})|(prune)=(0?\.\d+|0|1|\d{1,3}(?:\.\d+)?%)")


@dataclass(frozen=True)
class Reduction:
    """What to remove; with neither number, as much as the accuracy budget allows."""

    depth: int | None = None
    """Number of transformer layers to keep, from the first; at least 1."""
    prune: float | None = None
    """Share of heads and FFN neurons to remove from these layers, weighted by their number of
    weights: 0 to below 1."""

    @property
    def is_search(self) -> bool:
        """Whether the numbers are searched for."""
        return self.depth is None and self.prune is None

    def __str__(self) -> str:
        numbers = {"depth": self.depth, "prune": self.prune}
        given = [f"{name}={value}" for name, value in numbers.items() if value is not None]
        return ",".join(given) or "auto"

    @classmethod
    def parsed(cls, value: str) -> Self | None:
        """Reads ``auto`` or, for example, ``depth=4,prune=0.5``; ``None`` for ``none``.

        Raises:
            ValueError: It is neither, or a number is out of range.
        """
        if value in ("auto", "none"):
            return cls() if value == "auto" else None
        numbers: dict[str, str] = {}
        for part in value.split(","):
            found = _PART.fullmatch(part.strip())
            if found is None:
                raise ValueError(part)
            name, number = (group for group in found.groups() if group is not None)
            if name in numbers:
                raise ValueError(part)
            numbers[name] = number
        depth = int(numbers["depth"]) if "depth" in numbers else None
        prune = _share(numbers["prune"]) if "prune" in numbers else None
        if depth == 0 or (prune is not None and not 0 <= prune < 1):
            raise ValueError(value)
        return cls(depth, prune)


def _share(text: str) -> float:
    return float(text[:-1]) / 100 if text.endswith("%") else float(text)


def is_reduction(value: str) -> bool:
    """Returns whether ``Reduction.parsed`` reads a value."""
    try:
        Reduction.parsed(value)
    except ValueError:
        return False
    return True
