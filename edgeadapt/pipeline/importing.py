"""``edgeadapt import``: an adapter of another library becomes a run."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from edgeadapt import __version__
from edgeadapt.adapters.formats import ForeignAdapter, Identity
from edgeadapt.adapters.formats.heads import STOCK_HEADS
from edgeadapt.config import DataConfig, ModelConfig, Recipe, Task
from edgeadapt.data import TEXT_COLUMNS, Dataset, Examples, fingerprint
from edgeadapt.errors import DataError, ModelError
from edgeadapt.measure.machine import describe_machine
from edgeadapt.metrics import check_finite, score
from edgeadapt.models.classifier import AdaptedClassifier
from edgeadapt.models.inference import torch_logits
from edgeadapt.models.sources import ModelSource
from edgeadapt.models.tokenizer import load_tokenizer
from edgeadapt.pipeline import places
from edgeadapt.pipeline.data_report import report_coverage
from edgeadapt.pipeline.foreign import Opened, check_belongs, open_adapter
from edgeadapt.pipeline.run_files import (
    pinned_data,
    pinned_model,
    write_examples,
    write_model,
)
from edgeadapt.progress import SILENT, Progress
from edgeadapt.run import Run, RunInfo
from edgeadapt.storage import staged_folder
from edgeadapt.text import TextEncoder
from edgeadapt.training.datasets import load_dataset
from edgeadapt.training.loop import seeded
from edgeadapt.training.objectives import EVALUATION_BATCH

__all__ = ["import_adapter"]

_NO_DATA = "none"
"""What the recipe of an adapter that came without data names as its data set."""


def import_adapter(
    folder: Path,
    *,
    model: ModelConfig,
    model_named: bool,
    data: DataConfig | None = None,
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
        output: Folder of the run; a free name under ``artifacts/runs`` where none is given.
        force: Replace an existing run.
        progress: Where to report.

    Raises:
        ModelError: The adapter cannot be expressed, is for another backbone, or has no head.
        IntegrityError: Its labels, tokenizer or backbone are not the ones at hand.
        DataError: The examples cannot be read, have other labels, or no word that the tokenizer
            knows.
    """
    opened = open_adapter(folder, model, named=model_named)
    adapter, source = opened.adapter, opened.source
    dataset = None if data is None else load_dataset(data, progress=progress)
    data = _no_data(adapter) if data is None else pinned_data(data)
    recipe = Recipe(
        model=pinned_model(opened.model, source, progress=progress),
        data=data,
        adapter=adapter.config,
    ).resolved()
    labels = _labels(adapter, dataset, folder, outputs=_outputs(adapter, source))
    tokenizer = load_tokenizer(
        source, max_length=recipe.model.max_length, pairs=data.pairs, progress=progress
    )
    if dataset is not None:
        splits = {"validation": dataset.validation.texts, "test": dataset.test.texts}
        report_coverage(splits, tokenizer.encoder, progress)
    with seeded(recipe.training.seed):
        classifier = AdaptedClassifier.build(
            source, labels, adapter.config, depth=recipe.model.layers, task=data.task
        )
    _check_head(adapter, classifier, source, folder, "DATA" if dataset is None else data.dataset)
    adapter.copy_to(classifier.adapter_parameters(), classifier.encoder.head)
    check_belongs(
        adapter,
        classifier,
        source,
        tokenizer.encoder,
        head=Identity(labels=labels, task=data.task, pairs=data.pairs),
        where=str(folder),
    )
    classifier.model.eval()
    target = output or places.new_name(places.runs(), folder.resolve().name)
    with staged_folder(target, force=force) as staging, progress.task("import", 1) as task:
        task.advance(note=adapter.config.method)
        write_model(staging, classifier, tokenizer)
        held_out = None if dataset is None else _with_labels(dataset, labels)
        scores = _scores(staging, classifier, tokenizer.encoder, held_out, data, title=target.name)
        Run.write(staging, _info(recipe, opened, classifier, tokenizer.encoder, held_out, scores))
    return Run.open(target)


def _no_data(adapter: ForeignAdapter) -> DataConfig:
    """Stands for data of the adapter's own kind."""
    known = adapter.identity or Identity()
    return DataConfig(
        dataset=_NO_DATA,
        text_pair_column=TEXT_COLUMNS[1] if known.pairs else None,
        multi_label=known.task is Task.MULTI_LABEL,
    )


def _labels(
    adapter: ForeignAdapter, dataset: Dataset | None, folder: Path, *, outputs: int | None
) -> tuple[str, ...]:
    """Label names in the order of the head's outputs: the adapter's own, else the data's."""
    names = adapter.labels or (dataset.label_names if dataset else None)
    if names is None:
        return tuple(f"LABEL_{number}" for number in range(outputs or 2))
    if outputs is not None and len(names) != outputs:
        raise DataError(
            f"{folder}: the head has {outputs} outputs: expected as many labels, found "
            f"{len(names)}: {', '.join(names)}.",
            hint="labels.json beside the data, a JSON list, names the labels in the head's order.",
        )
    return names


def _outputs(adapter: ForeignAdapter, source: ModelSource) -> int | None:
    weight = adapter.head.get(f"{STOCK_HEADS[source.spec.model_type].out}.weight")
    return None if weight is None else len(weight)


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


def _with_labels(dataset: Dataset, labels: tuple[str, ...]) -> Dataset:
    """The held-out examples with label indices in the order of the head's outputs."""
    if set(dataset.label_names) != set(labels):
        raise DataError(
            f"The data has other labels than the adapter: expected {', '.join(labels)}, found "
            f"{', '.join(dataset.label_names)}.",
            hint="labels.json beside the data, a JSON list, names the labels.",
        )
    order = np.array([labels.index(name) for name in dataset.label_names])

    def moved(examples: Examples) -> Examples:
        known = examples.known_labels()
        if known.ndim == 1:
            return Examples(examples.texts, order[known])
        columns = np.empty_like(known)
        columns[:, order] = known
        return Examples(examples.texts, columns)

    return Dataset(moved(dataset.train), moved(dataset.validation), moved(dataset.test), labels)


def _scores(
    folder: Path,
    classifier: AdaptedClassifier,
    encoder: TextEncoder,
    dataset: Dataset | None,
    data: DataConfig,
    *,
    title: str,
) -> dict[str, dict[str, Any]]:
    if dataset is None:
        return {"validation": {}, "test": {}}
    held_out = dataset.validation
    logits = torch_logits(classifier.model, encoder, held_out.texts, batch_size=EVALUATION_BATCH)
    check_finite(logits, where=f"{title}, validation texts")
    test = write_examples(folder, classifier, encoder, dataset, task=data.task, title=title)
    return {
        "validation": score(logits, held_out.known_labels(), task=data.task).to_dict(),
        "test": test.to_dict(),
    }


def _info(
    recipe: Recipe,
    opened: Opened,
    classifier: AdaptedClassifier,
    encoder: TextEncoder,
    dataset: Dataset | None,
    scores: dict[str, dict[str, Any]],
) -> RunInfo:
    trainable, total = classifier.count_parameters()
    frozen = classifier.frozen_sha256()
    splits = {} if dataset is None else {"validation": dataset.validation, "test": dataset.test}
    return RunInfo(
        recipe=recipe.to_dict(),
        labels=tuple(classifier.model.config.id2label.values()),
        pad_id=encoder.pad_id,
        backbone=opened.source.describe(),
        frozen_sha256={"before": frozen, "after": frozen},
        trainable_parameters=trainable,
        total_parameters=total,
        data={
            "fingerprint": None if dataset is None else fingerprint(dataset),
            "examples": {name: len(examples) for name, examples in splits.items()},
        },
        validation=scores["validation"],
        test=scores["test"],
        best_epoch=0,
        seconds=0.0,
        examples_per_second=0.0,
        machine=describe_machine(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        edgeadapt=__version__,
        task=recipe.data.task,
        pairs=recipe.data.pairs,
        imported=opened.origin,
    )
