"""How much is measured: three sizes of the same plan."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

__all__ = ["PLANS", "Effort", "Plan"]


class Effort(StrEnum):
    """How long a benchmark may take."""

    QUICK = "quick"
    DEFAULT = "default"
    THOROUGH = "thorough"


@dataclass(frozen=True)
class Plan:
    """Counts; all of them are per variant."""

    lengths: tuple[int, ...] = (16, 32, 64, 128)
    """Fixed token counts; those above a bundle's ``max_length`` are left out."""
    rounds: int = 5
    """Fresh measuring processes, interleaved over the variants."""
    repeats: int = 100
    """Timed runs per fixed length and process."""
    warmup: int = 10
    """Runs before the timed ones, per fixed length and process; not recorded."""
    starts: int = 15
    """Fresh processes timed from start to first label, interleaved over the variants."""
    texts: int = 2_000
    """Real texts that the first process answers (accuracy); further ones answer ``timed``."""
    timed: int = 200
    """Real texts that every further process answers (latency only)."""


PLANS: Mapping[Effort, Plan] = MappingProxyType(
    {
        Effort.QUICK: Plan(
            lengths=(16, 64, 128), rounds=2, repeats=35, warmup=5, starts=2, texts=200, timed=50
        ),
        Effort.DEFAULT: Plan(),
        Effort.THOROUGH: Plan(rounds=10, repeats=200, starts=30, timed=1_000),
    }
)
