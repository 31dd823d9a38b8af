"""Simulate dynamic int8 quantization in torch, with gradients, for quantization-aware training.

Every product with weights rounds the values that ONNX Runtime rounds. Weights are those of the
merged model, so that an adapter and the frozen layer that it merges into share their scales:
``s_o = max_i |W'_oi| / 127`` for each output o (64 instead of 127 for 7-bit weights). Activations
have one scale ``s = (max x - min x) / 255`` and one zero point per text, and zero is always in the
range (the ONNX operator ``DynamicQuantizeLinear``). Embeddings have one scale per row. Sums are
computed in float32; ONNX Runtime sums integers, which is the same up to float32 rounding.

The gradient of rounding is the identity (straight-through estimator, Bengio et al. 2013, arXiv
1308.3432). No value is clipped, because the ranges are computed from the values.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from edgeadapt.adapters import BackboneModel
from edgeadapt.adapters.bottleneck import Factored
from edgeadapt.adapters.parts import Affine, Tap, product_of
from edgeadapt.models.first_position import first_position_only, layers_behind_attention
from edgeadapt.runtime.resized import NoHeads, head_size

__all__ = ["int8_simulated"]

_WEIGHT_LEVELS = {8: 127, 7: 64}
"""Bits of a weight -> its largest quantized value, as in onnxruntime; the range is symmetric."""
_ROW_LEVELS = 127
"""Largest quantized value of an embedding; the range is symmetric."""
_LEVELS = 255
"""Largest quantized value of an activation; the smallest is 0."""


@contextmanager
def int8_simulated(
    backbone: BackboneModel, *, pairs: bool = False, weight_bits: int = 8
) -> Iterator[None]:
    """Makes the classifier compute in simulated int8 for the block, as if adapters were merged.

    For BERT, RoBERTa, XLM-RoBERTa, ELECTRA and DeBERTa with adapters that fold, the result equals
    the exported graph after all graph passes, with one scale per channel. Two cases differ in
    single roundings, though not in their size: the last layer of DistilBERT, MPNet, ModernBERT and
    ALBERT, and bottlenecks that stay, since the export folds a bias into their input.
    Dropout within adapters that fold is not applied.

    Args:
        backbone: With its adapters attached.
        pairs: Whether texts are pairs, so that both segment embeddings are used.
        weight_bits: 8, or 7 for CPUs without VNNI.
    """
    simulation = _Simulation(_WEIGHT_LEVELS[weight_bits])
    with ExitStack() as stack:
        stack.enter_context(first_position_only(backbone))
        hook = backbone.model.register_forward_pre_hook(simulation.begin, with_kwargs=True)
        stack.callback(hook.remove)
        for table, forward in _tables(backbone, pairs=pairs):
            stack.enter_context(patch.object(table, "forward", forward))
        narrow = _of_first_position(backbone)
        for module, product in _products(backbone.model):
            linear = partial(simulation.linear, module, product, module in narrow)
            stack.enter_context(patch.object(module, "forward", linear))
        last = _last_attention(backbone)
        if last is not None:
            attention = partial(simulation.attention, last)
            stack.enter_context(patch.object(last.module, "forward", attention))
        yield


def _tables(
    backbone: BackboneModel, *, pairs: bool
) -> Iterator[tuple[nn.Module, Callable[[Tensor], Tensor]]]:
    """Yields each embedding table with its simulated look-up.

    As the exported graph does it: if all tokens have the same segment, its embedding is added to
    the position embeddings. Positions that begin at 0 are a slice of a float16 table; others are
    looked up and quantized like words.
    """
    named = {
        name.rpartition(".")[2]: module
        for name, module in backbone.model.named_modules()
        if isinstance(module, nn.Embedding)
    }
    words = backbone.model.get_input_embeddings()
    yield words, partial(_looked_up, words, _by_row, None)
    types, positions = (named.get(f"{kind}_embeddings") for kind in ("token_type", "position"))
    if positions is None:
        return
    if types is not None and len(types.weight) > 1 and (pairs or not backbone.spec.token_type_ids):
        types = None
    rounding = _by_row if backbone.spec.position_offset else _in_half
    yield positions, partial(_looked_up, positions, rounding, types)
    if types is not None:
        yield types, lambda ids: torch.zeros(*ids.shape, 1, device=ids.device)


def _looked_up(
    table: nn.Embedding,
    rounding: Callable[[Tensor], Tensor],
    types: nn.Embedding | None,
    ids: Tensor,
) -> Tensor:
    """Looks up rows, adds the first segment embedding if ``types`` is given, and rounds."""
    rows = type(table).forward(table, ids)
    return rounding(rows if types is None else rows + types.weight[0])


def _in_half(values: Tensor) -> Tensor:
    return values.half().to(values.dtype)


def _products(module: nn.Module) -> Iterator[tuple[nn.Module, Callable[[], Affine]]]:
    """Yields the outermost modules that are affine maps, each with a function that returns it."""
    if isinstance(module, Factored):
        yield module, lambda: Affine(*module.product())
    elif product_of(module) is not None:
        yield module, lambda: _known(product_of(module))
    else:
        for child in module.children():
            yield from _products(child)


def _known(product: Affine | None) -> Affine:
    assert product is not None, "parts do not change while a model is used"
    return product


def _of_first_position(backbone: BackboneModel) -> set[nn.Module]:
    """Returns the dense layers after the last attention if only their first position is read."""
    pooling = getattr(backbone.model.config, "classifier_pooling", "cls")
    if backbone.repeats_layers or pooling != "cls":
        return set()
    spec = backbone.spec
    return {
        layer.module.get_submodule(name)
        for layer in layers_behind_attention(backbone)
        for name in (spec.attention_output, spec.ffn_in, spec.ffn_out)
    }


class _Attention:
    """The last attention, computed for the first position only."""

    def __init__(self, backbone: BackboneModel, layer: nn.Module, name: str) -> None:
        spec = backbone.spec
        self.module = layer.get_submodule(name)
        self.size = head_size(backbone.model)
        self.dropout: float = backbone.model.config.attention_probs_dropout_prob
        self.projections = [
            layer.get_submodule(place.dense) for place in (spec.query, spec.key, spec.value)
        ]

    def products(self) -> list[Affine]:
        """Returns the affine maps of query, key and value."""
        return [_known(product_of(projection)) for projection in self.projections]


def _last_attention(backbone: BackboneModel) -> _Attention | None:
    name, end = backbone.spec.plain_attention, backbone.spec.attention_end
    layer = layers_behind_attention(backbone)[0].module
    if name is None or end is None or backbone.repeats_layers:
        return None
    module = layer.get_submodule(name)
    if isinstance(module, NoHeads) or any(isinstance(part, Tap) for part in module.modules()):
        return None
    return _Attention(backbone, layer, name)


class _Simulation:
    """The state of one simulated forward pass: its mask, and the activation rounded last.

    Args:
        levels: Largest quantized value of a weight.
    """

    def __init__(self, levels: int) -> None:
        self._levels = levels
        self._mask: Tensor | None = None
        self._latest: tuple[Tensor, Tensor] | None = None
        self._frozen: dict[nn.Module, tuple[int, Tensor]] = {}

    # Whatever a model is called with, as torch hands it to a hook.
    def begin(self, module: nn.Module, args: Any, named: dict[str, Any]) -> None:
        """Forward pre-hook: takes the attention mask and drops the state of the previous pass."""
        mask = named.get("attention_mask")
        self._mask, self._latest = None, None
        if mask is not None and not bool(mask.all()):
            self._mask = mask
            self._pad = (1 - mask)[..., None].to(torch.bool)

    def linear(
        self, module: nn.Module, product: Callable[[], Affine], narrow: bool, hidden: Tensor
    ) -> Tensor:
        """Computes ``W x + b`` with rounded weights and activations."""
        weight, bias = product()
        is_frozen = isinstance(module, nn.Linear) and not weight.requires_grad
        rounded = self._of_frozen(module, weight) if is_frozen else self._weight(weight)
        return F.linear(self._activation(hidden, narrow=narrow), rounded, bias)

    def _of_frozen(self, module: nn.Module, weight: Tensor) -> Tensor:
        version, rounded = self._frozen.get(module, (-1, weight))
        if version != weight._version or rounded.device != weight.device:
            # Not an inference tensor, even during evaluation: training uses the cached one, and
            # autograd does not accept inference tensors.
            with torch.inference_mode(False), torch.no_grad():
                rounded = self._weight(weight)
            self._frozen[module] = weight._version, rounded
        return rounded

    def attention(
        self, attention: _Attention, hidden: Tensor, *args: Any, **named: Any
    ) -> tuple[Tensor, None]:
        """Returns the attention's output at the first position, ``(batch, 1, hidden)``.

        Computed as in ``graph/first_position.py``: one row per head, and the sum over tokens comes
        before the products with the weights of key and value.
        """
        query, key, value = attention.products()
        size = attention.size
        heads = torch.eye(len(query.weight) // size, dtype=hidden.dtype, device=hidden.device)
        heads = heads.repeat_interleave(size, dim=1)
        first = self._activation(hidden[:, :1])
        queries = F.linear(first, self._weight(query.weight * size**-0.5), _scaled(query, size))
        keys = F.linear(
            self._activation(queries * heads, by_position=False), self._weight(key.weight.T)
        )
        scores = keys @ hidden.transpose(1, 2)
        # The key's bias adds the same number to every score, which softmax cancels. With the factor
        # 0 it stays in the autograd graph, so that it has a gradient.
        if key.bias is not None:
            scores = torch.add(scores, key.bias.sum(), alpha=0)
        if self._mask is not None:
            scores = scores.masked_fill(self._pad.transpose(1, 2), torch.finfo(scores.dtype).min)
        weights = F.dropout(
            torch.softmax(scores, -1), attention.dropout, training=attention.module.training
        )
        values = F.linear(
            self._activation(weights @ hidden, by_position=False), self._weight(value.weight)
        )
        context = (values * heads).sum(1, keepdim=True)
        return (context if value.bias is None else context + value.bias), None

    def _weight(self, weight: Tensor) -> Tensor:
        """Rounds a weight ``(out, in)``, with a scale for each output."""
        return _by_row(weight, self._levels)

    def _activation(
        self, values: Tensor, *, narrow: bool = False, by_position: bool = True
    ) -> Tensor:
        """Rounds activations to 8 bits within the range of each text.

        Args:
            values: ``(batch, seq, …)``, or ``(batch, …)`` with one row per text.
            narrow: Whether the range is that of the first position only.
            by_position: Whether the second of three dimensions is the position.
        """
        if self._latest is not None and self._latest[0] is values:
            return self._latest[1]
        with torch.no_grad():
            seen = values[:, :1] if narrow else values
            if self._mask is not None and by_position and seen.shape[:-1] == self._mask.shape:
                seen = seen.masked_fill(self._pad, 0)  # every range contains 0 anyway
            seen = seen.flatten(1)
            low, high = seen.amin(1).clamp(max=0), seen.amax(1).clamp(min=0)
            scale = (high - low) / _LEVELS
            scale = torch.where(scale > 0, scale, torch.ones_like(scale))
            zero = (-low / scale).round().clamp(0, _LEVELS)
        shape = (-1, *[1] * (values.dim() - 1))
        rounded = _rounded(values, scale.view(shape), zero.view(shape))
        self._latest = values, rounded
        return rounded


def _scaled(query: Affine, size: int) -> Tensor | None:
    return None if query.bias is None else query.bias * size**-0.5


def _by_row(rows: Tensor, levels: int = _ROW_LEVELS) -> Tensor:
    """Rounds a weight ``(out, in)`` or embeddings ``(…, width)``, with a scale for each row."""
    largest = rows.detach().abs().amax(-1, keepdim=True)
    return _rounded(rows, torch.where(largest > 0, largest / levels, torch.ones_like(largest)))


def _rounded(values: Tensor, scale: Tensor, zero: Tensor | None = None) -> Tensor:
    """Returns the nearest values that the quantized type can represent."""
    rounded: Tensor = _Rounded.apply(values, scale, zero)  # type: ignore[no-untyped-call]
    return rounded


class _Rounded(torch.autograd.Function):
    """Rounding with the identity as its gradient."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, scale: Tensor, zero: Tensor | None) -> Tensor:
        levels = (values / scale).round_()
        if zero is not None:
            levels.add_(zero).clamp_(0, _LEVELS).sub_(zero)
        return levels.mul_(scale)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return gradient, None, None
