"""Wrappers ("parts") around a dense layer, which let several adapters share one layer.

A part is a module that wraps a dense layer or another part. Parts are nested in the order of
``Nesting``, regardless of the order in which they were attached, and fold from the inside out.
"""

from collections.abc import Callable
from enum import IntEnum
from typing import ClassVar, NamedTuple, Self, TypeVar

import torch
from torch import Tensor, nn

from edgeadapt.errors import ModelError

__all__ = [
    "Affine",
    "Foldable",
    "Nesting",
    "Part",
    "Tap",
    "collapse",
    "dense",
    "has_dense",
    "innermost",
    "product_of",
    "put_around",
]


class Nesting(IntEnum):
    """Position of a part, from the inside out; ``purpose`` describes it in error messages."""

    purpose: str

    def __new__(cls, value: int, purpose: str) -> Self:
        """Makes a member with its purpose."""
        member = int.__new__(cls, value)
        member._value_ = value
        member.purpose = purpose
        return member

    LOW_RANK = 0, "adds a low-rank product to the weights"
    INPUT_SCALE = 1, "scales the inputs"
    OUTPUT_SCALE = 2, "scales the outputs"
    WIDTH = 3, "adds neurons"
    BESIDE = 4, "adds a bottleneck beside the sublayer"
    AFTER = 5, "adds a bottleneck behind the sublayer"
    TAP = 6, "lends the input to a part elsewhere"


class Part(nn.Module):
    """A wrapper around a dense layer.

    Args:
        base: The dense layer, or a part around it.
    """

    nesting: ClassVar[Nesting]

    def __init__(self, base: nn.Module) -> None:
        super().__init__()
        self.base = base

    def fold(self, linear: nn.Linear) -> nn.Module:
        """Returns the replacement of this part, given the dense layer inside.

        That is a dense layer if the whole part folds, else the part itself with its linear
        operations folded.
        """
        raise NotImplementedError

    def settle(self) -> None:
        """Folds within the part; called instead of ``fold`` if a part stays inside this one."""


class Affine(NamedTuple):
    """Weight and bias of an affine map, ``x -> W x + b``."""

    weight: Tensor
    """``(out, in)``."""
    bias: Tensor | None
    """``(out,)``."""


class Foldable(Part):
    """A part that is, together with the dense layer inside, an affine map."""

    def folded(self, inner: Affine) -> Affine:
        """Returns the affine map of the whole, given the inner one; it is differentiable."""
        raise NotImplementedError

    def fold(self, linear: nn.Linear) -> nn.Module:
        """Returns a dense layer equivalent to this part and the layer inside."""
        return dense(*self.folded(Affine(linear.weight, linear.bias)))


class Tap(Part):
    """Keeps the input of a dense layer for a bottleneck elsewhere; the output does not change."""

    nesting = Nesting.TAP

    def __init__(self, base: nn.Module) -> None:
        super().__init__(base)
        self._seen: list[Tensor] = []

    def forward(self, hidden: Tensor) -> Tensor:
        """Returns the dense layer's output."""
        self._seen[:] = [hidden]
        output: Tensor = self.base(hidden)
        return output

    def take(self) -> Tensor:
        """Returns the input of the latest forward pass and releases it."""
        return self._seen.pop()

    def fold(self, linear: nn.Linear) -> nn.Module:
        """Returns itself: the bottleneck that reads it stays too."""
        return self


P = TypeVar("P", bound="Part")


def put_around(parent: nn.Module, name: str, make: Callable[[nn.Module], P]) -> P:
    """Wraps the dense layer at a dotted name with a new part, in the order of ``Nesting``.

    Raises:
        ModelError: A part of the same nesting already wraps it.
    """
    part = make(parent.get_submodule(name))
    part.to(innermost(part).weight)  # the same dtype and device
    holder, at = parent, name
    while isinstance(inner := holder.get_submodule(at), Part) and inner.nesting >= part.nesting:
        if inner.nesting == part.nesting != Nesting.TAP:
            raise ModelError(
                f"Two adapters are attached to {name!r}: expected at most one that "
                f"{part.nesting.purpose}, found two.",
                hint="Leave one of the kinds out.",
            )
        holder, at = inner, "base"
    part.base = holder.get_submodule(at)
    holder.set_submodule(at, part)
    return part


def collapse(parent: nn.Module, name: str) -> None:
    """Folds the parts at a dotted name from the inside out, as far as possible.

    Idempotent: several adapters may collapse the same layer.
    """
    module = parent.get_submodule(name)
    if not isinstance(module, Part):
        return
    collapse(module, "base")
    with torch.no_grad():
        if isinstance(module.base, nn.Linear):
            parent.set_submodule(name, module.fold(module.base))
        else:
            module.settle()


def has_dense(parent: nn.Module, name: str) -> bool:
    """Returns whether there is a dense layer at a dotted name, with or without parts around it.

    In a pruned model there is none where a sublayer was dropped: its bias alone is left.
    """
    try:
        module = parent.get_submodule(name)
    except AttributeError:  # torch's error for a name that does not exist
        return False
    return isinstance(module, nn.Linear | Part)


def innermost(module: nn.Module) -> nn.Linear:
    """Returns the dense layer inside all parts.

    Raises:
        ModelError: The module inside is not an ``nn.Linear``.
    """
    while isinstance(module, Part):
        module = module.base
    if not isinstance(module, nn.Linear):
        raise ModelError(f"Expected an nn.Linear, found a {type(module).__name__}.")
    return module


def product_of(module: nn.Module) -> Affine | None:
    """Returns the affine map of a dense layer and its parts; it is differentiable.

    ``None`` if a part is not affine.
    """
    if isinstance(module, nn.Linear):
        return Affine(module.weight, module.bias)
    inner = product_of(module.base) if isinstance(module, Foldable) else None
    return module.folded(inner) if isinstance(module, Foldable) and inner else None


def dense(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    """Returns a stock dense layer that owns the given values: ``(out, in)`` and ``(out,)``."""
    linear = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, device="meta")
    linear.weight = nn.Parameter(weight)
    if bias is not None:
        linear.bias = nn.Parameter(bias)
    return linear
