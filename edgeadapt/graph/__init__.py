"""Exact passes over ONNX graphs: none of them changes what a model computes."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import onnx

from edgeadapt.graph.attention import fuse_attention
from edgeadapt.graph.first_position import first_position_only
from edgeadapt.graph.positions import slice_positions
from edgeadapt.graph.residual_sums import keep_residual_sums
from edgeadapt.graph.shared_rows import share_rows
from edgeadapt.graph.token_types import fold_token_types
from edgeadapt.recipe import GraphPass

__all__ = ["PASSES", "Architecture", "rewrite"]


@dataclass(frozen=True)
class Architecture:
    """What passes have to know of a model beyond its graph."""

    heads: int
    """Attention heads of each layer."""
    hidden: int
    """Width of the hidden states."""
    pairs: bool
    """Whether it takes pairs of texts, which have two segments."""


PASSES: Mapping[GraphPass, Callable[[onnx.ModelProto, Architecture], onnx.ModelProto]] = (
    MappingProxyType(
        {
            GraphPass.ATTENTION: lambda model, known: fuse_attention(
                model, heads=known.heads, hidden=known.hidden
            ),
            GraphPass.TOKEN_TYPES: lambda model, known: (
                model if known.pairs else fold_token_types(model)
            ),
            GraphPass.POSITIONS: lambda model, known: slice_positions(model),
            GraphPass.FIRST_POSITION: lambda model, known: first_position_only(model),
            GraphPass.RESIDUAL_SUMS: lambda model, known: keep_residual_sums(model),
            GraphPass.SHARED_ROWS: lambda model, known: share_rows(model),
        }
    )
)
"""In the order in which they run."""


def rewrite(
    model: onnx.ModelProto, passes: Collection[GraphPass], known: Architecture
) -> onnx.ModelProto:
    """Returns a copy after the passes that are asked for, in their order."""
    for name, run in PASSES.items():
        if name in passes:
            model = run(model, known)
    return model
