"""The structure of a pruned model: what each of its transformer layers computes."""

from dataclasses import dataclass

from edgeadapt.typed import Count

__all__ = ["Structure"]


@dataclass(frozen=True)
class Structure:
    """The widths of the transformer layers, first to last."""

    heads: tuple[Count, ...]
    """Attention heads of each layer; 0 where the attention sublayer is its output bias alone."""
    neurons: tuple[Count, ...]
    """FFN neurons of each layer; 0 where the FFN is its output bias alone."""

    def __post_init__(self) -> None:
        if not self.heads or len(self.heads) != len(self.neurons):
            raise ValueError(
                "expected the heads and neurons of the same layers, at least one, found "
                f"{len(self.heads)} and {len(self.neurons)}"
            )

    @property
    def depth(self) -> int:
        """Number of layers."""
        return len(self.heads)

    def is_stock(self, *, heads: int) -> bool:
        """Returns whether a stock config can describe the layers.

        Args:
            heads: Attention heads per layer in config.json, which also give the size of a head.
        """
        return set(self.heads) == {heads} and len(set(self.neurons)) == 1 and self.neurons[0] > 0
