"""Cache the output of the layers below the lowest trained one.

These layers do not change, so their output for a training text is the same in every epoch. They
run without dropout, with or without the cache, so that the cache does not change the training.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn

from edgeadapt.adapters import BackboneModel
from edgeadapt.adapters.parts import Part
from edgeadapt.models.inference import to_inputs
from edgeadapt.recipe import Dropout
from edgeadapt.text import TextEncoder, Tokens

__all__ = ["FrozenLayers", "Remembered"]

_BATCH = 32


@dataclass(frozen=True)
class FrozenLayers:
    """A classifier's embeddings and its first layers, up to the lowest trained layer."""

    backbone: BackboneModel
    count: int
    """Number of layers; 0 if the first layer or the embeddings are trained."""

    @classmethod
    def below(cls, backbone: BackboneModel, trained: Mapping[str, nn.Parameter]) -> Self:
        """Finds the frozen layers of a model.

        Args:
            backbone: With its adapters attached.
            trained: All trained parameters, by name.
        """
        ids = {id(parameter) for parameter in trained.values()}
        if backbone.repeats_layers:
            return cls(backbone, 0)
        layers = [layer.module for layer in backbone.layers()]
        inside = {id(p) for layer in layers for p in layer.parameters()}
        head = {id(p) for p in backbone.head.values()}
        if ids - inside - head:  # embeddings, or modules outside the layers, are trained
            return cls(backbone, 0)
        frozen = [not ids & {id(p) for p in layer.parameters()} for layer in layers]
        return cls(backbone, frozen.index(False) if False in frozen else len(layers))

    def begin_training(self, dropout: Dropout) -> None:
        """Sets training mode, but without dropout in the frozen layers and the embeddings.

        Args:
            dropout: Which dropout applies in the layers above; that of adapters always does.
        """
        spec = self.backbone.spec
        model = self.backbone.model.train()
        if self.count or dropout is Dropout.NONE:
            model.get_submodule(spec.encoder).eval()
        for layer in self.backbone.layers()[self.count :]:
            for module in layer.module.modules():
                if dropout is not Dropout.NONE or isinstance(module, Part):
                    module.train()
            if dropout is Dropout.HIDDEN:
                # Only this module's own flag, which decides whether attention weights drop out; its
                # submodules stay in training mode.
                attention = spec.query.dense.rpartition(".")[0]
                layer.module.get_submodule(attention).training = False

    def bytes_for(self, tokens: Sequence[Tokens]) -> int:
        """Returns the size in bytes of their cached float32 output for some texts."""
        width = int(self.backbone.model.config.hidden_size)
        return 4 * width * sum(map(len, tokens))

    @torch.inference_mode()
    def remember(self, text_encoder: TextEncoder, tokens: Sequence[Tokens]) -> "Remembered":
        """Runs the frozen layers on texts, in evaluation mode, and returns their output.

        Args:
            text_encoder: The tokenizer, for padding.
            tokens: Tokens of each text.
        """
        model = self.backbone.model
        was_training = model.training
        model.eval()
        last = self.backbone.layers()[self.count - 1].module
        caught: list[Any] = []

        def catch(module: nn.Module, arguments: Any, output: Any) -> None:
            caught.append(output)
            raise _Enough

        hook = last.register_forward_hook(catch)
        order = sorted(range(len(tokens)), key=lambda row: len(tokens[row]))
        states: dict[int, Tensor] = {}
        try:
            for at in range(0, len(order), _BATCH):
                rows = order[at : at + _BATCH]
                inputs = to_inputs(text_encoder.pad([tokens[row] for row in rows]), model)
                with _stopping():
                    model(**inputs)
                output = caught.pop()
                hidden = _hidden(output)
                for position, row in enumerate(rows):
                    states[row] = hidden[position, : len(tokens[row])].clone()
        finally:
            hook.remove()
            model.train(was_training)
        form = tuple(map(torch.is_tensor, output)) if isinstance(output, tuple) else None
        return Remembered(self, [states[row] for row in range(len(tokens))], form)


@dataclass(frozen=True)
class Remembered:
    """The cached output of the frozen layers for each training text."""

    layers: FrozenLayers
    states: Sequence[Tensor]
    """Hidden states of shape ``(tokens, hidden)`` per text."""
    form: tuple[bool, ...] | None
    """Which elements of a layer's output tuple are hidden states; ``None`` if it is a tensor."""

    @contextmanager
    def replayed(self, rows: Sequence[int]) -> Iterator[None]:
        """Makes the frozen layers return the cached output of these texts for the block.

        Args:
            rows: Row numbers of the texts in the batch.
        """
        hidden = nn.utils.rnn.pad_sequence([self.states[row] for row in rows], batch_first=True)
        # A copy, because autograd does not accept tensors made in inference mode.
        hidden = hidden.clone()
        backbone = self.layers.backbone
        place = backbone.model.get_submodule(backbone.spec.layers)
        numbers = [str(number) for number in range(self.layers.count)]
        real = {number: place.get_submodule(number) for number in numbers}
        try:
            for number, module in real.items():
                setattr(place, number, _Given(hidden, self.form, module))
            yield
        finally:
            for number, module in real.items():
                setattr(place, number, module)


class _Enough(Exception):  # noqa: N818 - no error
    """Ends a forward pass after the last frozen layer."""


@contextmanager
def _stopping() -> Iterator[None]:
    try:
        yield
    except _Enough:
        return


class _Given(nn.Module):
    """A stand-in for a layer that returns given hidden states, in the form of the real layer.

    Other attributes that an encoder reads, such as the type of attention, are those of the real
    layer.
    """

    def __init__(self, hidden: Tensor, form: tuple[bool, ...] | None, real: nn.Module) -> None:
        super().__init__()
        self.hidden, self.form = hidden, form
        self.real = [real]  # in a list, so that torch does not register it as a submodule

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(self.__dict__["real"][0], name)

    def forward(self, *arguments: Any, **options: Any) -> Any:
        if self.form is None:
            return self.hidden
        return tuple(self.hidden if is_hidden else None for is_hidden in self.form)


def _hidden(output: Any) -> Tensor:
    if isinstance(output, tuple):
        return next(element for element in output if torch.is_tensor(element))
    return torch.as_tensor(output)
