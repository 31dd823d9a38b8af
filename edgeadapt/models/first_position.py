"""Compute the last layer for the first position only, which is all that the head reads.

The attention still reads every token. The operations after it in the last layer, four fifths of
that layer's work, run for one token per text. The logits are the same.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

from edgeadapt.adapters import BackboneModel
from edgeadapt.adapters.parts import Tap

__all__ = ["first_position_only"]


@contextmanager
def first_position_only(backbone: BackboneModel) -> Iterator[None]:
    """Restricts the last layer to the first position for the block, where the backbone allows it.

    Args:
        backbone: With its adapters attached. Nothing changes if an adapter reads the attention's
            input, since it needs every position.
    """
    end = backbone.spec.attention_end
    if end is None or backbone.repeats_layers:
        yield
        return
    last = backbone.layers()[-1].module
    module, attention = last.get_submodule(end), last.get_submodule(end.partition(".")[0])
    if any(isinstance(part, Tap) for part in attention.modules()):
        yield
        return
    hook = module.register_forward_pre_hook(_first)
    try:
        yield
    finally:
        hook.remove()


def _first(module: nn.Module, tensors: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(tensor[:, :1] for tensor in tensors)
