"""LoRA's products, and the dense layers of a transformer layer that they adapt."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import torch
from torch import Tensor
from torch.nn import functional as F

from edgeadapt.backbones import BackboneSpec, Projection
from edgeadapt.interop.files import check_tensors
from edgeadapt.interop.layers import hidden_size, setting
from edgeadapt.recipe import LoraTarget

__all__ = ["Dense", "LowRank", "dense_layers", "joined_targets", "single_targets"]

_FFN = (str(LoraTarget.FFN_IN), str(LoraTarget.FFN_OUT))


@dataclass(frozen=True)
class LowRank:
    """The product ``B A``, which LoRA adds to a weight of shape (out, in)."""

    a: Tensor
    """(r, in)"""
    b: Tensor
    """(out, r)"""

    @classmethod
    def joined(cls, parts: Sequence[tuple[Self, slice]], width_out: int) -> Self:
        """Joins products on parts of a dense layer's outputs into one product on all of them.

        Parts with different A are stacked: ``[B1 0; 0 B2] [A1; A2]``.

        Args:
            parts: Each product, with the outputs that it adapts.
            width_out: Number of outputs of the dense layer.
        """
        first, _ = parts[0]
        shared = all(torch.equal(part.a, first.a) for part, _ in parts)
        a = first.a if shared else torch.cat([part.a for part, _ in parts])
        b = a.new_zeros(width_out, len(a))
        start = 0
        for part, rows in parts:
            b[rows, start : start + len(part.a)] = part.b
            start += 0 if shared else len(part.a)
        return cls(a, b)

    def check(self, *, widths: tuple[int, int], rank: int, where: Path | str) -> None:
        """Checks the shapes against a dense layer's widths, in and out.

        Raises:
            ModelError: A shape differs.
        """
        width_in, width_out = widths
        check_tensors(
            {"lora_A": self.a, "lora_B": self.b},
            {"lora_A": (rank, width_in), "lora_B": (width_out, rank)},
            where=where,
        )

    def equals(self, other: Self) -> bool:
        """Returns whether all values are equal."""
        return torch.equal(self.a, other.a) and torch.equal(self.b, other.b)

    def padded(self, rank: int) -> Self:
        """Returns the same product with a higher rank, padded with zeros."""
        more = rank - len(self.a)
        return replace(self, a=F.pad(self.a, (0, 0, 0, more)), b=F.pad(self.b, (0, more)))


@dataclass(frozen=True)
class Dense:
    """A dense layer of a transformer layer, and edgeadapt's names of its outputs."""

    name: str
    """Name, relative to the transformer layer."""
    targets: Mapping[str, Projection]
    """Name in edgeadapt's parameters -> its part of the outputs."""
    width_in: int
    width_out: int

    def rows(self, target: str) -> slice:
        """Returns a target's part of the outputs."""
        return self.targets[target].rows(self.width_out)

    def only(self, targets: set[str]) -> Self:
        """Returns the dense layer with only the given targets."""
        return replace(self, targets={t: p for t, p in self.targets.items() if t in targets})


def dense_layers(spec: BackboneSpec, config: Mapping[str, object]) -> list[Dense]:
    """Returns the dense layers that LoRA can adapt, the attention's first."""
    hidden = hidden_size(config)
    inner = int(setting(config, spec.intermediate_key))
    places = {
        LoraTarget.QUERY: spec.query,
        LoraTarget.KEY: spec.key,
        LoraTarget.VALUE: spec.value,
        LoraTarget.DENSE: Projection(spec.attention_output),
        LoraTarget.FFN_IN: Projection(spec.ffn_in),
        LoraTarget.FFN_OUT: Projection(spec.ffn_out),
    }
    by_name: dict[str, dict[str, Projection]] = {}
    for target, place in places.items():
        by_name.setdefault(place.dense, {})[str(target)] = place
    ffn = {
        spec.ffn_in: (hidden, 2 * inner if spec.gate_bias_key else inner),
        spec.ffn_out: (inner, hidden),
    }
    return [
        Dense(name, targets, *ffn.get(name, (hidden, len(targets) * hidden)))
        for name, targets in by_name.items()
    ]


def joined_targets(targets: Sequence[str]) -> str:
    """Joins names of targets: (query, ffn-in, ffn-out) -> ``query+ffn``."""
    if not set(_FFN) <= set(targets):
        return "+".join(targets)
    return "+".join([*(target for target in targets if target not in _FFN), str(LoraTarget.FFN)])


def single_targets(targets: Sequence[LoraTarget]) -> set[str]:
    """Splits targets into single dense layers: (query, ffn) -> {query, ffn-in, ffn-out}."""
    both = _FFN if LoraTarget.FFN in targets else ()
    return {*(str(target) for target in targets if target != LoraTarget.FFN), *both}
