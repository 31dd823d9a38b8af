"""A backbone with adapters and a task head: build, freeze, hash, save and load it."""

import hashlib
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import gcd, prod
from pathlib import Path
from typing import Any, Self

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification, PreTrainedModel

from edgeadapt.adapters import Adapter, BackboneModel, make_adapters
from edgeadapt.backbones import BackboneSpec
from edgeadapt.errors import EdgeAdaptError, IntegrityError, ModelError
from edgeadapt.models.heads import CheckpointHead, fit_head
from edgeadapt.models.sources import ModelSource
from edgeadapt.models.unshare import unshare
from edgeadapt.models.weights import (
    check_finite_weights,
    check_weight_files,
    check_weight_names,
)
from edgeadapt.outputs import Rows, rows_for
from edgeadapt.recipe import AdapterConfig, Task
from edgeadapt.runtime.torch_engine import quiet_transformers
from edgeadapt.store.sizes import check_declared_sizes

__all__ = ["AdaptedClassifier", "load_stock"]

ADAPTER_FILE = "adapter.safetensors"
HEAD_FILE = "head.safetensors"


@dataclass(frozen=True)
class AdaptedClassifier:
    """A stock classifier with adapters attached; only adapters and head are trained."""

    backbone: BackboneModel
    adapters: Mapping[str, Adapter]
    """Kind -> adapter."""
    unshared_parameters: int = 0
    """Number of weights added by giving layers that shared weights copies of their own."""
    checkpoint_head: CheckpointHead = field(default_factory=CheckpointHead)
    """Whether the checkpoint's output layer was kept."""

    @classmethod
    def build(
        cls,
        source: ModelSource,
        labels: Sequence[str],
        config: AdapterConfig,
        *,
        depth: int | None = None,
        task: Task = Task.SINGLE_LABEL,
        rows: Rows | None = None,
    ) -> Self:
        """Loads a backbone, puts a head on it, attaches adapters and freezes the rest.

        A head that the checkpoint holds for the same labels is kept, its rows reordered to
        ``labels``; otherwise a new one is initialized at random.

        New weights are drawn from torch's global generator in a fixed order of kinds. Seed it first
        for a reproducible result.

        Args:
            source: The checkpoint.
            labels: Label names, in the order of their indices.
            config: The adapters to attach.
            depth: Number of transformer layers to keep, from the first; ``None`` for all.
            task: How many labels a text has; written as ``problem_type`` into the model's config.
            rows: The row of the checkpoint's head for each label. By default, rows are matched by
                the label names in its config.json, or kept in order if that has none.

        Raises:
            ModelError: The checkpoint is invalid, or the adapters cannot be attached to it.
        """
        if rows is None:
            own = source.outputs()
            rows = rows_for(
                own.real or labels, labels, whose=source.id, own_task=own.task, task=task
            )
        model, missing, mismatched = _pretrained(source, labels, depth=depth, task=task)
        head = fit_head(
            model, source.spec, rows, whose=source.id, missing=missing, mismatched=mismatched
        )
        shared = model.num_parameters()
        per_layer = any(adapter.per_layer for adapter in make_adapters(config).values())
        if source.spec.groups_key and per_layer:
            model = unshare(model, source.spec)
        unshared = model.num_parameters() - shared
        classifier = cls.around(model, source.spec, config)
        return replace(classifier, unshared_parameters=unshared, checkpoint_head=head)

    @classmethod
    def around(cls, model: PreTrainedModel, spec: BackboneSpec, config: AdapterConfig) -> Self:
        """Attaches adapters to a model in memory, in place, and freezes the rest.

        Layers that share weights share the adapters too. New weights are drawn as by ``build``.

        Args:
            model: A stock or resized classifier, its head included.
            spec: The names of its parts.
            config: The adapters to attach.

        Raises:
            ModelError: The adapters cannot be attached to it.
        """
        adapters = make_adapters(config)
        backbone = BackboneModel.of(model, spec)
        _attach(adapters.values(), backbone, method=config.method)
        classifier = cls(backbone, {str(kind): adapter for kind, adapter in adapters.items()})
        model.requires_grad_(False)
        for parameter in classifier.trained().values():
            parameter.requires_grad_(True)
        return classifier

    @property
    def new_head(self) -> frozenset[str]:
        """Names of the head's parameters that were initialized at random."""
        return self.checkpoint_head.drawn

    @property
    def model(self) -> PreTrainedModel:
        """The Hugging Face model, with the adapters attached."""
        return self.backbone.model

    def adapter_parameters(self) -> dict[str, nn.Parameter]:
        """Returns the parameters that the adapters train, by ``KIND.NAME``.

        A parameter that two kinds train, as with ``bitfit`` and ``full``, is listed once, under the
        kind that comes first in the alphabet.
        """
        listed: dict[int, tuple[str, nn.Parameter]] = {}
        for kind, adapter in sorted(self.adapters.items()):
            for name, parameter in adapter.parameters().items():
                listed.setdefault(id(parameter), (f"{kind}.{name}", parameter))
        return dict(listed.values())

    def trained(self) -> dict[str, nn.Parameter]:
        """Returns all trained parameters, those of adapters and head, by name."""
        return self.adapter_parameters() | dict(self.backbone.head)

    def count_parameters(self) -> tuple[int, int]:
        """Returns the number of trained parameters and the number of all parameters."""
        trained = sum(parameter.numel() for parameter in self.trained().values())
        return trained, sum(parameter.numel() for parameter in self.model.parameters())

    def frozen_sha256(self) -> str:
        """Returns a SHA-256 over name, dtype, shape and bytes of every frozen weight.

        It also identifies the backbone, because the names are those from before any adapter was
        attached.
        """
        trained = {id(parameter) for parameter in self.trained().values()}
        digest = hashlib.sha256()
        for name, parameter in sorted(self.backbone.pretrained.items()):
            if id(parameter) not in trained:
                values = parameter.detach().cpu().contiguous()
                digest.update(f"{name} {values.dtype} {tuple(values.shape)}".encode())
                digest.update(values.numpy().data)
        return digest.hexdigest()

    def save(self, folder: Path) -> None:
        """Writes the weights of adapters and head, without the frozen ones, as safetensors."""
        folder.mkdir(parents=True, exist_ok=True)
        for file, parameters in self._files().items():
            if parameters:
                tensors = {name: p.detach().cpu().contiguous() for name, p in parameters.items()}
                save_file(tensors, folder / file)

    def load(self, folder: Path) -> None:
        """Loads the weights that ``save`` wrote.

        Raises:
            IntegrityError: A file cannot be read, or a tensor is missing, unexpected or of another
                shape.
        """
        for name, parameters in self._files().items():
            file = folder / name
            if not parameters and not file.exists():
                continue
            try:
                tensors = load_file(file)
            except (OSError, SafetensorError) as error:
                raise IntegrityError(f"{file} cannot be read: {error}") from None
            _restore(parameters, tensors, file)

    def _files(self) -> dict[str, dict[str, nn.Parameter]]:
        return {ADAPTER_FILE: self.adapter_parameters(), HEAD_FILE: dict(self.backbone.head)}


def load_stock(folder: Path) -> PreTrainedModel:
    """Loads a saved stock classifier with plain transformers.

    Raises:
        ModelError: A key is missing, unexpected or of another shape.
    """
    with quiet_transformers():
        model, report = AutoModelForSequenceClassification.from_pretrained(
            folder,
            trust_remote_code=False,
            output_loading_info=True,
            ignore_mismatched_sizes=True,
        )
    # ignore_mismatched_sizes makes transformers report wrong shapes instead of raising, so that one
    # error can name all keys that do not fit.
    wrong = [str(key) for kind in report.values() for key in kind]
    if wrong:
        raise ModelError(
            f"{folder} does not load as a stock model: expected no missing, unexpected or "
            f"mismatched keys, found {len(wrong)}: {', '.join(sorted(wrong)[:5])}."
        )
    return model.eval()


def _attach(adapters: Iterable[Adapter], backbone: BackboneModel, *, method: str) -> None:
    for adapter in adapters:
        try:
            adapter.attach(backbone)
        except ModelError as error:
            raise ModelError(f"--method {method}: {error.message}", hint=error.hint) from None


def _pretrained(
    source: ModelSource, labels: Sequence[str], *, depth: int | None, task: Task
) -> tuple[PreTrainedModel, frozenset[str], frozenset[str]]:
    """Loads the stock model with a head for the given labels.

    Returns:
        The model, the names of weights that the checkpoint does not hold, and of those that it
        holds in another shape. Both were initialized at random.
    """
    names = dict(enumerate(labels))
    shapes = check_weight_files(source.folder)
    check_weight_names(shapes, source.spec, folder=source.folder)
    values = sum(prod(shape) for shape in shapes.values())
    config = source.stock_config(
        num_labels=len(labels),
        id2label=names,
        label2id={name: number for number, name in names.items()},
        problem_type=task.problem_type,  # selects the activation in other loaders: softmax, sigmoid
        **_truncated(source, depth),
    )
    check_declared_sizes(config, source.spec, values, where=str(source.folder / "config.json"))
    try:
        with quiet_transformers():
            model, report = AutoModelForSequenceClassification.from_pretrained(
                source.folder,
                config=config,
                trust_remote_code=False,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # a head for other labels is replaced, not refused
                dtype=torch.float32,
            )
    except EdgeAdaptError:
        raise
    except Exception as error:  # noqa: BLE001 - transformers lets errors of any type through
        raise ModelError(
            f"{source.folder} cannot be loaded: {type(error).__name__}: {error}",
            hint="config.json and weights do not belong together, or a file is damaged.",
        ) from None
    # transformers 4 lists names, 5 lists (name, shape found, shape expected).
    mismatched = [key if isinstance(key, str) else key[0] for key in report["mismatched_keys"]]
    _check_shapes(model, source, mismatched, shapes)
    _check_encoder(
        model, source, report["missing_keys"], report["unexpected_keys"], depth=depth, shapes=shapes
    )
    if depth is not None and getattr(model.config, "layer_types", None):
        # transformers 5 lists a type per layer and refuses a list of another length.
        model.config.layer_types = model.config.layer_types[:depth]
    return model, frozenset(report["missing_keys"]) - set(mismatched), frozenset(mismatched)


def _check_shapes(
    model: PreTrainedModel,
    source: ModelSource,
    mismatched: Iterable[str],
    shapes: Mapping[str, tuple[int, ...]],
) -> None:
    """Raises ``ModelError`` where the encoder's weights have other shapes than config.json says."""
    spec = source.spec
    expected = {name: list(tensor.shape) for name, tensor in model.state_dict().items()}
    wrong = []
    for key in sorted(mismatched):
        if not key.startswith(spec.head):
            stored = shapes.get(key) or shapes.get(key.removeprefix(f"{spec.encoder}."))
            shown = f", found {list(stored)}" if stored else ""  # absent: stored under an old name
            wrong.append(f"{key} (expected {expected.get(key)}{shown})")
    if wrong:
        raise ModelError(
            f"{source.folder}: {len(wrong)} weights of the encoder are of another shape than "
            f"config.json says: {', '.join(wrong[:5])}.",
            hint="config.json and weights do not belong together.",
        )


def _check_encoder(
    model: PreTrainedModel,
    source: ModelSource,
    absent: Sequence[str],
    unexpected: Iterable[str],
    *,
    depth: int | None,
    shapes: Collection[str],
) -> None:
    """Raises ``ModelError`` unless the encoder's weights are the checkpoint's, and finite.

    transformers initializes a missing weight at random and drops an unexpected one, with no more
    than a warning.
    """
    spec = source.spec
    missing = [key for key in absent if not key.startswith(spec.head)]
    if missing:
        raise ModelError(
            f"{source.folder} is not a whole {spec.model_type} checkpoint: expected every weight "
            f"of the encoder, found {len(missing)} missing: {', '.join(sorted(missing)[:5])}; its "
            f"files hold {len(shapes)} tensors, such as {', '.join(sorted(shapes)[:3])}."
        )
    kept = len(model.get_submodule(spec.layers))
    surplus = _surplus(unexpected, spec, beyond=None if depth is None else kept)
    if surplus:
        raise ModelError(
            f"{source.folder}: {len(surplus)} weights of the checkpoint do not exist in a stock "
            f"{spec.model_type} of {kept} layers: {', '.join(surplus[:5])}.",
            hint="It is of another architecture, holds adapters, or config.json says another "
            f"{spec.depth_key}.",
        )
    check_finite_weights(dict(model.named_parameters()), where=source.folder)


def _surplus(unexpected: Iterable[str], spec: BackboneSpec, *, beyond: int | None) -> list[str]:
    """Returns weights in the checkpoint's layers that the model does not have.

    Those from layer ``beyond`` on are left out: they were cut off on purpose.
    """
    layers = re.escape(spec.layers.removeprefix(f"{spec.encoder}."))
    pattern = re.compile(rf"(?:{re.escape(spec.encoder)}\.)?{layers}\.(\d+)\.")
    matches = [(key, pattern.match(key)) for key in sorted(unexpected)]
    return [key for key, at in matches if at and (beyond is None or int(at[1]) < beyond)]


def _truncated(source: ModelSource, depth: int | None) -> dict[str, int]:
    """Returns the settings of config.json that keep only the first ``depth`` layers."""
    if depth is None:
        return {}
    spec = source.spec
    config = source.stock_config()
    found = getattr(config, spec.depth_key)
    if depth > found:
        raise ModelError(
            f"--backbone-layers {depth}: expected 1 to {found}, the layers of {source.id}.",
            hint="Leave it out for all layers.",
        )
    groups = getattr(config, spec.groups_key) if spec.groups_key else 1
    if groups == 1:
        return {spec.depth_key: depth}
    assert spec.groups_key
    # The number of layers per group stays the same, so that each layer keeps its group.
    if depth * groups % found:
        raise ModelError(
            f"--backbone-layers {depth}: expected a multiple of {found // gcd(found, groups)}, as "
            f"layers share weights in {groups} groups in {source.id}.",
            hint="Leave it out for all layers.",
        )
    return {spec.depth_key: depth, spec.groups_key: depth * groups // found}


def _restore(parameters: Mapping[str, nn.Parameter], found: dict[str, Tensor], path: Path) -> None:
    expected = {name: tuple(parameter.shape) for name, parameter in parameters.items()}
    shapes = {name: tuple(tensor.shape) for name, tensor in found.items()}
    if shapes != expected:
        odd: Any = sorted(set(shapes.items()) ^ set(expected.items()))
        raise IntegrityError(
            f"{path} does not fit this model: {len(odd)} tensors are missing, unexpected or of "
            f"another shape, such as {odd[0][0]} {odd[0][1]}."
        )
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(found[name])
