"""Make smaller models of one: keep its first layers, remove heads and neurons, refit what is left.

The order matters: layers first, because the head of a shallower model has to be refitted before its
heads and neurons can be ranked by what the task loses.
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
from edgeadapt.recipe import Task
from edgeadapt.runtime.resized import keep_layers, resize, shaped, structure_of
from edgeadapt.shrink.importance import Importance, importance_of
from edgeadapt.shrink.refit import Fitted, HeadTargets, SublayerTargets
from edgeadapt.shrink.selection import Prices, select
from edgeadapt.store.structure import Structure

__all__ = ["Shallow", "Small", "Workshop"]

RANKING_TEXTS = 1_024
"""Training texts by which heads and neurons are ranked and sublayers refitted."""
HEAD_TEXTS = 4_096
"""Training texts to which the head is refitted."""
MOST_TOKENS = 131_072
"""Most tokens of the ranking texts; fewer texts are used where they are long. It bounds memory."""
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
    """The first layers of a model with a refitted head, and the importance of what they hold."""

    model: TextModel
    importance: Importance


class Workshop:
    """Makes smaller models of one.

    Args:
        model: The model; it is not changed.
        train: Training examples.
        task: How many labels a text has.
        folder: Folder for the weights of the smaller models, created if missing.
        recover: Trains a smaller model on; ``None`` if none is to be.
    """

    def __init__(
        self,
        model: TextModel,
        train: Examples,
        *,
        task: Task,
        folder: Path,
        recover: Callable[[TextModel], TextModel] | None = None,
    ) -> None:
        self.model, self._task, self._folder = model, task, folder
        self._recover = recover
        self.spec: BackboneSpec = backbone_spec(model.merged.model.config.model_type)
        self._ranking = _sample(train, RANKING_TEXTS, model)
        self._for_head = _spread(train, HEAD_TEXTS)
        self._shallow: dict[int, Shallow] = {}
        self._made = 0

    @property
    def structure(self) -> Structure:
        """The structure of the original model."""
        return structure_of(self.model.merged.model, self.spec)

    def shallow(self, depth: int) -> Shallow:
        """Returns the first layers of the model, with the head refitted to them.

        Raises:
            ModelError: The model does not have as many layers, or cannot be cut there.
        """
        if depth not in self._shallow:
            shorter = self._copy()
            if depth != self.structure.depth:
                keep_layers(shorter, self.spec, depth)
                self._head.fit(shorter)
            model = self._with(shorter)
            importance = importance_of(model, self._ranking, self._task)
            self._shallow[depth] = Shallow(model, importance)
        return self._shallow[depth]

    def small(self, depth: int, prices: Prices, fits: Callable[[Structure], bool]) -> Small:
        """Returns the best model of some depth whose structure fits; see ``select``."""
        shallow = self.shallow(depth)
        pruned = deepcopy(shallow.model.merged.model)
        heads = self.spec.attention is not None
        kept = select(shallow.importance, prices, fits=fits, heads=heads)
        before = structure_of(pruned, self.spec)
        resize(pruned, self.spec, kept)
        structure = structure_of(pruned, self.spec)
        fitted: tuple[Fitted, ...] = ()
        if structure != before:
            fitted = (*self._sublayers.fit(pruned), self._head.fit(pruned))
        return self._saved(pruned, structure, fitted)

    def only_shallow(self, depth: int) -> Small:
        """Returns the model of some depth from which nothing else is removed."""
        shorter = self.shallow(depth).model.merged.model
        return self._saved(shorter, structure_of(shorter, self.spec), ())

    def opened(self, small: Small) -> TextModel:
        """Returns a model that was made before."""
        model = self._copy()
        if small.structure.depth != self.structure.depth:
            keep_layers(model, self.spec, small.structure.depth)
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

    def _copy(self) -> PreTrainedModel:
        return deepcopy(self.model.merged.model)

    def _with(self, model: PreTrainedModel) -> TextModel:
        return replace(self.model, merged=self.model.merged.resized(model))

    @cached_property
    def _head(self) -> HeadTargets:
        return HeadTargets(self.model, self._for_head.texts)

    @cached_property
    def _sublayers(self) -> SublayerTargets:
        first = all(shallow.importance.first_position for shallow in self._shallow.values())
        return SublayerTargets(self.model, self._ranking.texts, first_position=first)


def _spread(examples: Examples, count: int) -> Examples:
    """Returns ``count`` examples, evenly spread over all: files are often sorted by label."""
    most = min(count, len(examples))
    return examples.take(number * len(examples) // most for number in range(most))


def _sample(examples: Examples, count: int, model: TextModel) -> Examples:
    """Returns examples for ranking, at most ``count`` with ``MOST_TOKENS`` tokens in all."""
    chosen = _spread(examples, count)
    tokens = sum(map(len, model.encoder.encode(chosen.texts)))
    return _spread(chosen, max(_BATCH, len(chosen) * MOST_TOKENS // max(tokens, MOST_TOKENS)))
