"""Report a chain of compression steps in a bundle."""

from collections.abc import Iterable

from edgeadapt.compress.budget import DECIDING_TEXTS, SLACK, Budget
from edgeadapt.compress.climb import Taken
from edgeadapt.metrics import Drift
from edgeadapt.recipe import EngineName, Objective, Platform
from edgeadapt.store.compression import Compression, Shrunk, StepReport

__all__ = ["compression_of"]


def compression_of(
    chain: Iterable[Taken],
    *,
    budget: Budget,
    spent: Drift,
    earlier: Iterable[StepReport] = (),
    shrunk: Shrunk | None = None,
    objective: Objective | None = None,
    platform: Platform | None = None,
    engine: EngineName | None = None,
) -> Compression:
    """Returns the report of a chain, without exact steps.

    Args:
        chain: The steps that were taken.
        budget: The accuracy budget.
        spent: Drift of the finished file.
        earlier: Steps of an earlier export; those that ``chain`` repeats are left out.
        shrunk: What was removed from the layers; ``None`` if nothing.
        objective: What was optimized; ``None`` if no step had an objective.
        platform: The platform of the model.
        engine: The engine of the model.
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
        shrunk=shrunk,
        objective=objective,
        platform=platform,
        engine=engine,
    )
