"""Compacter: Houlsby bottlenecks whose projections are sums of Kronecker products.

Karimi Mahabadi et al. 2021, Compacter: Efficient Low-Rank Hypercomplex Adapter Layers (arXiv
2106.04647): ``W = Σ_i A_i ⊗ (s_i t_iᵀ)``, i = 1 … n. All projections of the model share the small
matrices A, of shape (n, n, n) (section 4.2); each has its own s and t. Merging replaces every
projection by the dense layer with the weight W.
"""

import torch
from torch import Tensor, nn

from edgeadapt.adapters.base import BackboneModel
from edgeadapt.adapters.bottleneck import Bottleneck, BottleneckAfter, Factored
from edgeadapt.errors import ModelError
from edgeadapt.recipe import AdapterConfig, Placement

__all__ = ["Compacter"]

_SUMMANDS = 4
"""n, the number of Kronecker products. Both widths of a projection must be multiples of it."""


class Compacter(BottleneckAfter):
    """A bottleneck of Kronecker products after both sublayers of every layer."""

    placement = Placement.BOTH

    def __init__(self, config: AdapterConfig) -> None:
        super().__init__(config)
        self._shared = nn.Parameter(torch.empty(_SUMMANDS, _SUMMANDS, _SUMMANDS))

    def attach(self, backbone: BackboneModel) -> None:
        """Initializes the shared matrices at random and attaches the bottlenecks.

        Raises:
            ModelError: As ``BottleneckAfter.attach``, or a width is not a multiple of 4.
        """
        nn.init.normal_(self._shared, std=_SUMMANDS**-0.5)
        super().attach(backbone)

    def make_bottleneck(self, hidden: int, activation: str) -> Bottleneck:
        """Makes a bottleneck whose projections are sums of Kronecker products."""

        def projection(width_in: int, width_out: int) -> Factored:
            return _Kronecker(width_in, width_out, self._shared)

        bottleneck = Bottleneck(hidden, self._config, activation, projection)
        assert isinstance(bottleneck.up, _Kronecker)
        nn.init.zeros_(bottleneck.up.left)  # at step 0 the adapted model is the backbone
        return bottleneck

    def parameters(self) -> dict[str, nn.Parameter]:
        """Returns ``shared`` and ``layers.N.SUBLAYER.{down,up}.{left,right,bias}``."""
        own = {n: p for n, p in super().parameters().items() if p is not self._shared}
        return {"shared": self._shared, **own}


class _Kronecker(Factored):
    """``x -> W x + b`` with ``W = Σ_i A_i ⊗ (s_i t_iᵀ)``: (…, in) -> (…, out)."""

    def __init__(self, width_in: int, width_out: int, shared: nn.Parameter) -> None:
        super().__init__()
        for width in (width_in, width_out):
            if width % _SUMMANDS:
                raise ModelError(
                    f"Compacter needs widths that are multiples of {_SUMMANDS}: found {width}.",
                    hint="Give another --dimension.",
                )
        self.shared = shared
        self.left = nn.Parameter(torch.empty(_SUMMANDS, width_out // _SUMMANDS))
        self.right = nn.Parameter(torch.empty(_SUMMANDS, width_in // _SUMMANDS))
        self.bias = nn.Parameter(torch.zeros(width_out))
        # These deviations give W the variance of a dense layer with Kaiming initialization.
        nn.init.normal_(self.left, std=1.0)
        nn.init.normal_(self.right, std=(3 * width_in) ** -0.5)

    def product(self) -> tuple[Tensor, Tensor]:
        """Returns the dense layer's weight ``(out, in)`` and bias ``(out,)``."""
        blocks = torch.einsum("nab,nc,nd->acbd", self.shared, self.left, self.right)
        return blocks.reshape(len(self.bias), -1), self.bias
