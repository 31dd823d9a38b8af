"""Compute the last layer for the first position only, which is all that the head reads.

The attention still reads every token. The operations after it in the last layer, four fifths of
that layer's work, run for one token per text. The logits are the same.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

from edgeadapt.adapters import BackboneModel, Layer
from edgeadapt.adapters.parts import Tap
from edgeadapt.runtime.resized import NoHeads

__all__ = ["first_position_only", "layers_behind_attention"]


@contextmanager
def first_position_only(backbone: BackboneModel) -> Iterator[None]:
    """Restricts the last layer to the first position for the block, where the backbone allows it.

    In a pruned model, that is the last layer with attention, and all layers behind it.

    Args:
        backbone: With its adapters attached. Nothing changes if an adapter reads the attention's
            input, since it needs every position.
    """
    end = backbone.spec.attention_end
    if end is None or backbone.repeats_layers:
        yield
        return
    last = layers_behind_attention(backbone)[0].module
    module, attention = last.get_submodule(end), last.get_submodule(end.partition(".")[0])
    if any(isinstance(part, Tap) for part in attention.modules()):
        yield
        return
    hook = module.register_forward_pre_hook(_first)
    try:
        yield
    finally:
        hook.remove()


def layers_behind_attention(backbone: BackboneModel) -> list[Layer]:
    """Returns the last layer whose attention was not dropped, and all layers behind it.

    What these layers compute after that attention, they compute for each position separately.
    """
    layers, place = backbone.layers(), backbone.spec.attention
    reading = [
        layer.number
        for layer in layers
        if place is None or not isinstance(layer.module.get_submodule(place.module), NoHeads)
    ]
    return layers[reading[-1] if reading else 0 :]


def _first(module: nn.Module, tensors: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(tensor[:, :1] for tensor in tensors)
