"""LayerNorm tuning: only weights and biases of LayerNorms are trained.

Qi et al. 2022, Parameter-Efficient Tuning on Layer Normalization for Pre-trained Language Models
(arXiv 2211.08682). Houlsby et al. 2019 train them together with their adapters, which is
``houlsby+layernorm`` here.
"""

from torch import nn

from edgeadapt.adapters.inplace import InPlace

__all__ = ["LayerNorm"]


class LayerNorm(InPlace):
    """Trains the backbone's LayerNorms."""

    def selects(self, module: nn.Module, parameter: nn.Parameter) -> bool:
        """Returns True for the parameters of a LayerNorm."""
        return isinstance(module, nn.LayerNorm)
