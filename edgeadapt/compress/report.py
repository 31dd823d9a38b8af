"""What a bundle says of a chain of steps."""

from collections.abc import Iterable

from edgeadapt.compress.budget import DECIDING_TEXTS, SLACK, Budget
from edgeadapt.compress.climb import Taken
from edgeadapt.metrics import Drift
from edgeadapt.recipe import EngineName, Objective, Platform
from edgeadapt.store.compression import Compression, StepReport

__all__ = ["compression_of"]


def compression_of(
    chain: Iterable[Taken],
    *,
    budget: Budget,
    spent: Drift,
    earlier: Iterable[StepReport] = (),
    objective: Objective | None = None,
    platform: Platform | None = None,
    engine: EngineName | None = None,
) -> Compression:
    """Returns the report of a chain; steps that are exact are not in it.

    Args:
        chain: The steps that were taken.
        budget: What they were allowed to cost together.
        spent: What the finished file costs.
        earlier: Steps that were taken before, of which those that are taken again are left out.
        objective: What the model is best at, where a step chose by that.
        platform: What it is made for.
        engine: What runs it.
    """
    new = [taken.report for taken in chain if taken.chosen.drift]
    again = {step.name for step in new}
    return Compression(
        max_drop=budget.max_drop,
        texts=spent.texts,
        deciding_texts=DECIDING_TEXTS,
        slack=SLACK,
        steps=(*(step for step in earlier if step.name not in again), *new),
        spent=spent,
        objective=objective,
        platform=platform,
        engine=engine,
    )
