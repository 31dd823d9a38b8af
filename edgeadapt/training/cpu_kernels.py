"""Faster CPU implementations of operations that, besides matrix products, dominate a training step.

Dropout draws 16 random bits per value, where torch draws a whole number. Attention with dropout
keeps one matrix of weights for its backward pass, where torch keeps two. Frozen weights are cast
once, where autocast casts them in every pass. Measurements: ``benchmarks/notes/training.md``.
"""

import math
from collections.abc import Callable, MutableMapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakTensorKeyDictionary

__all__ = ["CpuKernels"]

_DRAWS = 1 << 16
_LOWEST = -(1 << 15)
_INTEGERS = {2: torch.int16, 4: torch.int32, 8: torch.int64}
"""Size in bytes -> integer type."""


class CpuKernels(TorchFunctionMode):
    """Replaces torch's functions for the block, in any model.

    Do not use it with torch.compile, which applies most of these optimizations itself, nor with
    activation checkpointing: the recomputation in the backward pass would run without the
    replacements.

    Args:
        cast: Type that frozen weights of dense layers are cast to, as by autocast; ``None`` for no
            cast.
    """

    def __init__(self, cast: torch.dtype | None = None) -> None:
        super().__init__()
        self._dtype = cast
        self._casts: MutableMapping[Tensor, tuple[int, Tensor]] = WeakTensorKeyDictionary()
        self._replaced: dict[Any, Callable[..., Tensor]] = {
            F.dropout: _dropout,
            F.scaled_dot_product_attention: self._attention,
        }
        if cast is not None:
            self._replaced[F.linear] = self._linear

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        return self._replaced.get(func, func)(*args, **(kwargs or {}))

    def _linear(
        self,
        input: Tensor,  # noqa: A002 - torch's name, which callers pass as a keyword
        weight: Tensor,
        bias: Tensor | None = None,
    ) -> Tensor:
        return F.linear(input, self._cast(weight), None if bias is None else self._cast(bias))

    def _cast(self, tensor: Tensor) -> Tensor:
        """Returns a cached cast of a frozen tensor, renewed when the tensor is written to."""
        if tensor.requires_grad or tensor.is_inference():
            return tensor
        version, cast = self._casts.get(tensor, (-1, tensor))
        if version != tensor._version:
            # Not an inference tensor, even during evaluation: training uses the cached one, and
            # autograd does not accept inference tensors.
            with torch.inference_mode(False):
                cast = tensor.to(self._dtype)
            self._casts[tensor] = tensor._version, cast
        return cast

    def _attention(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> Tensor:
        drops = 0 < _threshold(dropout_p) < _DRAWS
        fused_is_fast = self._dtype is None and not drops
        usual = query.shape[:-2] == key.shape[:-2] and not (is_causal or enable_gqa)
        if fused_is_fast or not usual:
            return F.scaled_dot_product_attention(
                query,
                key,
                value,
                attn_mask,
                dropout_p,
                is_causal,
                scale=scale,
                enable_gqa=enable_gqa,
            )
        dtype = self._dtype or query.dtype
        context: Tensor = _Attention.apply(  # type: ignore[no-untyped-call]
            query.to(dtype),
            key.to(dtype),
            value.to(dtype),
            None if attn_mask is None else _added(attn_mask, dtype),
            dropout_p if drops else 0.0,
            1 / math.sqrt(query.shape[-1]) if scale is None else scale,
        )
        return context


def _dropout(
    input: Tensor,  # noqa: A002 - torch's name, which callers pass as a keyword
    p: float = 0.5,
    training: bool = True,
    inplace: bool = False,
) -> Tensor:
    if not training or inplace or not 0 < _threshold(p) < _DRAWS:
        return F.dropout(input, p, training, inplace)
    dropped: Tensor = _Dropout.apply(input, p)  # type: ignore[no-untyped-call]
    return dropped


class _Dropout(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, p: float) -> Tensor:
        kept = _kept(values, p)
        ctx.save_for_backward(kept)
        ctx.p = p
        return _drop(values, kept, p)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (kept,) = ctx.saved_tensors
        return _drop(gradient, kept, ctx.p), None


class _Attention(torch.autograd.Function):
    """``dropout(softmax(s · Q Kᵀ + mask)) V``, of shape ``(…, tokens, width)``.

    Saves the softmax for the backward pass and computes its dropout again there.
    """

    @staticmethod
    def forward(
        ctx: Any,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        mask: Tensor | None,
        p: float,
        scale: float,
    ) -> Tensor:
        heads = tuple(query.shape[:-2])
        # Contiguous per head: bmm would otherwise copy the transposed tensors in every call.
        query, key, value = (t.flatten(0, -3).contiguous() for t in (query, key, value))
        scores = torch.bmm(query, key.mT).mul_(scale)
        if mask is not None:
            _by_head(scores, heads).add_(mask)
        weights = torch.softmax(scores, -1, dtype=scores.dtype)
        kept = _kept(weights, p) if p else None
        ctx.save_for_backward(query, key, value, weights, kept)
        ctx.p, ctx.scale = p, scale
        dropped = weights if kept is None else _drop(weights, kept, p)
        return _by_head(torch.bmm(dropped, value), heads)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, weights, kept = ctx.saved_tensors
        heads = tuple(gradient.shape[:-2])
        gradient = gradient.flatten(0, -3).contiguous()
        dropped, of_weights = weights, torch.bmm(gradient, value.mT)
        if kept is not None:
            dropped = _drop(weights, kept, ctx.p)
            of_weights = _drop(of_weights, kept, ctx.p)
        of_value = torch.bmm(dropped.mT, gradient)
        of_scores = torch._softmax_backward_data(of_weights, weights, -1, weights.dtype)
        of_scores *= ctx.scale
        gradients = (torch.bmm(of_scores, key), torch.bmm(of_scores.mT, query), of_value)
        return *(_by_head(flat, heads) for flat in gradients), None, None, None


def _by_head(flat: Tensor, heads: tuple[int, ...]) -> Tensor:
    return flat.view(*heads, *flat.shape[1:])


def _added(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """Returns the mask as numbers to add to the scores.

    Masked positions have the lowest finite number, not -inf, so that the softmax of a row without
    any key is not NaN.
    """
    lowest = torch.finfo(dtype).min
    if mask.dtype is torch.bool:
        return torch.zeros_like(mask, dtype=dtype).masked_fill_(~mask, lowest)
    return mask.to(dtype).clamp(min=lowest)


def _threshold(p: float) -> int:
    """Returns how many of the 2**16 possible draws drop a value."""
    return round(p * _DRAWS)


def _kept(like: Tensor, p: float) -> Tensor:
    """Returns a bit mask in integers of the values' size: all bits set where a value is kept."""
    count = like.numel()
    draws = torch.empty((count + 3) // 4, dtype=torch.int64).random_(-(1 << 63), None)
    bits = draws.view(torch.int16)[:count].view(like.shape)
    threshold = _LOWEST + _threshold(p)
    # clamp_ gives threshold - 1 for dropped and threshold for kept values; the rest of the line
    # turns these into 0 and -1, whose bits are all set.
    bits.clamp_(threshold - 1, threshold).neg_().add_(threshold - 1)
    return bits.to(_INTEGERS[like.element_size()])


def _drop(values: Tensor, kept: Tensor, p: float) -> Tensor:
    """Returns the kept values, scaled so that the mean is preserved, and zeros elsewhere."""
    scaled = values * (_DRAWS / (_DRAWS - _threshold(p)))
    return scaled.view(kept.dtype).bitwise_and_(kept).view(values.dtype)
