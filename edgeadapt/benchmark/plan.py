"""Three sizes of a benchmark plan."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from edgeadapt.store.plan import Plan

__all__ = ["PLANS", "Effort"]


class Effort(StrEnum):
    """Size of a benchmark plan."""

    QUICK = "quick"
    DEFAULT = "default"
    THOROUGH = "thorough"


PLANS: Mapping[Effort, Plan] = MappingProxyType(
    {
        Effort.QUICK: Plan(
            lengths=(16, 64, 128), rounds=2, repeats=35, warmup=5, starts=3, texts=200, timed=50,
            batches=(1, 32), bulks=1, bulk=96, passes=2, calls=200, scaling=0,
        ),
        Effort.DEFAULT: Plan(),
        Effort.THOROUGH: Plan(
            rounds=10, repeats=200, starts=30, timed=1_000, seconds=60,
            batches=(1, 2, 4, 8, 16, 32, 64), bulks=3, bulk=1_024, calls=10_000, scaling=3,
        ),
    }
)  # fmt: skip
"""Size -> plan. The last one follows MLPerf's inference rules for a scenario, at least 60 s and
1,024 queries; its results are not MLPerf results."""
