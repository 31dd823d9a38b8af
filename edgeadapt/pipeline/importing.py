"""``edgeadapt import``: an adapter of another library becomes a run."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from edgeadapt.errors import ModelError
from edgeadapt.interop import ForeignAdapter, Identity
from edgeadapt.models.classifier import AdaptedClassifier
from edgeadapt.models.seeds import seeded
from edgeadapt.models.sources import ModelSource
from edgeadapt.models.tokenizer import load_tokenizer
from edgeadapt.outputs import Rows, real_names, regression
from edgeadapt.pipeline.adopted import Adopted, Head, labelled, no_data, read_data
from edgeadapt.pipeline.foreign import Opened, check_belongs, open_adapter
from edgeadapt.pipeline.run_files import pinned_data, pinned_model
from edgeadapt.progress import SILENT, Progress
from edgeadapt.recipe import DataConfig, ModelConfig, Recipe, Task
from edgeadapt.store import artifacts
from edgeadapt.store.run import Run

__all__ = ["import_adapter"]


def import_adapter(
    folder: Path,
    *,
    model: ModelConfig,
    model_named: bool,
    data: DataConfig | None = None,
    labels: Sequence[str] | None = None,
    output: Path | None = None,
    force: bool = False,
    progress: Progress = SILENT,
) -> Run:
    """Puts an AdapterHub or PEFT adapter and its head on their backbone, and keeps them as a run.

    Args:
        folder: Holds the adapter's files.
        model: The backbone, where it is named, and how long texts may be.
        model_named: Whether the user named it; else it is the one that the adapter names.
        data: Labelled examples; with them accuracy is measured, and int8 can be judged later.
        labels: Names of the head's outputs, in their order, where its files give none.
        output: Folder of the run; a free name under ``artifacts/runs`` where none is given.
        force: Replace an existing run.
        progress: Where to report.

    Raises:
        ModelError: The adapter cannot be expressed, is for another backbone, or has no head.
        IntegrityError: Its labels, tokenizer or backbone are not the ones at hand.
        DataError: The examples cannot be read, have other labels, or no word that the tokenizer
            knows.
        UsageError: ``labels`` contradicts names that its files give.
    """
    opened = open_adapter(folder, model, named=model_named)
    adapter, source = opened.adapter, opened.source
    task, where = _task(opened), str(folder)
    data, dataset = read_data(data, task, where=where, progress=progress)
    recipe = _recipe(opened, data, task, progress)
    kept, asked = recipe.data, None if labels is None else tuple(labels)
    names = _head(opened, folder).names(asked, dataset, progress=progress)
    tokenizer = load_tokenizer(
        source, max_length=recipe.model.max_length, pairs=kept.pairs, progress=progress
    )
    with seeded(recipe.training.seed):
        rows, depth = Rows.as_they_are(len(names)), recipe.model.layers
        classifier = AdaptedClassifier.build(
            source, names, adapter.config, depth=depth, task=kept.task, rows=rows
        )
    _check_head(adapter, classifier, source, folder, "DATA" if data is None else kept.dataset)
    adapter.copy_to(classifier.adapter_parameters(), classifier.encoder.head)
    check_belongs(
        _named(adapter),
        classifier,
        source,
        tokenizer.encoder,
        head=Identity(labels=names, task=kept.task, pairs=kept.pairs),
        where=where,
    )
    if dataset is not None:
        dataset = labelled(dataset, names, where=where, progress=progress)
    target = output or artifacts.new_name(artifacts.runs(), folder.resolve().name)
    adopted = Adopted(recipe, source, opened.origin, classifier, tokenizer, dataset)
    return adopted.keep(target, force=force, progress=progress)


def _recipe(
    opened: Opened, data: DataConfig | None, task: Task | None, progress: Progress
) -> Recipe:
    known = opened.adapter.identity or Identity()
    return Recipe(
        model=pinned_model(opened.model, opened.source, progress=progress),
        data=no_data(task=known.task or task, pairs=known.pairs)
        if data is None
        else pinned_data(data),
        adapter=opened.adapter.config,
    ).resolved()


def _task(opened: Opened) -> Task | None:
    """How many labels a text has, where the head is the checkpoint's or was trained as that was.

    What the adapter itself says is compared with what is at hand later, with all else it says.
    """
    adapter, task = opened.adapter, opened.source.outputs().task
    if adapter.identity is not None and adapter.identity.task is not None:
        return None
    if adapter.output_layer(opened.source.spec) is not None and task is Task.SINGLE_LABEL:
        return None  # a new head may have been trained for sets of labels
    return task


def _head(opened: Opened, folder: Path) -> Head:
    """What is known of the outputs: of the adapter's head, else of the checkpoint's."""
    adapter, source, said = opened.adapter, opened.source, opened.source.outputs()
    out = adapter.output_layer(source.spec)
    if out is not None:
        fits = len(said.names) == len(out)
        return Head(str(folder), len(out), adapter.labels, said.real if fits else None)
    held = opened.held_outputs()
    if held is None:
        return Head(str(folder), None, adapter.labels)
    if said.is_regression:
        raise regression(str(source.folder / "config.json"), outputs=held)
    return Head(str(folder), held, real_names(adapter.labels) or said.names)


def _named(adapter: ForeignAdapter) -> ForeignAdapter:
    """The adapter without labels in its identity that are placeholders, as these are no names."""
    identity = adapter.identity
    if identity is None or real_names(identity.labels):
        return adapter
    return replace(adapter, identity=replace(identity, labels=None))


def _check_head(
    adapter: ForeignAdapter,
    classifier: AdaptedClassifier,
    source: ModelSource,
    folder: Path,
    dataset: str,
) -> None:
    """Refuses to leave any of the head to chance."""
    missing = sorted(classifier.new_head - adapter.head.keys())
    if missing:
        raise ModelError(
            f"{folder} holds no whole head, and neither does the backbone: missing "
            f"{', '.join(missing)}.",
            hint="Train a head, on labelled examples of the task: edgeadapt train "
            f"--adapter {folder} --model {source.id} --dataset {dataset}",
        )
