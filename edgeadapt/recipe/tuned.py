"""Tuned learning rates and epochs for each kind of adapter."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from edgeadapt.recipe.kinds import AdapterKind

__all__ = ["Tuned"]


@dataclass(frozen=True)
class Tuned:
    """Learning rate and epochs of each kind, tuned on validation text (``benchmarks/notes/``).

    Adapters need 20 to 100 times the learning rate of full fine-tuning, and half the epochs. For
    combined kinds, the smallest learning rate and the most epochs are used.
    """

    rates: Mapping[AdapterKind, float] = field(
        default_factory=lambda: {
            AdapterKind.PARALLEL: 2e-3,
            AdapterKind.SEQUENTIAL: 2e-3,
            AdapterKind.HOULSBY: 2e-3,
            AdapterKind.COMPACTER: 1e-2,
            AdapterKind.LORA: 3e-3,
            AdapterKind.IA3: 1e-2,
            AdapterKind.BITFIT: 5e-3,
            AdapterKind.LAYERNORM: 5e-3,
            AdapterKind.HEAD: 3e-3,
            AdapterKind.FULL: 1e-4,
        }
    )

    epochs: Mapping[AdapterKind, int] = field(
        default_factory=lambda: {kind: 8 if kind is AdapterKind.FULL else 4 for kind in AdapterKind}
    )

    def rate_of(self, kinds: tuple[AdapterKind, ...]) -> float:
        """Returns the peak learning rate for the combined kinds."""
        return min(self.rates[kind] for kind in kinds)

    def epochs_of(self, kinds: tuple[AdapterKind, ...]) -> int:
        """Returns the passes over the training examples for the combined kinds."""
        return max(self.epochs[kind] for kind in kinds)
