"""``edgeadapt export CHECKPOINT``: export a classifier that was fine-tuned elsewhere."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from edgeadapt.backbones import STOCK_HEADS
from edgeadapt.data import check_label_names
from edgeadapt.errors import ModelError, UsageError
from edgeadapt.interop.labels import Head, labelled, no_data
from edgeadapt.models.classifier import AdaptedClassifier
from edgeadapt.models.seeds import seeded
from edgeadapt.models.sources import ModelSource, find_model, pinned_model
from edgeadapt.models.tokenizer import load_tokenizer
from edgeadapt.outputs import Rows
from edgeadapt.pipeline.export import ExportOptions, export
from edgeadapt.pipeline.importing import Adopted, read_data
from edgeadapt.progress import SILENT, Progress
from edgeadapt.recipe import AdapterConfig, AdapterKind, DataConfig, ModelConfig, Recipe
from edgeadapt.store import artifacts
from edgeadapt.store.bundle import Bundle
from edgeadapt.store.folders import check_free
from edgeadapt.store.training import Imported
from edgeadapt.training.datasets import pinned_data

__all__ = ["export_checkpoint"]

_CLASSIFIER = "ForSequenceClassification"


def export_checkpoint(
    model: ModelConfig,
    *,
    max_length: int | None = None,
    data: DataConfig | None = None,
    labels: Sequence[str] | None = None,
    options: ExportOptions | None = None,
    output: Path | None = None,
    force: bool = False,
    progress: Progress = SILENT,
) -> Bundle:
    """Exports a fine-tuned text classifier with its own labels and tokenizer.

    The checkpoint is imported as a run into a temporary folder, and the run is exported.

    Args:
        model: A folder, or a hub id and its revision.
        max_length: Longest input in tokens; by default that of the checkpoint, at most 128.
        data: Labelled examples, to judge int8 and to measure accuracy; without them, only fp32 is
            exported.
        labels: Names of the outputs, in order, where config.json has none.
        options: Compression and content of the bundle.
        output: Folder of the bundle; by default the name of the checkpoint under
            ``artifacts/bundles``.
        force: Replace an existing bundle.
        progress: Where to report.

    Raises:
        UsageError: An option needs data and there is none, or ``labels`` contradicts the
            checkpoint.
        ModelError: The checkpoint is not a complete classifier, or is for regression.
        EdgeAdaptError: Whatever ``load_dataset`` and ``export`` raise.
    """
    options = options or ExportOptions()
    _check_data(data, options, progress)
    source = find_model(model)
    target = output or artifacts.bundles() / Path(source.id).name
    check_free(target, force=force, known_by=Bundle.MANIFEST)
    adopted = _adopted(source, model, max_length, data, labels, progress)
    with TemporaryDirectory() as folder:
        run = adopted.keep(Path(folder) / target.name, force=False, progress=progress)
        return export(run, options=options, output=target, force=force, progress=progress)


def _check_data(data: DataConfig | None, options: ExportOptions, progress: Progress) -> None:
    """Rejects options that need data, and reports what a bundle lacks without it."""
    if data is not None:
        return
    for option, asked in (
        ("--quantize", options.quantize),
        ("--compress", options.reduction),
        ("--trim-vocab", options.trim),
    ):
        if asked is not None:
            raise UsageError(
                f"{option}: a checkpoint contains no labelled text to judge it by: expected "
                "--dataset, found none.",
                hint=f"Name labelled examples with --dataset, or leave {option} out.",
            )
    progress.warn(
        "Without --dataset the bundle contains only fp32, for single texts: accuracy cannot be "
        "measured, and int8 cannot be judged."
    )


def _adopted(
    source: ModelSource,
    model: ModelConfig,
    max_length: int | None,
    data: DataConfig | None,
    labels: Sequence[str] | None,
    progress: Progress,
) -> Adopted:
    where, said = str(source.folder / "config.json"), source.outputs()
    _check_architecture(source, where)
    said.check_labels(where=where)
    data, dataset = read_data(data, said.task, where=source.id, progress=progress)
    head = Head(source.id, len(said.names), said.names)
    names = head.names(None if labels is None else tuple(labels), dataset, progress=progress)
    kept = no_data(task=said.task) if data is None else pinned_data(data)
    if kept.multi_label:
        check_label_names(names, where=where)
    if dataset is not None:
        dataset = labelled(dataset, names, where=source.id, progress=progress)
    length = _max_length(source, max_length, progress)
    recipe = Recipe(
        model=pinned_model(replace(model, max_length=length), source, progress=progress),
        data=kept,
        adapter=AdapterConfig(method=AdapterKind.HEAD),
    ).resolved()
    tokenizer = load_tokenizer(
        source, max_length=recipe.model.max_length, pairs=kept.pairs, progress=progress
    )
    with seeded(recipe.training.seed):
        classifier = AdaptedClassifier.build(
            source, names, recipe.adapter, task=kept.task, rows=Rows.as_they_are(len(names))
        )
    _check_head(classifier, source, where)
    origin = Imported("checkpoint", Path(source.id).name)
    return Adopted(recipe, source, origin, classifier, tokenizer, dataset)


def _check_architecture(source: ModelSource, where: str) -> None:
    """Rejects heads for other tasks, because some have the same parameters as a text classifier."""
    found = source.config.get("architectures")
    listed = [str(name) for name in found] if isinstance(found, list) else []
    others = [name for name in listed if "For" in name and not name.endswith(_CLASSIFIER)]
    if others and len(others) == len(listed):
        raise ModelError(
            f"{where}: architectures: expected a …{_CLASSIFIER}, found {', '.join(others)}.",
            hint="Only classifiers of whole texts can be exported. To train one on its encoder: "
            f"edgeadapt train --model {source.id} --dataset DATA",
        )


def _check_head(classifier: AdaptedClassifier, source: ModelSource, where: str) -> None:
    """Rejects a head with missing parameters, which would be initialized randomly."""
    missing = sorted(classifier.new_head)
    if not missing:
        return
    out = STOCK_HEADS[source.spec.model_type].out
    if classifier.checkpoint_head.found and f"{out}.weight" in missing:
        raise ModelError(
            f"{source.id}: the head has another shape than {where} says: expected "
            f"{classifier.model.config.num_labels} outputs.",
            hint="id2label in that file has to name every output of the head, in order.",
        )
    raise ModelError(
        f"{source.id} is not a complete classifier: its head lacks {', '.join(missing)}.",
        hint="It is an encoder to train a classifier on: "
        f"edgeadapt train --model {source.id} --dataset DATA",
    )


def _max_length(source: ModelSource, asked: int | None, progress: Progress) -> int:
    """The longest input: the requested one, else that of the checkpoint, at most the default."""
    if asked is not None:
        return asked
    own = source.max_length()
    if own > ModelConfig.max_length:
        progress.say(
            f"Texts are cut to {ModelConfig.max_length} tokens; the checkpoint takes {own}: "
            "see --max-length."
        )
    return min(own, ModelConfig.max_length)
