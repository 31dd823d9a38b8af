"""Select the heads and neurons to keep: those that matter most for what they cost."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from edgeadapt.compress.costs import LayerCosts, WidthCosts
from edgeadapt.runtime.resized import KeptWidths
from edgeadapt.shrink.importance import Importance
from edgeadapt.store.structure import Structure

__all__ = ["BLOCK", "Prices", "select", "structure_with"]

BLOCK = 32
"""Neurons are removed in blocks of this size: integer kernels compute multiples of it as fast."""

_LEAST_PRICE = 1e-9


@dataclass(frozen=True)
class Prices:
    """What each part of a model costs, in any unit."""

    head: tuple[float, ...]
    """One head of each layer."""
    neuron: tuple[float, ...]
    """One neuron of each layer."""
    attention: tuple[float, ...]
    """What each layer's attention costs in addition to its heads, unless it has none."""
    ffn: tuple[float, ...]
    """What each layer's FFN costs in addition to its neurons, unless it has none."""

    @classmethod
    def of_latency(cls, costs: LayerCosts, structure: Structure) -> Self:
        """Returns prices in milliseconds, straight lines through the measured costs."""
        inner, last = structure.depth - 1, structure.depth - 1
        head, attention = _line(costs.attention, structure.heads[0], least=1)
        neuron, ffn = _line(costs.ffn, structure.neurons[0], least=BLOCK)
        last_head, _ = _line(costs.last_attention, structure.heads[last], least=1)
        last_neuron, last_ffn = _line(costs.last_ffn, structure.neurons[last], least=BLOCK)
        return cls(
            head=(*[head] * inner, last_head),
            neuron=(*[neuron] * inner, last_neuron),
            attention=(*[attention] * inner, attention),
            ffn=(*[ffn] * inner, last_ffn),
        )

    @classmethod
    def of_weights(cls, costs: LayerCosts, structure: Structure) -> Self:
        """Returns prices in weights."""
        depth = structure.depth
        return cls(
            head=(float(costs.head_weights),) * depth,
            neuron=(float(costs.neuron_weights),) * depth,
            attention=(0.0,) * depth,
            ffn=(0.0,) * depth,
        )


@dataclass(frozen=True)
class _Sublayer:
    """The units of a sublayer, heads or blocks of neurons, the most valuable first."""

    units: tuple[tuple[int, ...], ...]
    """The heads or neurons of each unit."""
    importance: Tensor
    """Of each unit, ``(units,)``, descending."""
    price: float
    """Of one unit."""
    fixed: float

    @classmethod
    def of(cls, importance: Tensor, *, block: int, price: float, fixed: float) -> "_Sublayer":
        order = importance.argsort(descending=True, stable=True)
        units = tuple(tuple(order[at : at + block].tolist()) for at in range(0, len(order), block))
        sums = torch.tensor([float(importance[list(unit)].sum()) for unit in units])
        return cls(units, sums.double(), price * block, fixed)

    @property
    def values(self) -> list[float]:
        """The importance of each unit for what it costs."""
        return [float(value) / self.price for value in self.importance]

    def kept(self, least: float) -> list[int]:
        """Returns the heads or neurons whose value is at least ``least``, in order.

        None are kept if those together are worth less than the whole sublayer costs.
        """
        values = self.values
        count = sum(value >= least for value in values)
        worth = float(self.importance[:count].sum())
        if worth < least * (self.fixed + count * self.price):
            return []
        return sorted(number for unit in self.units[:count] for number in unit)


def select(
    importance: Importance,
    prices: Prices,
    *,
    fits: Callable[[Structure], bool],
    heads: bool = True,
) -> list[KeptWidths]:
    """Returns the widths of each layer with the most importance for which ``fits`` holds.

    All heads and neurons of all layers compete. Those are kept whose importance for what they cost
    exceeds a threshold, the lowest one with which the structure fits; a sublayer is dropped if what
    is left of it is worth less than its fixed cost. One head always stays.

    Args:
        importance: Of each head and neuron.
        prices: What they cost.
        fits: Whether a structure is small or fast enough; must hold for every smaller one too.
        heads: Whether heads can be removed.
    """
    layers = range(len(importance.neurons))
    attention = [
        _Sublayer.of(importance.heads[n], block=1, price=prices.head[n], fixed=prices.attention[n])
        for n in layers
    ]
    ffn = [
        _Sublayer.of(
            importance.neurons[n], block=BLOCK, price=prices.neuron[n], fixed=prices.ffn[n]
        )
        for n in layers
    ]

    def at(least: float) -> list[KeptWidths]:
        chosen = [part.kept(least) for part in attention]
        if not any(chosen):  # without any attention, a text's words would not be read
            best = max(layers, key=lambda n: max(attention[n].values, default=0.0))
            chosen[best] = sorted(attention[best].units[0]) if attention[best].units else []
        return [
            KeptWidths(mine if heads else None, part.kept(least))
            for mine, part in zip(chosen, ffn, strict=True)
        ]

    every = [value for part in [*attention * heads, *ffn] for value in part.values]
    thresholds = [0.0, *sorted(set(every)), float("inf")]
    low, high = 0, len(thresholds) - 1
    while low < high:
        middle = (low + high) // 2
        if fits(structure_with(importance, at(thresholds[middle]))):
            high = middle
        else:
            low = middle + 1
    return at(thresholds[low])


def structure_with(importance: Importance, kept: Sequence[KeptWidths]) -> Structure:
    """Returns the structure of a model that keeps these heads and neurons."""
    counts = zip(kept, importance.heads, importance.neurons, strict=True)
    return Structure(
        *zip(
            *(
                (
                    len(heads if widths.heads is None else widths.heads),
                    len(neurons if widths.neurons is None else widths.neurons),
                )
                for widths, heads, neurons in counts
            ),
            strict=True,
        )
    )


def _line(costs: WidthCosts, width: int, *, least: int) -> tuple[float, float]:
    """Returns the slope of a cost between two widths, and what the sublayer costs besides.

    The slope is never 0: what costs nothing would be worth keeping at any importance.
    """
    slope = (costs.of(width) - costs.of(least)) / max(width - least, 1)
    fixed = costs.of(least) - costs.of(0) - slope * least
    return max(slope, _LEAST_PRICE), max(fixed, 0.0)
