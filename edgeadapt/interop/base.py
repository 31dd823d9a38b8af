"""The common representation that every format is read into and written from."""

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
    """An adapter, and possibly its task head, with edgeadapt's names."""

    config: AdapterConfig
    """Configuration of the adapter that ``tensors`` fit."""
    tensors: Mapping[str, Tensor]
    """Name of a parameter, ``KIND.layers.N.…`` as in an attached adapter, -> tensor. Layers that
    share weights are listed separately."""
    head: Mapping[str, Tensor] = field(default_factory=dict)
    """Name in the stock classifier -> tensor. Empty if the format holds no head; incomplete if it
    takes a part, such as BERT's pooler, from the base checkpoint."""
    labels: tuple[str, ...] | None = None
    """Label names in the order of the head's outputs; ``None`` if the format does not name them."""
    base_model: str | None = None
    """Hub id or folder of the backbone, as stored in the format."""
    identity: Identity | None = None
    """What the adapter was trained on and for; ``None`` if it was not written by edgeadapt."""

    def with_labels(self) -> Identity | None:
        """Returns the identity to write, with the labels, which not every format can hold."""
        if self.labels is None:
            return self.identity
        return replace(self.identity or Identity(base_model=self.base_model), labels=self.labels)

    def output_layer(self, spec: BackboneSpec) -> Tensor | None:
        """Returns the weight of the head's last layer, (labels, hidden); ``None`` if absent."""
        return self.head.get(f"{STOCK_HEADS[spec.model_type].out}.weight")

    def with_rows(self, order: Sequence[int] | None, spec: BackboneSpec) -> Self:
        """Returns the adapter with the outputs of its head reordered.

        Args:
            order: For each new output, the number of the old one; ``None`` removes the head.
            spec: The backbone's description.
        """
        return replace(self, head={} if order is None else reordered(self.head, order, spec))

    def copy_to(
        self, parameters: Mapping[str, nn.Parameter], head: Mapping[str, nn.Parameter]
    ) -> None:
        """Copies the tensors into a classifier to which ``config`` was attached.

        Args:
            parameters: All parameters of the attached adapter, by name.
            head: All parameters of the classifier's head, by name. Those that the format does not
                hold are not changed.

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
                hint="Attach the adapter's own configuration, with its number of labels.",
            )
        with torch.no_grad():
            for tensor, parameter in both:
                parameter.copy_(tensor)


class Read(Protocol):
    """The function that reads a format."""

    def __call__(
        self,
        folder: Path,
        *,
        spec: BackboneSpec,
        config: Mapping[str, object],
        base_head: Mapping[str, Tensor] | None = None,
    ) -> ForeignAdapter:
        """Reads an adapter for a backbone.

        Args:
            folder: Folder of the format's files.
            spec: The backbone's description.
            config: The backbone's config.json.
            base_head: The parts of the head in the base checkpoint, by their names in the stock
                classifier. Needed only if the format stores an update of them.

        Raises:
            ModelError: edgeadapt does not support the adapter, it does not fit the backbone, or its
                weights are damaged.
            LayoutError: A JSON file is missing or damaged.
        """


class Write(Protocol):
    """The function that writes a format."""

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
            folder: The folder to create.
            adapter: The adapter.
            spec: The backbone's description.
            config: The backbone's config.json.
            force: Overwrite an existing folder.

        Raises:
            ModelError: The format does not support the adapter.
            OutputExistsError: The folder exists and ``force`` is not set.
        """
