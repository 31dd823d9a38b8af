"""BitFit: only biases and LayerNorms are trained.

Ben Zaken et al. 2022, BitFit (arXiv 2106.10199). LayerNorm weights are trained too, as is usual in
papers on adapters. In combination, ``parallel+bitfit`` still merges exactly.
"""

from torch import nn

from edgeadapt.adapters.inplace import InPlace

__all__ = ["BitFit"]


class BitFit(InPlace):
    """Trains every vector (bias, LayerNorm weight) of the backbone's own layers."""

    def selects(self, module: nn.Module, parameter: nn.Parameter) -> bool:
        """Returns True for one-dimensional parameters: biases and LayerNorm weights."""
        return parameter.ndim == 1
