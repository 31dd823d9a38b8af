"""Make smaller models of one: keep some layers, remove heads and neurons, refit what is left.

The order matters: layers first, because a shallower model has to be refitted before its heads and
neurons can be ranked.
"""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from safetensors.torch import load_model, save_model
from transformers import PreTrainedModel

from edgeadapt.backbones import BackboneSpec, backbone_spec
from edgeadapt.data import Examples
from edgeadapt.models.text_model import TextModel
from edgeadapt.runtime.resized import keep_layers, resize, shaped, structure_of
from edgeadapt.shrink.importance import Importance, importance_of
from edgeadapt.shrink.least_squares import Fitted
from edgeadapt.shrink.refit import HeadTargets, SublayerTargets
from edgeadapt.shrink.selection import Prices, select
from edgeadapt.store.structure import Structure

__all__ = ["Shallow", "Small", "Workshop"]

RANKING_TEXTS = 1_024
"""Training texts by which heads and neurons are ranked."""
FITTING_TEXTS = 4_096
"""Training texts to which layers and the head are refitted."""
MOST_TOKENS = 131_072
"""Most tokens of those texts; fewer are used where they are long. It bounds time and memory."""
_BATCH = 32


@dataclass(frozen=True)
class Small:
    """A smaller model on disk."""

    structure: Structure
    file: Path
    """Its weights, safetensors."""
    fitted: tuple[Fitted, ...]
    """What refitting changed."""
    recovered: bool = False
    """Whether it was trained on."""


@dataclass(frozen=True)
class Shallow:
    """Some layers of a model, refitted, and the importance of what they hold."""

    model: TextModel
    importance: Importance
    fitted: tuple[Fitted, ...]


class Workshop:
    """Makes smaller models of one.

    Args:
        model: The model; it is not changed.
        train: Training examples.
        folder: Folder for the weights of the smaller models, created if missing.
        recover: Trains a smaller model on; ``None`` if none is to be.
    """

    def __init__(
        self,
        model: TextModel,
        train: Examples,
        *,
        folder: Path,
        recover: Callable[[TextModel], TextModel] | None = None,
    ) -> None:
        self.model, self._folder = model, folder
        self._recover = recover
        self.spec: BackboneSpec = backbone_spec(model.merged.model.config.model_type)
        self._ranking = _sample(train, RANKING_TEXTS, model).texts
        self._fitting = _sample(train, FITTING_TEXTS, model).texts
        self._shallow: dict[int, Shallow] = {}
        self._made = 0

    @property
    def structure(self) -> Structure:
        """The structure of the original model."""
        return structure_of(self.model.merged.model, self.spec)

    def sources(self, depth: int) -> tuple[int, ...]:
        """Returns the numbers of the layers that a model of some depth keeps.

        The last layer is among them: it computes little more than one position, so it costs next to
        nothing, and the head knows what it writes. Where layers are not alike, as those with a
        norm before the attention, the first ones are kept.
        """
        whole = self.structure.depth
        if self.has_widths and self.spec.ffn_norm is not None and 0 < depth <= whole:
            return (*range(depth - 1), whole - 1)
        return tuple(range(depth))

    @property
    def has_widths(self) -> bool:
        """Whether heads or neurons can be removed; not where layers share their weights."""
        return self.spec.groups_key is None

    def structure_at(self, depth: int) -> Structure:
        """Returns the structure of the layers that a model of some depth keeps."""
        whole, kept = self.structure, self.sources(depth)
        return Structure(
            tuple(whole.heads[number] for number in kept),
            tuple(whole.neurons[number] for number in kept),
        )

    def shallow(self, depth: int) -> Shallow:
        """Returns some layers of the model, refitted.

        Raises:
            ModelError: The model does not have as many layers, or cannot be cut there.
        """
        if depth not in self._shallow:
            shorter = self._copy(depth)
            fitted = () if depth == self.structure.depth else self._fit(shorter)
            model = self._with(shorter)
            self._shallow[depth] = Shallow(model, importance_of(model, self._ranking), fitted)
        return self._shallow[depth]

    def small(self, depth: int, prices: Prices, fits: Callable[[Structure], bool]) -> Small:
        """Returns the best model of some depth whose structure fits; see ``select``."""
        importance, pruned = self.shallow(depth).importance, self._copy(depth)
        heads = self.spec.attention is not None
        resize(pruned, self.spec, select(importance, prices, fits=fits, heads=heads))
        structure = structure_of(pruned, self.spec)
        if structure == self.structure_at(depth):
            return self.only_shallow(depth)
        return self._saved(pruned, structure, self._fit(pruned))

    def only_shallow(self, depth: int) -> Small:
        """Returns the model of some depth from which nothing else is removed."""
        shallow = self.shallow(depth)
        shorter = shallow.model.merged.model
        return self._saved(shorter, structure_of(shorter, self.spec), shallow.fitted)

    def opened(self, small: Small) -> TextModel:
        """Returns a model that was made before."""
        model = self._copy(small.structure.depth)
        if structure_of(model, self.spec) != small.structure:
            shaped(model, self.spec, small.structure)
        load_model(model, small.file)
        return self._with(model)

    @property
    def recovers(self) -> bool:
        """Whether smaller models can be trained on."""
        return self._recover is not None

    def recovered(self, small: Small) -> Small:
        """Returns a model trained on, of the same structure."""
        assert self._recover is not None
        trained = self._recover(self.opened(small)).merged.model
        return replace(self._saved(trained, small.structure, small.fitted), recovered=True)

    def _saved(
        self, model: PreTrainedModel, structure: Structure, fitted: tuple[Fitted, ...]
    ) -> Small:
        self._folder.mkdir(parents=True, exist_ok=True)
        file = self._folder / f"{self._made}.safetensors"
        self._made += 1
        save_model(model, str(file))
        return Small(structure, file, fitted)

    def _copy(self, depth: int) -> PreTrainedModel:
        """Returns the model with the layers of some depth and their original weights."""
        model = deepcopy(self.model.merged.model)
        if depth != self.structure.depth:
            keep_layers(model, self.spec, self.sources(depth))
        return model

    def _with(self, model: PreTrainedModel) -> TextModel:
        return replace(self.model, merged=self.model.merged.resized(model))

    def _fit(self, model: PreTrainedModel) -> tuple[Fitted, ...]:
        """Fits a smaller model in place."""
        fitted: list[Fitted] = []
        if self.has_widths:
            sources = self.sources(structure_of(model, self.spec).depth)
            fitted += self._sublayers.fit(model, sources)
        return (*fitted, self._head.fit(model))

    @cached_property
    def _head(self) -> HeadTargets:
        return HeadTargets(self.model, self._fitting)

    @cached_property
    def _sublayers(self) -> SublayerTargets:
        first = self.shallow(self.structure.depth).importance.first_position
        return SublayerTargets(self.model, self._fitting, first_position=first)


def _spread(examples: Examples, count: int) -> Examples:
    """Returns ``count`` examples, evenly spread over all: files are often sorted by label."""
    most = min(count, len(examples))
    return examples.take(number * len(examples) // most for number in range(most))


def _sample(examples: Examples, count: int, model: TextModel) -> Examples:
    """Returns examples, at most ``count`` with ``MOST_TOKENS`` tokens in all."""
    chosen = _spread(examples, count)
    tokens = sum(map(len, model.encoder.encode(chosen.texts)))
    return _spread(chosen, max(_BATCH, len(chosen) * MOST_TOKENS // max(tokens, MOST_TOKENS)))
