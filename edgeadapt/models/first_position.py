"""The last layer for the first position alone, which is all that the head reads.

The attention still sees every token; what follows it in the last layer, four fifths of that
layer's work, is done for one token per text. The logits are the same.
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
    """Leaves the other positions out of the last layer for the block, where the backbone allows.

    Args:
        backbone: With its adapters attached. One that reads the input of the attention needs every
            position of it; then nothing changes.
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
