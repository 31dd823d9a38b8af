"""Search for the smaller models that the accuracy budget allows."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import inf

from edgeadapt.compress.budget import Budget, Reference
from edgeadapt.compress.costs import LayerCosts
from edgeadapt.errors import ModelError
from edgeadapt.metrics import Drift, Logits, divergence
from edgeadapt.recipe.reduction import Reduction
from edgeadapt.shrink.candidate import Small, Workshop
from edgeadapt.shrink.selection import Prices
from edgeadapt.store.structure import Structure

__all__ = ["FACTORS", "Goal", "Search", "Tried"]

FACTORS = (1.25, 1.5, 1.75, 2.0, 2.25, 2.5, 2.75, 3.0, 3.5, 4.0, 4.5, 5.0, 6.0, 7.0, 8.0, 10.0)
"""How many times less a smaller model may cost, in the search: times as fast, or as small."""
HOPELESS = 0.05
"""A depth is given up if its layers alone, refitted, exceed the budget by more than
this share of accuracy."""


@dataclass(frozen=True)
class Goal:
    """What a smaller model is made for."""

    cost: Callable[[Structure], float]
    """What a structure costs, in any unit."""
    prices: Callable[[Structure], Prices]
    """What the parts of a structure cost, in the same unit."""

    @classmethod
    def speed(cls, costs: LayerCosts) -> "Goal":
        """Low latency."""
        return cls(costs.of, lambda structure: Prices.of_latency(costs, structure))

    @classmethod
    def size(cls, costs: LayerCosts) -> "Goal":
        """Few weights in the layers."""
        return cls(
            lambda structure: float(costs.weights(structure)),
            lambda structure: Prices.of_weights(costs, structure),
        )


@dataclass(frozen=True)
class Tried:
    """A smaller model, judged."""

    small: Small
    logits: Logits
    """On the reference's texts, ``(texts, labels)``."""
    cost: Drift
    divergence: float
    """From the original's answers, in nats; see ``metrics.divergence``. It tells models apart that
    a few hundred labels cannot."""
    factor: float
    """How many times less it costs than the original, by the search's goal."""


class Search:
    """Tries smaller models of one model, and remembers them.

    Args:
        workshop: Makes them.
        goal: What they are made for.
        budget: The accuracy that they may cost.
        reference: What they are judged by.
    """

    def __init__(
        self,
        workshop: Workshop,
        goal: Goal,
        *,
        budget: Budget,
        reference: Reference,
    ) -> None:
        self._workshop, self._goal = workshop, goal
        self._budget, self._reference = budget, reference
        self.tried: list[Tried] = []
        """All models in the order in which they were made."""
        self._full = goal.cost(workshop.structure)
        self._best = -1
        """Index of the largest factor that the budget allows."""

    def given(self, wanted: Reduction, costs: LayerCosts) -> None:
        """Tries the one model that was asked for."""
        depth = self._workshop.structure.depth if wanted.depth is None else wanted.depth
        if not wanted.prune:
            self._recovered(self._judge(self._workshop.only_shallow(depth)))
            return
        most = (1 - wanted.prune) * costs.weights(self._workshop.structure_at(depth))
        self._recovered(
            self._judge(
                self._workshop.small(
                    depth, self._prices(depth), lambda structure: costs.weights(structure) <= most
                )
            )
        )

    def cheapest(self) -> None:
        """Tries models that cost less and less, at every depth, as long as the budget allows.

        At full depth the limit is found by bisection. A shallower model is then tried from where
        the deeper ones ended. If models can be trained on, cheaper ones follow as long as that
        brings them back into the budget.
        """
        self._best = self._limit(self._workshop.structure.depth, -1)
        for depth in self._shallower():
            self._best = self._limit(depth, self._best)
        while self._best + 1 < len(FACTORS) and self._recovers(FACTORS[self._best + 1]):
            self._best += 1

    def dearer(self) -> Iterator[Tried]:
        """Yields models that cost more and more, after ``cheapest``: those with all layers.

        They are trained on, if that is asked for.
        """
        for index in reversed(range(self._best)):
            before = len(self.tried)
            tried = self._try(self._workshop.structure.depth, FACTORS[index])
            if tried is not None and len(self.tried) > before:
                yield self._recovered(tried) or tried

    def at(self, factor: float) -> None:
        """Tries a model of every depth that costs ``factor`` times less."""
        self._try(self._workshop.structure.depth, factor)
        for depth in self._shallower(factor):
            self._try(depth, factor)
        self._recovers(factor)

    def _recovers(self, factor: float) -> bool:
        """Trains the model nearest to the original on; returns whether the budget allows it."""
        if not self._workshop.recovers:
            return False
        self._try(self._workshop.structure.depth, factor)
        tried = [one for one in self.tried if one.factor >= factor and not one.small.recovered]
        if not tried:
            return False
        best = min(tried, key=lambda one: one.divergence)
        recovered = self._recovered(best)
        return recovered is not None and self._budget.met_by(recovered.cost)

    def _recovered(self, tried: Tried) -> Tried | None:
        """Trains a model on and judges it, if that is asked for."""
        if not self._workshop.recovers:
            return None
        return self._judge(self._workshop.recovered(tried.small))

    def _shallower(self, factor: float = 1.0) -> Iterator[int]:
        """Tries the layers of each smaller depth alone; yields those worth making narrower.

        A depth is not worth more if its layers with all heads and neurons are farther from the
        original than the nearest narrow model, or the cheapest allowed one, that was found so far.
        """
        for depth in range(self._workshop.structure.depth - 1, 0, -1):
            try:
                alone = self._judge(self._workshop.only_shallow(depth))
            except ModelError:  # layers that share weights cannot be cut anywhere
                continue
            hopeless = alone.cost.accuracy_drop > self._budget.max_drop + HOPELESS
            if hopeless or alone.divergence > self._divergence_to_beat(factor):
                return
            yield depth

    def _divergence_to_beat(self, factor: float) -> float:
        narrow = [one for one in self.tried if one.factor >= factor and self._is_narrow(one)]
        if factor > 1:
            return min((one.divergence for one in narrow), default=inf)
        allowed = [one for one in narrow if self._budget.met_by(one.cost)]
        return max(allowed, key=lambda one: one.factor).divergence if allowed else inf

    def _is_narrow(self, tried: Tried) -> bool:
        structure = tried.small.structure
        return structure != self._workshop.structure_at(structure.depth)

    def _limit(self, depth: int, best: int) -> int:
        """Returns the index of the largest factor that a depth allows, at least ``best``."""
        low, high = best, len(FACTORS)
        if best >= 0 and not self._allowed(depth, best + 1):
            return best
        while high - low > 1:
            middle = low + 1 if low == best >= 0 else (low + high) // 2
            if self._allowed(depth, middle):
                low = middle
            else:
                high = middle
        return low

    def _allowed(self, depth: int, index: int) -> bool:
        if index >= len(FACTORS):
            return False
        tried = self._try(depth, FACTORS[index])
        return tried is None or self._budget.met_by(tried.cost)

    def _try(self, depth: int, factor: float) -> Tried | None:
        """Tries a model; ``None`` where no width can be removed, or none needs to be."""
        most = self._full / factor
        if not self._workshop.has_widths:
            return None
        if self._goal.cost(self._workshop.structure_at(depth)) <= most:
            return None
        return self._judge(
            self._workshop.small(
                depth, self._prices(depth), lambda structure: self._goal.cost(structure) <= most
            )
        )

    def _prices(self, depth: int) -> Prices:
        return self._goal.prices(self._workshop.structure_at(depth))

    def _judge(self, small: Small) -> Tried:
        alike = small.structure, small.recovered
        same = next(
            (t for t in self.tried if (t.small.structure, t.small.recovered) == alike), None
        )
        if same is not None:
            return same
        logits = self._workshop.opened(small).logits(self._reference.texts)
        cost = self._reference.cost_of(logits)
        far = divergence(self._reference.logits, logits, task=self._reference.task)
        tried = Tried(small, logits, cost, far, self._full / self._goal.cost(small.structure))
        self.tried.append(tried)
        return tried
