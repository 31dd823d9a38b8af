"""Sequential adapters: one bottleneck per layer, after the FFN.

Pfeiffer et al. 2021, AdapterFusion (arXiv 2005.00247), figure 3, without the extra LayerNorm.
"""

from edgeadapt.adapters.bottleneck import BottleneckAfter
from edgeadapt.recipe import Placement

__all__ = ["Sequential"]


class Sequential(BottleneckAfter):
    """A bottleneck after the FFN of every layer, before its residual sum."""

    placement = Placement.FFN
