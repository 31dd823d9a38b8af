"""``edgeadapt import``: import an adapter of another library as a run."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from edgeadapt import __version__
from edgeadapt.data import Dataset, fingerprint
from edgeadapt.data.report import report_coverage
from edgeadapt.documents.mistakes import MISTAKES_FILE, write_mistakes
from edgeadapt.errors import DataError, ModelError
from edgeadapt.interop import ForeignAdapter, Identity
from edgeadapt.interop.adapters import Opened, check_belongs, open_adapter
from edgeadapt.interop.labels import Head, labelled, no_data
from edgeadapt.measure.machine import describe_machine
from edgeadapt.metrics import Score, check_finite, score
from edgeadapt.models.classifier import AdaptedClassifier
from edgeadapt.models.inference import EVALUATION_BATCH, torch_logits
from edgeadapt.models.run_files import write_examples, write_model
from edgeadapt.models.seeds import seeded
from edgeadapt.models.sources import ModelSource, pinned_model
from edgeadapt.models.tokenizer import TokenizerFiles, load_tokenizer
from edgeadapt.outputs import Rows, real_names, regression
from edgeadapt.progress import SILENT, Progress
from edgeadapt.recipe import DataConfig, ModelConfig, Recipe, Task
from edgeadapt.store import artifacts
from edgeadapt.store.folders import staged_folder
from edgeadapt.store.machine import TrainingMachine
from edgeadapt.store.run import Run, RunInfo
from edgeadapt.store.training import DataReport, FrozenHashes, Imported
from edgeadapt.training.datasets import load_dataset, pinned_data

__all__ = ["Adopted", "import_adapter", "read_data"]


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
    """Attaches an AdapterHub or PEFT adapter and its head to their backbone, and writes a run.

    Args:
        folder: Folder of the adapter.
        model: The backbone, and the longest input.
        model_named: Whether the user named the backbone; otherwise the one in the adapter is used.
        data: Labelled examples, to measure accuracy now and to judge int8 at export.
        labels: Names of the outputs of the head, in order, where its files have none.
        output: Folder of the run; by default an unused name under ``artifacts/runs``.
        force: Replace an existing run.
        progress: Where to report.

    Raises:
        ModelError: The adapter is not supported, is for another backbone, or has no head.
        IntegrityError: Its labels, tokenizer or backbone differ from the given ones.
        DataError: The examples cannot be read, have other labels, or contain no word in the
            vocabulary.
        UsageError: ``labels`` contradicts the names in its files.
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
    adapter.copy_to(classifier.adapter_parameters(), classifier.backbone.head)
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
    """The task of the head, where it is known from the checkpoint.

    The task recorded in the adapter is checked later, together with its other settings.
    """
    adapter, task = opened.adapter, opened.source.outputs().task
    if adapter.identity is not None and adapter.identity.task is not None:
        return None
    if adapter.output_layer(opened.source.spec) is not None and task is Task.SINGLE_LABEL:
        return None  # a new head may have been trained for sets of labels
    return task


def _head(opened: Opened, folder: Path) -> Head:
    """The head's description, from the adapter or else from the checkpoint."""
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
    """The adapter without placeholder labels in its identity, because these are not real names."""
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
    """Rejects a head with missing parameters, which would be initialized randomly."""
    missing = sorted(classifier.new_head - adapter.head.keys())
    if missing:
        raise ModelError(
            f"{folder} has no complete head, and neither has the backbone: missing "
            f"{', '.join(missing)}.",
            hint="Train a head, on labelled examples of the task: edgeadapt train "
            f"--adapter {folder} --model {source.id} --dataset {dataset}",
        )


@dataclass(frozen=True)
class _Scores:
    """Scores on held-out text; ``None`` without data."""

    validation: Score | None = None
    test: Score | None = None


@dataclass(frozen=True)
class Adopted:
    """A complete classifier, and the information that its run records."""

    recipe: Recipe
    source: ModelSource
    """The backbone."""
    origin: Imported
    classifier: AdaptedClassifier
    tokenizer: TokenizerFiles
    dataset: Dataset | None
    """Examples with label indices in the order of the head's outputs."""

    def keep(self, target: Path, *, force: bool, progress: Progress) -> Run:
        """Writes a run at ``target``.

        Raises:
            OutputExistsError: ``target`` exists and ``force`` is not given.
        """
        self.classifier.model.eval()
        if self.dataset is not None:
            splits = {"validation": self.dataset.validation.texts, "test": self.dataset.test.texts}
            report_coverage(splits, self.tokenizer.encoder, progress)
        with (
            staged_folder(target, force=force, known_by=Run.MANIFEST) as staging,
            progress.bar("import", 1) as bar,
        ):
            bar.advance(note=self.recipe.adapter.method)
            write_model(staging, self.classifier, self.tokenizer)
            Run.write(staging, self._info(self._scores(staging, title=target.name)))
        return Run.open(target)

    def _scores(self, folder: Path, *, title: str) -> _Scores:
        if self.dataset is None:
            return _Scores()
        model, encoder, task = self.classifier.model, self.tokenizer.encoder, self.recipe.data.task
        held_out = self.dataset.validation
        logits = torch_logits(model, encoder, held_out.texts, batch_size=EVALUATION_BATCH)
        check_finite(logits, where=f"{title}, validation texts")
        validation = score(logits, held_out.known_labels(), task=task)
        answers = write_examples(
            folder, self.classifier, encoder, self.dataset, task=task, title=title
        )
        names, test = self.dataset.label_names, self.dataset.test
        write_mistakes(folder / MISTAKES_FILE, answers, test, names, task=task, title=title)
        return _Scores(validation, score(answers, test.known_labels(), task=task))

    def _info(self, scores: _Scores) -> RunInfo:
        classifier, dataset, data = self.classifier, self.dataset, self.recipe.data
        trainable, total = classifier.count_parameters()
        frozen = classifier.frozen_sha256()
        splits = {} if dataset is None else {"validation": dataset.validation, "test": dataset.test}
        return RunInfo(
            recipe=self.recipe,
            labels=tuple(classifier.model.config.id2label.values()),
            pad_id=self.tokenizer.encoder.pad_id,
            backbone=self.source.describe(),
            frozen_sha256=FrozenHashes(frozen, frozen),
            trainable_parameters=trainable,
            total_parameters=total,
            data=DataReport(
                examples={name: len(examples) for name, examples in splits.items()},
                fingerprint=None if dataset is None else fingerprint(dataset),
            ),
            validation=scores.validation,
            test=scores.test,
            best_epoch=0,
            seconds=0.0,
            examples_per_second=0.0,
            machine=TrainingMachine(**vars(describe_machine())),
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            edgeadapt=__version__,
            task=data.task,
            pairs=data.pairs,
            imported=self.origin,
        )


def read_data(
    data: DataConfig | None, task: Task | None, *, where: str, progress: Progress
) -> tuple[DataConfig | None, Dataset | None]:
    """Reads examples with the task of a classifier.

    Args:
        data: The data; ``None`` without any.
        task: The task, where the classifier's files give it.
        where: Path of the classifier, for messages.
        progress: Receives a note on how labels are read.

    Raises:
        DataError: The data cannot be read, or ``multi_label`` contradicts the classifier.
    """
    if data is None:
        return None, None
    if data.multi_label and task is Task.SINGLE_LABEL:
        raise DataError(
            f"{where}: problem_type: the classifier is {task}: expected data without "
            "--multi-label, found --multi-label.",
            hint="Leave --multi-label out; where problem_type is wrong, correct it in config.json.",
        )
    if task is Task.MULTI_LABEL and not data.multi_label:
        progress.say(f"{where} is {task}: the data is read as with --multi-label.")
        data = replace(data, multi_label=True)
    return data, load_dataset(data, progress=progress)
