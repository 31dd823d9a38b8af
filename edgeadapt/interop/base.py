"""What every format is read into and written from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol, Self

import torch
from torch import Tensor, nn

from edgeadapt.backbones import STOCK_HEADS, BackboneSpec
from edgeadapt.errors import ModelError
from edgeadapt.interop.heads import reordered
from edgeadapt.interop.identity import Identity
from edgeadapt.recipe import AdapterConfig

__all__ = ["ForeignAdapter", "Read", "Write"]


@dataclass(frozen=True)
class ForeignAdapter:
    """An adapter, and the task head where there is one, in edgeadapt's terms."""

    config: AdapterConfig
    """What to attach so that ``tensors`` fit."""
    tensors: Mapping[str, Tensor]
    """Under the names that an attached adapter gives its parameters: ``KIND.layers.N.…``. Layers
    that share weights are listed one by one."""
    head: Mapping[str, Tensor] = field(default_factory=dict)
    """Under the names of the stock classifier's parameters. Empty where the format holds no head;
    partial where it leaves some of it, such as BERT's pooler, to the base checkpoint."""
    labels: tuple[str, ...] | None = None
    """Names in the order of the head's outputs; ``None`` where the format does not say."""
    base_model: str | None = None
    """Hub id or folder of the backbone, as the format has it."""
    identity: Identity | None = None
    """What it was trained on and for; ``None`` where it was not written by edgeadapt."""

    def with_labels(self) -> Identity | None:
        """Returns the identity to write: formats without labels have them there."""
        if self.labels is None:
            return self.identity
        return replace(self.identity or Identity(base_model=self.base_model), labels=self.labels)

    def output_layer(self, spec: BackboneSpec) -> Tensor | None:
        """Returns the weight of the head's last layer, (labels, hidden), where it holds that."""
        return self.head.get(f"{STOCK_HEADS[spec.model_type].out}.weight")

    def with_rows(self, order: Sequence[int] | None, spec: BackboneSpec) -> Self:
        """Returns it with the outputs of its head in another order, ``None`` without its head.

        Args:
            order: For each output, the number that it has now.
            spec: The backbone's row.
        """
        return replace(self, head={} if order is None else reordered(self.head, order, spec))

    def copy_to(
        self, parameters: Mapping[str, nn.Parameter], head: Mapping[str, nn.Parameter]
    ) -> None:
        """Copies the tensors into a classifier that ``config`` was attached to.

        Args:
            parameters: All of the adapter's, under their names.
            head: All of the head's, under their names. What the format does not hold stays.

        Raises:
            ModelError: A name is missing or unexpected, or a shape differs.
        """
        absent = parameters.keys() ^ self.tensors.keys() | self.head.keys() - head.keys()
        both = [(self.tensors[name], parameters[name]) for name in parameters if name not in absent]
        both += [(self.head[name], head[name]) for name in self.head if name not in absent]
        shapes = [(tuple(a.shape), tuple(b.shape)) for a, b in both if a.shape != b.shape]
        if absent or shapes:
            raise ModelError(
                f"The adapter does not fit this classifier: {len(absent)} tensors are missing or "
                f"unexpected {sorted(absent)[:3]}, {len(shapes)} have another shape (found, "
                f"expected) {shapes[:3]}.",
                hint="Attach the adapter's own configuration, and take its number of labels.",
            )
        with torch.no_grad():
            for tensor, parameter in both:
                parameter.copy_(tensor)


class Read(Protocol):
    """How a format is read."""

    def __call__(
        self,
        folder: Path,
        *,
        spec: BackboneSpec,
        config: Mapping[str, object],
        base_head: Mapping[str, Tensor] | None = None,
    ) -> ForeignAdapter:
        """Reads an adapter for the backbone at hand.

        Args:
            folder: Holds the format's files.
            spec: The backbone's row.
            config: The backbone's config.json.
            base_head: What the base checkpoint itself holds of the head, under its names in the
                stock classifier. Needed only where the format stores a change of it.

        Raises:
            ModelError: It holds something that edgeadapt cannot express, does not fit, or its
                weights are damaged.
            LayoutError: A JSON file is missing or damaged.
        """


class Write(Protocol):
    """How a format is written."""

    def __call__(
        self,
        folder: Path,
        adapter: ForeignAdapter,
        *,
        spec: BackboneSpec,
        config: Mapping[str, object],
        force: bool = False,
    ) -> None:
        """Writes an adapter so that the format's own library loads it.

        Args:
            folder: To be made.
            adapter: What to write.
            spec: The backbone's row.
            config: The backbone's config.json.
            force: Replace the folder if it exists.

        Raises:
            ModelError: The format cannot hold it.
            OutputExistsError: The folder exists and ``force`` is not given.
        """
