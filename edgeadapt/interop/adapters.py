"""Use adapters of another library, or of another run, on a backbone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

from edgeadapt.backbones import STOCK_HEADS
from edgeadapt.errors import ModelError
from edgeadapt.interop import (
    FORMATS,
    ForeignAdapter,
    Identity,
    base_model,
    check_identity,
    detect,
)
from edgeadapt.models.classifier import AdaptedClassifier
from edgeadapt.models.opened import OpenedRun
from edgeadapt.models.seeds import seeded
from edgeadapt.models.sources import ModelSource, find_model
from edgeadapt.outputs import placeholders, real_names, rows_for
from edgeadapt.recipe import AdapterConfig, ModelConfig, Recipe, Task
from edgeadapt.store.run import Run
from edgeadapt.store.training import Imported
from edgeadapt.text import TextEncoder

__all__ = [
    "Opened",
    "adapter_of",
    "check_belongs",
    "open_adapter",
    "own_model",
    "settings_of",
    "started",
    "with_head_for",
]


@dataclass(frozen=True)
class Opened:
    """An adapter and its backbone."""

    adapter: ForeignAdapter
    model: ModelConfig
    """The requested model, with backbone, revision and depth filled in from the adapter."""
    source: ModelSource
    base_head: Mapping[str, Tensor]
    """The parts of the head in the backbone's own checkpoint, outputs in their original order."""
    origin: Imported
    """The format and folder that the adapter was read from."""

    def held_outputs(self) -> int | None:
        """Returns the number of outputs of the backbone's own head; ``None`` if it has none."""
        out = self.base_head.get(f"{STOCK_HEADS[self.source.spec.model_type].out}.weight")
        return None if out is None else len(out)


def open_adapter(folder: Path, model: ModelConfig, *, named: bool) -> Opened:
    """Reads an adapter that another library wrote.

    Args:
        folder: The adapter's folder.
        model: The backbone, and the number of layers to keep; by default, as many as the adapter
            was trained on.
        named: Whether the user named a backbone; if not, the one in the adapter's configuration is
            used instead of ``model.id``.

    Raises:
        ModelError: edgeadapt does not support the adapter, or it is for another backbone.
        LayoutError: A file is missing or damaged.
    """
    kind = detect(folder)
    if not named:
        model = own_model(folder, model)
    if model.layers is None and (identity := Identity.load(folder)) is not None:
        model = replace(model, layers=identity.backbone_layers)
    source = find_model(model)
    base_head = _own_head(source)
    adapter = FORMATS[kind].read(
        folder,
        spec=source.spec,
        config=settings_of(source, model.layers),
        base_head=base_head,
    )
    origin = Imported(str(kind), folder.resolve().name)
    return Opened(adapter, model, source, base_head, origin)


def started(recipe: Recipe, *, model_named: bool = True) -> tuple[Recipe, ForeignAdapter | None]:
    """Returns the recipe, with the settings of the adapter that it starts from, and that adapter.

    Args:
        recipe: Its ``adapter.start`` names the adapter's folder, if any.
        model_named: Whether to use the recipe's backbone; if not, the adapter's own replaces it.

    Raises:
        ModelError: The adapter cannot be used on the recipe's backbone.
        LayoutError: The adapter cannot be read.
    """
    start = recipe.adapter.start
    if start is None:
        return recipe, None
    folder = Path(start).expanduser()
    model = recipe.model
    if (folder / "run.json").is_file():
        run = Run.open(folder)
        adapter = adapter_of(run)
        if not model_named:
            own = run.info.recipe.model
            model = replace(own, max_length=model.max_length, layers=model.layers or own.layers)
    else:
        opened = open_adapter(folder, model, named=model_named)
        adapter, model = opened.adapter, opened.model
    config = replace(adapter.config, start=str(folder.resolve()), dropout=recipe.adapter.dropout)
    return replace(recipe, model=model, adapter=config), adapter


def adapter_of(run: Run) -> ForeignAdapter:
    """Returns a run's adapter and head, with their identity.

    Raises:
        LayoutError: The run is damaged, or its backbone has changed.
    """
    run.verify()
    classifier = OpenedRun(run).classifier()
    return ForeignAdapter(
        config=replace(run.info.recipe.adapter, start=None),
        tensors=_detached(classifier.adapter_parameters()),
        head=_detached(classifier.backbone.head),
        labels=run.info.labels,
        base_model=run.info.backbone.id,
        identity=Identity(
            labels=run.info.labels,
            task=run.info.task,
            pairs=run.info.pairs,
            tokenizer_sha256=OpenedRun(run).encoder.sha256(),
            backbone_sha256=run.info.frozen_sha256.after,
            backbone_config_sha256=run.info.backbone.config_sha256,
            backbone_layers=run.info.recipe.model.layers,
            base_model=run.info.backbone.id,
        ),
    )


def check_belongs(
    adapter: ForeignAdapter,
    classifier: AdaptedClassifier,
    source: ModelSource,
    encoder: TextEncoder,
    *,
    head: Identity | None,
    where: str,
) -> None:
    """Checks that an adapter was trained on this backbone and for this task.

    Args:
        adapter: The adapter; one without an identity is not checked.
        classifier: A classifier with the backbone.
        source: The backbone's checkpoint.
        encoder: The backbone's tokenizer.
        head: Task and labels that the head is used for; ``None`` if a new head is trained.
        where: The adapter's folder, for the message.

    Raises:
        IntegrityError: Backbone, tokenizer, task or labels differ.
    """
    if adapter.identity is None:
        return
    found = replace(
        head or Identity(),
        tokenizer_sha256=encoder.sha256(),
        backbone_sha256=classifier.frozen_sha256(),
        backbone_config_sha256=source.config_sha256(),
    )
    check_identity(adapter.identity, found, where=where)


def with_head_for(
    adapter: ForeignAdapter,
    source: ModelSource,
    labels: Sequence[str],
    *,
    task: Task,
    where: str,
) -> tuple[ForeignAdapter, str]:
    """Returns an adapter with its head fitted to the labels of the data, and a note for the user.

    The outputs are reordered to the labels. A head for other labels, or for another task, is left
    out.

    Args:
        adapter: The adapter.
        source: The backbone's checkpoint, whose label names are used if the adapter has none.
        labels: Label names in the required order.
        task: How many labels a text has.
        where: The adapter's folder, for the note.
    """
    out = adapter.output_layer(source.spec)
    if out is None:
        return adapter, ""
    own = source.outputs()
    also = own.real if len(own.names) == len(out) else None
    names = real_names(adapter.labels) or also or placeholders(len(out))
    trained_for = adapter.identity.task if adapter.identity else None
    rows = rows_for(names, labels, whose=where, own_task=trained_for or own.task, task=task)
    return adapter.with_rows(rows.order, source.spec), rows.note


def own_model(folder: Path, model: ModelConfig) -> ModelConfig:
    """Returns the model configuration with the backbone that an adapter names.

    Raises:
        ModelError: The adapter names none.
    """
    own = base_model(folder)
    if own is None:
        raise ModelError(
            f"{folder / 'adapter_config.json'} does not say which backbone it is for.",
            hint="Name it with --model.",
        )
    name, revision = own
    return replace(model, id=name, revision=model.revision or revision)


def settings_of(source: ModelSource, depth: int | None) -> Mapping[str, object]:
    """Returns a checkpoint's config.json, with the number of layers set to ``depth`` if given."""
    return source.config if depth is None else {**source.config, source.spec.depth_key: depth}


def _own_head(source: ModelSource) -> dict[str, Tensor]:
    """Returns the parts of the head that a checkpoint holds."""
    own = source.outputs()
    with seeded(0):
        plain = AdaptedClassifier.build(
            source,
            own.names,
            AdapterConfig(method="head"),
            task=own.task or Task.SINGLE_LABEL,
        )
    return _detached({n: p for n, p in plain.backbone.head.items() if n not in plain.new_head})


def _detached(parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in parameters.items()}
