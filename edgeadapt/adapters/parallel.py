"""Parallel adapters, the kind that costs nothing at run time.

He et al. 2022, Towards a Unified View of Parameter-Efficient Transfer Learning (arXiv 2110.04366):
a bottleneck beside the FFN, ``h = FFN(x) + s · (U f(D x + d) + u)``.

With the FFN's own activation as f, the bottleneck is r more neurons of the FFN:

    W1' = [W1; D]    b1' = [b1; d]    W2' = [W2, s·U]    b2' = b2 + s·u

so the merged model is a stock one with ``intermediate_size + r``. The adapter is attached in just
this form, one half in each dense layer of the FFN: the activation between them is shared by
construction, and training and merging cannot disagree.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgeadapt.adapters.base import Encoder, Leftover, linear_at
from edgeadapt.config import AdapterConfig
from edgeadapt.errors import ModelError

__all__ = ["Parallel"]


class Parallel:
    """A bottleneck beside the FFN of every layer.

    Args:
        config: ``dimension``, ``scaling`` and ``dropout`` are used; ``activation`` may only
            be the backbone's own.
    """

    def __init__(self, config: AdapterConfig) -> None:
        self._config = config
        self._sites: list[_Site] = []

    def attach(self, encoder: Encoder) -> None:
        """Widens both dense layers of every FFN.

        Raises:
            ModelError: An activation other than the FFN's is asked for.
        """
        wanted = self._config.activation
        if wanted not in (None, encoder.activation):
            raise ModelError(
                f"A parallel adapter shares the FFN's activation, which is {encoder.activation!r} "
                f"here; found {wanted!r}.",
                hint="Leave the activation out, or use --method sequential or houlsby.",
            )
        for layer in encoder.layers():
            site = _Site(layer, encoder.spec.ffn_in, encoder.spec.ffn_out, self._config)
            self._sites.append(site)

    def parameters(self) -> dict[str, nn.Parameter]:
        """Returns ``layers.N.{down,up}.{weight,bias}``."""
        return {
            f"layers.{number}.{half}.{name}": parameter
            for number, site in enumerate(self._sites)
            for half, linear in (("down", site.inner.down), ("up", site.outer.up))
            for name, parameter in linear.named_parameters()
        }

    def fold(self) -> Leftover:
        """Replaces both halves by wider stock layers; nothing stays."""
        for site in self._sites:
            site.layer.set_submodule(site.ffn_in, site.inner.folded())
            site.layer.set_submodule(site.ffn_out, site.outer.folded())
        return Leftover(parameters=0, macs_per_token=0)


class _Site:
    """The two dense layers of one FFN and the adapter's half in each."""

    def __init__(self, layer: nn.Module, ffn_in: str, ffn_out: str, config: AdapterConfig) -> None:
        self.layer, self.ffn_in, self.ffn_out = layer, ffn_in, ffn_out
        self.inner = _WidenedIn(linear_at(layer, ffn_in), config.dimension)
        self.outer = _WidenedOut(linear_at(layer, ffn_out), config)
        layer.set_submodule(ffn_in, self.inner)
        layer.set_submodule(ffn_out, self.outer)


class _WidenedIn(nn.Module):
    """``x -> [W1 x + b1 ; D x + d]``: (batch, seq, hidden) -> (batch, seq, intermediate + r)."""

    def __init__(self, base: nn.Linear, dimension: int) -> None:
        super().__init__()
        self.base = base
        self.down = nn.Linear(base.in_features, dimension)
        # Kaiming for the down-projection and zeros for the up-projection (He et al. 2022):
        # at step 0 the adapted model is the backbone.
        nn.init.kaiming_uniform_(self.down.weight, a=5**0.5)
        nn.init.zeros_(self.down.bias)

    def forward(self, hidden: Tensor) -> Tensor:
        return torch.cat((self.base(hidden), self.down(hidden)), dim=-1)

    @torch.no_grad()
    def folded(self) -> nn.Linear:
        weight = torch.cat((self.base.weight, self.down.weight), dim=0)
        return _linear(weight, torch.cat((self.base.bias, self.down.bias)))


class _WidenedOut(nn.Module):
    """``[h ; a] -> W2 h + b2 + s · (U a + u)``: (…, intermediate + r) -> (…, hidden)."""

    def __init__(self, base: nn.Linear, config: AdapterConfig) -> None:
        super().__init__()
        self.base = base
        self.up = nn.Linear(config.dimension, base.out_features)
        self.scaling = config.scaling
        self.dropout = nn.Dropout(config.dropout)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, hidden: Tensor) -> Tensor:
        width = self.base.in_features
        adapted = F.linear(hidden[..., width:], self.up.weight, self.up.bias)
        plain: Tensor = self.base(hidden[..., :width])
        return torch.add(plain, self.dropout(adapted), alpha=self.scaling)

    @torch.no_grad()
    def folded(self) -> nn.Linear:
        weight = torch.cat((self.base.weight, self.scaling * self.up.weight), dim=1)
        return _linear(weight, self.base.bias + self.scaling * self.up.bias)


def _linear(weight: Tensor, bias: Tensor) -> nn.Linear:
    """A stock dense layer that owns the given values."""
    linear = nn.Linear(weight.shape[1], weight.shape[0], device="meta")
    linear.weight, linear.bias = nn.Parameter(weight), nn.Parameter(bias)
    return linear
