"""Exact passes over ONNX graphs: rewrite a graph without changing its results."""

from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType

import onnx

from edgeadapt.graph.attention import fuse_attention
from edgeadapt.graph.first_position import first_position_only
from edgeadapt.graph.positions import slice_positions
from edgeadapt.graph.residual_sums import keep_residual_sums
from edgeadapt.graph.shared_rows import share_rows
from edgeadapt.graph.token_types import fold_token_types
from edgeadapt.recipe import GraphPass

__all__ = ["PASSES", "rewrite"]


PASSES: Mapping[GraphPass, Callable[[onnx.ModelProto, bool], onnx.ModelProto]] = MappingProxyType(
    {
        GraphPass.ATTENTION: lambda model, _: fuse_attention(model),
        GraphPass.TOKEN_TYPES: lambda model, pairs: model if pairs else fold_token_types(model),
        GraphPass.POSITIONS: lambda model, _: slice_positions(model),
        GraphPass.FIRST_POSITION: lambda model, _: first_position_only(model),
        GraphPass.RESIDUAL_SUMS: lambda model, _: keep_residual_sums(model),
        GraphPass.SHARED_ROWS: lambda model, _: share_rows(model),
    }
)
"""Passes in the order in which they run: some rely on the form that an earlier one leaves. Each
takes a graph, and whether the model's input is pairs of texts."""


def rewrite(
    model: onnx.ModelProto, passes: Collection[GraphPass], *, pairs: bool
) -> onnx.ModelProto:
    """Applies the given passes, in the order of ``PASSES``, and returns a copy.

    Args:
        model: A graph as written by an exporter.
        passes: The passes to apply.
        pairs: Whether the model's input is pairs of texts, which have two segments.
    """
    for name, run in PASSES.items():
        if name in passes:
            model = run(model, pairs)
    return model
