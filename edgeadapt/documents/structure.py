"""The columns and sentences about what was removed from the layers of a model."""

from collections.abc import Sequence
from dataclasses import dataclass

from edgeadapt.documents.cells import Cell, Column, count, share
from edgeadapt.store.compression import Shrunk

__all__ = ["LAYER", "LAYERS", "Layer", "layers_of", "removed", "removed_note", "speed_note"]


@dataclass(frozen=True)
class Layer:
    """A layer of the uncompressed model, and what is left of it."""

    number: int
    """From 1."""
    heads_before: int
    neurons_before: int
    heads: int | None
    """Attention heads that are left; ``None`` if the layer was removed."""
    neurons: int | None
    """FFN neurons that are left; ``None`` if the layer was removed."""
    head_importance: float | None
    """Share of the importance of all heads, 0 to 1; ``None`` if the layer was removed, or where
    layers share their weights."""
    neuron_importance: float | None
    """The same of the neurons."""


def layers_of(shrunk: Shrunk) -> list[Layer]:
    """Returns all layers of the uncompressed model, the first one first."""
    before, after = shrunk.before, shrunk.after
    unknown = [None] * after.depth
    left = zip(
        after.heads,
        after.neurons,
        _shares(shrunk.head_importance) or unknown,
        _shares(shrunk.neuron_importance) or unknown,
        strict=True,
    )
    kept = dict(zip(shrunk.layers, left, strict=True))
    return [
        Layer(number + 1, heads, neurons, *kept.get(number, (None, None, None, None)))
        for number, (heads, neurons) in enumerate(zip(before.heads, before.neurons, strict=True))
    ]


def _shares(values: Sequence[float]) -> list[float]:
    total = sum(values)
    return [value / total if total else 0.0 for value in values]


def _left(number: int | None, before: int) -> Cell:
    if number is None:
        return Cell("removed", value=0)
    return Cell(f"{number:,} of {before:,}", value=number)


LAYER: Column[Layer] = Column.of("layer", "", count, lambda layer: layer.number)
LAYERS: tuple[Column[Layer], ...] = (
    Column("heads", "", lambda layer: _left(layer.heads, layer.heads_before)),
    Column("neurons", "", lambda layer: _left(layer.neurons, layer.neurons_before)),
    Column.of("importance of its heads", "", share, lambda layer: layer.head_importance),
    Column.of("importance of its neurons", "", share, lambda layer: layer.neuron_importance),
)


def removed(shrunk: Shrunk) -> str:
    """Returns how much was removed, such as ``2 of 6 layers and 24 of 72 attention heads``."""
    before, after = shrunk.before, shrunk.after
    parts = [
        f"{was - left:,} of {was:,} {noun}"
        for was, left, noun in (
            (before.depth, after.depth, "layers"),
            (sum(before.heads), sum(after.heads), "attention heads"),
            (sum(before.neurons), sum(after.neurons), "FFN neurons"),
        )
        if left < was
    ]
    *others, last = parts or ["nothing"]
    return f"{', '.join(others)}{' and ' * bool(others)}{last}"


def removed_note(shrunk: Shrunk) -> str:
    """Returns a sentence on how much was removed."""
    return f"Removed: {removed(shrunk)}."


def speed_note(shrunk: Shrunk) -> str:
    """Returns a sentence on the speed, as predicted and as measured."""
    compared = "as fast as the same bundle with nothing removed"
    predicted = f"{shrunk.predicted:.2f} times"
    if shrunk.measured is None:
        return (
            f"At {shrunk.tokens} tokens, {predicted} {compared} was predicted; it was not measured "
            "after the bundle was quantized again."
        )
    return (
        f"At {shrunk.tokens} tokens, it is {shrunk.measured:.2f} times {compared} (measured); "
        f"{predicted} was predicted."
    )
