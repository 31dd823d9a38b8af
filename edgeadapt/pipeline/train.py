"""``edgeadapt train``: a recipe becomes a run."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from edgeadapt import __version__
from edgeadapt.adapters.formats import ForeignAdapter
from edgeadapt.config import Recipe
from edgeadapt.data import (
    Dataset,
    count_shared,
    fingerprint,
)
from edgeadapt.errors import TrainingError
from edgeadapt.measure.machine import describe_machine
from edgeadapt.models.classifier import AdaptedClassifier
from edgeadapt.models.sources import find_model
from edgeadapt.models.tokenizer import load_tokenizer
from edgeadapt.pipeline import places
from edgeadapt.pipeline.foreign import check_belongs, started
from edgeadapt.pipeline.run_files import pinned_data, pinned_model, write_examples, write_model
from edgeadapt.progress import SILENT, Progress
from edgeadapt.run import Run, RunInfo
from edgeadapt.storage import staged_folder
from edgeadapt.text import TextEncoder
from edgeadapt.training.datasets import load_dataset
from edgeadapt.training.history import draw_curves, write_history
from edgeadapt.training.loop import choose_device, fit, seeded

__all__ = ["train"]


def train(
    recipe: Recipe,
    *,
    start: ForeignAdapter | None = None,
    output: Path | None = None,
    force: bool = False,
    progress: Progress = SILENT,
) -> Run:
    """Trains adapters and head on a frozen backbone.

    Args:
        recipe: What to train on what, and how.
        start: The adapter that ``recipe.adapter.start`` names, where it has been read already.
        output: Folder of the run; a free name under ``artifacts/runs`` where none is given.
        force: Replace an existing run.
        progress: Where to report.

    Raises:
        EdgeAdaptError: One of its kinds, before anything is written under the run's name.
    """
    if start is None:
        recipe, start = started(recipe)
    recipe = recipe.resolved()
    device = choose_device(recipe.training.device)
    dataset = load_dataset(recipe.data, seed=recipe.training.seed)
    source = find_model(recipe.model)
    recipe = replace(
        recipe, model=pinned_model(recipe.model, source), data=pinned_data(recipe.data)
    )
    task, pairs = recipe.data.task, recipe.data.pairs
    tokenizer = load_tokenizer(source, max_length=recipe.model.max_length, pairs=pairs)
    data_report = _report_data(dataset, tokenizer.encoder, progress)
    target = output or places.new_name(places.runs(), _stem(recipe))
    with (
        staged_folder(target, force=force) as folder,
        seeded(recipe.training.seed, threads=recipe.training.threads),
    ):
        classifier = AdaptedClassifier.build(
            source, dataset.label_names, recipe.adapter, depth=recipe.model.layers, task=task
        )
        if start is not None:
            check_belongs(
                start,
                classifier,
                source,
                tokenizer.encoder,
                head=None,
                where=str(recipe.adapter.start),
            )
            start.for_labels(dataset.label_names).copy_to(
                classifier.adapter_parameters(), classifier.encoder.head
            )
        trainable, total = classifier.count_parameters()
        progress.say(
            f"Training {trainable:,} of {total:,} parameters ({trainable / total:.2%}) "
            f"on {device}, {len(dataset.train):,} examples."
        )
        before = classifier.frozen_sha256()
        outcome = fit(
            classifier,
            tokenizer.encoder,
            train=dataset.train,
            validation=dataset.validation,
            task=task,
            config=recipe.training,
            device=device,
            progress=progress,
        )
        after = classifier.frozen_sha256()
        if after != before:
            raise TrainingError(
                f"Frozen weights changed during training: sha256 {before} before, {after} after.",
                hint="This is a bug in edgeadapt or torch. Please report it.",
            )
        assert outcome.best is not None
        assert outcome.best_score is not None
        write_model(folder, classifier, tokenizer)
        test = write_examples(folder, classifier, tokenizer.encoder, dataset, task=task)
        write_history(folder / "history.jsonl", outcome.steps, outcome.epochs)
        draw_curves(
            folder / "curves.png",
            outcome.steps,
            outcome.epochs,
            best=outcome.best,
            title=target.name,
        )
        info = RunInfo(
            recipe=recipe.to_dict(),
            labels=dataset.label_names,
            pad_id=tokenizer.encoder.pad_id,
            backbone=source.describe(),
            frozen_sha256={"before": before, "after": after},
            trainable_parameters=trainable,
            total_parameters=total,
            data=data_report,
            validation=outcome.best_score.to_dict(),
            test=test.to_dict(),
            best_epoch=outcome.best.epoch,
            seconds=outcome.seconds,
            examples_per_second=outcome.examples_per_second,
            machine={
                **describe_machine(),
                "device": torch.cuda.get_device_name() if device.type == "cuda" else "cpu",
                "threads": torch.get_num_threads(),
            },
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            edgeadapt=__version__,
            task=task,
            pairs=pairs,
        )
        Run.write(folder, info)
    return Run.open(target)


def _report_data(dataset: Dataset, encoder: TextEncoder, progress: Progress) -> dict[str, Any]:
    splits = {
        "train": dataset.train,
        "validation": dataset.validation,
        "test": dataset.test,
    }
    cut = {name: encoder.count_truncated(split.texts) for name, split in splits.items()}
    shared = {name: count_shared(dataset.train, splits[name]) for name in ("validation", "test")}
    if sum(cut.values()):
        counts = ", ".join(f"{n:,} of {len(splits[name]):,} {name}" for name, n in cut.items())
        progress.say(f"Longer than {encoder.max_length} tokens and cut: {counts} texts.")
    for name, number in shared.items():
        if number:
            progress.warn(f"{number} of {len(splits[name]):,} {name} texts also occur in train.")
    return {
        "fingerprint": fingerprint(dataset),
        "examples": {name: len(split) for name, split in splits.items()},
        "truncated": cut,
        "shared_with_train": shared,
    }


def _stem(recipe: Recipe) -> str:
    data = Path(recipe.data.dataset).stem or "run"
    return f"{data}-{recipe.adapter.method}"
