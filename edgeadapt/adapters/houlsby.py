"""Houlsby adapters: two bottlenecks per layer, after the attention sublayer and after the FFN.

Houlsby et al. 2019, Parameter-Efficient Transfer Learning for NLP (arXiv 1902.00751), figure 2.
"""

from edgeadapt.adapters.bottleneck import BottleneckAfter
from edgeadapt.recipe import Placement

__all__ = ["Houlsby"]


class Houlsby(BottleneckAfter):
    """A bottleneck after both sublayers of every layer, before their residual sums."""

    placement = Placement.BOTH
