"""The layers below the lowest one that is trained: run once, and remembered.

Nothing there changes, so that their output for a training text is the same in every epoch. They
run without dropout, whether they are remembered or not.
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
    """A classifier's first layers, in which nothing is trained, and its embeddings below them."""

    backbone: BackboneModel
    count: int
    """How many; 0 where the first layer or the embeddings are trained."""

    @classmethod
    def below(cls, backbone: BackboneModel, trained: Mapping[str, nn.Parameter]) -> Self:
        """Finds them.

        Args:
            backbone: With its adapters attached.
            trained: Every parameter that is trained.
        """
        ids = {id(parameter) for parameter in trained.values()}
        if backbone.repeats_layers:
            return cls(backbone, 0)
        layers = [layer.module for layer in backbone.layers()]
        inside = {id(p) for layer in layers for p in layer.parameters()}
        head = {id(p) for p in backbone.head.values()}
        if ids - inside - head:  # embeddings, or what stands beside the layers
            return cls(backbone, 0)
        frozen = [not ids & {id(p) for p in layer.parameters()} for layer in layers]
        return cls(backbone, frozen.index(False) if False in frozen else len(layers))

    def begin_training(self, dropout: Dropout) -> None:
        """Puts the model into training mode, without dropout in these layers and the embeddings.

        Args:
            dropout: What drops out in the layers above, beside the adapters in them.
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
                # Its own mode only, which fused attention goes by; its parts keep theirs.
                attention = spec.query.dense.rpartition(".")[0]
                layer.module.get_submodule(attention).training = False

    def bytes_for(self, tokens: Sequence[Tokens]) -> int:
        """Returns how much it takes to remember their output for some texts, in float32."""
        width = int(self.backbone.model.config.hidden_size)
        return 4 * width * sum(map(len, tokens))

    @torch.inference_mode()
    def remember(self, text_encoder: TextEncoder, tokens: Sequence[Tokens]) -> "Remembered":
        """Runs them over texts, in evaluation mode.

        Args:
            text_encoder: Pads.
            tokens: Of each text.
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
    """What frozen layers gave for each training text."""

    layers: FrozenLayers
    states: Sequence[Tensor]
    """Per text, of shape ``(tokens, hidden)``."""
    form: tuple[bool, ...] | None
    """Which elements of a layer's output are hidden states; ``None`` where it is no tuple."""

    @contextmanager
    def replayed(self, rows: Sequence[int]) -> Iterator[None]:
        """For the block, the frozen layers give what they gave for these texts.

        Args:
            rows: Of the batch that the model is run on.
        """
        hidden = nn.utils.rnn.pad_sequence([self.states[row] for row in rows], batch_first=True)
        # Made in inference mode, which autograd does not take.
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
    """Ends a forward pass."""


@contextmanager
def _stopping() -> Iterator[None]:
    try:
        yield
    except _Enough:
        return


class _Given(nn.Module):
    """A layer that gives what it was given, in the form that the real one does.

    Whatever else an encoder asks a layer for, such as its kind of attention, the real one answers.
    """

    def __init__(self, hidden: Tensor, form: tuple[bool, ...] | None, real: nn.Module) -> None:
        super().__init__()
        self.hidden, self.form = hidden, form
        self.real = [real]  # in a list, so that it is no submodule

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
