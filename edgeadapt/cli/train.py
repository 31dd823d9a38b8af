"""``edgeadapt train``."""

import os
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgeadapt.cli.options import (
    ADAPTER,
    DATA,
    MODEL,
    TRAINING,
    BackboneLayers,
    BatchSize,
    CheckpointSteps,
    ChosenDevice,
    ChosenPrecision,
    Dimension,
    Epochs,
    Force,
    Json,
    LabelColumn,
    LearningRate,
    MaxLength,
    Output,
    Revision,
    Seed,
    SkipEmpty,
    SkipUnlabelled,
    SplitSeed,
    TextColumn,
    TextPairColumn,
    Threads,
    check_alone,
    only_given,
)
from edgeadapt.config import AdapterKind, ModelConfig, Placement, Recipe, Target
from edgeadapt.errors import UsageError
from edgeadapt.progress import SILENT, Progress

if TYPE_CHECKING:
    from edgeadapt.pipeline.folds import CrossValidation
    from edgeadapt.run import Run

__all__ = ["train"]

_COMPARISON = "Comparison"


def train(
    recipe: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE",
            help="demo, imdb, sst2, a TOML file, or a run.json; demo if there is no --dataset.",
        ),
    ] = None,
    resume: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|PATH",
            help="Go on with a training or a cross-validation that was stopped, as it was begun; "
            "takes no other option but --baselines and --json.",
        ),
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(
            metavar="KIND[+KIND]",
            help=f"What is trained: {', '.join(AdapterKind)}.",
            rich_help_panel=ADAPTER,
        ),
    ] = None,
    adapter: Annotated[
        str | None,
        typer.Option(
            metavar="RUN|DIR",
            help="Start from this run's adapter, or AdapterHub's or PEFT's; its shape counts.",
            rich_help_panel=ADAPTER,
        ),
    ] = None,
    dimension: Dimension = None,
    reduction_factor: Annotated[
        float | None,
        typer.Option(
            metavar="X",
            help="Hidden size over bottleneck width, in place of --dimension.",
            rich_help_panel=ADAPTER,
        ),
    ] = None,
    placement: Annotated[
        Placement | None,
        typer.Option(
            metavar="NAME",
            help=f"Sublayers with bottlenecks: {', '.join(Placement)}; the method's own if left "
            "out.",
            rich_help_panel=ADAPTER,
        ),
    ] = None,
    adapter_layers: Annotated[
        str | None,
        typer.Option(
            metavar="LIST",
            help="Layers with adapters, from 0, such as 6-11 or 0,2-4; all if left out.",
            rich_help_panel=ADAPTER,
        ),
    ] = None,
    activation: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Bottleneck non-linearity; the backbone's own if left out.",
            rich_help_panel=ADAPTER,
        ),
    ] = None,
    scaling: Annotated[
        float | None,
        typer.Option(
            metavar="X", help="Factor on a bottleneck's or LoRA's output.", rich_help_panel=ADAPTER
        ),
    ] = None,
    learn_scaling: Annotated[
        bool | None,
        typer.Option(
            "--learn-scaling",
            help="Train each bottleneck's factor.",
            rich_help_panel=ADAPTER,
        ),
    ] = None,
    rank: Annotated[
        int | None,
        typer.Option(metavar="N", help="Rank of LoRA's products; 8.", rich_help_panel=ADAPTER),
    ] = None,
    targets: Annotated[
        str | None,
        typer.Option(
            metavar="NAME[+NAME]",
            help=f"What LoRA is put on: {', '.join(Target)}.",
            rich_help_panel=ADAPTER,
        ),
    ] = None,
    dropout: Annotated[
        float | None,
        typer.Option(metavar="P", help="Dropout inside the adapter; 0.", rich_help_panel=ADAPTER),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="ID|DIR",
            help="Backbone: hub id or folder; with --adapter, what that was trained on.",
            rich_help_panel=MODEL,
        ),
    ] = None,
    revision: Revision = None,
    max_length: MaxLength = None,
    backbone_layers: BackboneLayers = None,
    dataset: Annotated[
        str | None,
        typer.Option(
            metavar="ID|DIR|FILE",
            help="Hub id, CSV / JSONL / parquet file, or a folder with train, validation and "
            "test files.",
            rich_help_panel=DATA,
        ),
    ] = None,
    dataset_name: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Configuration of a hub data set.", rich_help_panel=DATA),
    ] = None,
    dataset_revision: Annotated[
        str | None,
        typer.Option(
            metavar="REV", help="Commit, tag or branch of the data.", rich_help_panel=DATA
        ),
    ] = None,
    text_column: TextColumn = None,
    text_pair_column: TextPairColumn = None,
    label_column: LabelColumn = None,
    multi_label: Annotated[
        bool | None,
        typer.Option(
            "--multi-label",
            help="A text has any number of labels: a list, or in CSV names joined by |, such as "
            "rain|wind; an empty field is no label.",
            rich_help_panel=DATA,
        ),
    ] = None,
    skip_empty: SkipEmpty = False,
    skip_unlabelled: SkipUnlabelled = False,
    split_seed: SplitSeed = None,
    epochs: Epochs = None,
    batch_size: BatchSize = None,
    learning_rate: LearningRate = None,
    head_rate: Annotated[
        float | None,
        typer.Option(
            metavar="X",
            help="The task head's learning rate over that of all else.",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    patience: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Stop after N epochs without a better validation accuracy, or as good a one with "
            "a smaller loss; never if left out.",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    quant_aware: Annotated[
        bool | None,
        typer.Option(
            "--quant-aware",
            help="Compute as the int8 model will, so that adapters and head make up for its "
            "rounding. With --adapter RUN --epochs 1 it finishes a run.",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    activation_checkpointing: Annotated[
        bool | None,
        typer.Option(
            "--activation-checkpointing",
            help="Run layers again on the way back: less memory, more time.",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    compile: Annotated[
        bool | None,
        typer.Option(
            "--compile",
            help="Run the model through torch.compile; pays on a GPU and long training.",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    tensorboard: Annotated[
        str | None,
        typer.Option(
            metavar="DIR",
            help="Write what TensorBoard shows, while training, into a folder of the run's name "
            "there.",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    checkpoint_steps: CheckpointSteps = None,
    baselines: Annotated[
        bool,
        typer.Option(
            "--baselines",
            help="Also train the head alone and everything, on the same data with the same seed.",
            rich_help_panel=_COMPARISON,
        ),
    ] = False,
    folds: Annotated[
        int | None,
        typer.Option(
            metavar="K",
            help="Cross-validation: train K times, each time tested on another part of train and "
            "validation.",
            rich_help_panel=_COMPARISON,
        ),
    ] = None,
    weight_decay: Annotated[
        float | None,
        typer.Option(metavar="X", help="Decay of weight matrices; 0.01.", rich_help_panel=TRAINING),
    ] = None,
    label_smoothing: Annotated[
        float | None,
        typer.Option(
            metavar="X", help="Probability spread over all labels; 0.1.", rich_help_panel=TRAINING
        ),
    ] = None,
    seed: Seed = None,
    device: ChosenDevice = None,
    precision: ChosenPrecision = None,
    threads: Threads = None,
    output: Output = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Train adapters and a head on a frozen encoder; writes a run under artifacts/runs."""
    from edgeadapt.pipeline import places

    given: dict[str, dict[str, Any]] = {
        "model": {
            "id": places.model_id(model) if model else None,
            "revision": revision,
            "max_length": max_length,
            "layers": backbone_layers,
        },
        "data": {
            "dataset": dataset,
            "name": dataset_name,
            "revision": dataset_revision,
            "text_column": text_column,
            "text_pair_column": text_pair_column,
            "label_column": label_column,
            "multi_label": multi_label,
            "skip_empty": skip_empty or None,
            "skip_unlabelled": skip_unlabelled or None,
            "split_seed": split_seed,
        },
        "adapter": {
            "start": str(places.resolve(adapter, places.runs())) if adapter else None,
            "method": method,
            "dimension": dimension,
            "reduction_factor": reduction_factor,
            "placement": placement,
            "layers": adapter_layers,
            "activation": activation,
            "scaling": scaling,
            "learn_scaling": learn_scaling,
            "rank": rank,
            "targets": targets,
            "dropout": dropout,
        },
        "training": {
            "epochs": epochs,
            "batch_size": batch_size,
            "learning_rate": learning_rate,
            "head_rate": head_rate,
            "patience": patience,
            "tensorboard": tensorboard,
            "checkpoint_steps": checkpoint_steps,
            "quant_aware": quant_aware,
            "activation_checkpointing": activation_checkpointing,
            "compile": compile,
            "weight_decay": weight_decay,
            "label_smoothing": label_smoothing,
            "seed": seed,
            "device": device,
            "precision": precision,
            "threads": threads,
        },
    }
    tables = only_given(given)
    if resume is not None:
        check_alone(
            tables,
            recipe=recipe,
            output=output,
            force=force,
            folds=folds,
        )
    if baselines and folds is not None:
        raise UsageError(
            "--baselines and --folds: expected one of them, found both.",
            hint="Cross-validate each method with a command of its own.",
        )

    from edgeadapt.cli.console import Terminal
    from edgeadapt.cli.imports import train_tier
    from edgeadapt.pipeline.early import check_early

    progress: Progress = Terminal() if _leads() else SILENT
    if resume is not None:
        return _go_on(
            places.target(resume, places.runs()),
            baselines=baselines,
            json=json,
            progress=progress,
        )
    training = {"training": tables.pop("training", {})}
    usual = Recipe.load("demo") if dataset is None else Recipe()
    asked = (Recipe.load(recipe) if recipe else usual).updated(tables, origin="command line")
    start = None
    if asked.adapter.start is not None:
        with train_tier("edgeadapt train"):
            from edgeadapt.pipeline.foreign import started
        named = model is not None or asked.model.id != ModelConfig.id
        found, start = started(asked, model_named=named)
        # A rate that the recipe has for another method goes.
        asked = asked.updated({"adapter": {"method": found.adapter.method}}, origin="--adapter")
        asked = replace(asked, model=found.model, adapter=found.adapter)
    asked = asked.updated(training, origin="command line")
    effective = asked.resolved()
    target = places.target(output, places.runs()) if output else None
    # Where several processes train, the leading one may have begun to write before another looks.
    written = target if _leads() and not folds else None
    check_early(effective.data, written, force=force)
    if not json:
        for line in effective.to_toml().split("\n"):
            progress.say(line)
    with train_tier("edgeadapt train"):
        from edgeadapt.pipeline.baselines import train_baselines
        from edgeadapt.pipeline.folds import cross_validate
        from edgeadapt.pipeline.train import train as run_training
    if folds is not None:
        validated = cross_validate(
            effective, folds=folds, output=target, force=force, progress=progress
        )
        return _show_folds(validated, json=json)
    run = run_training(effective, start=start, output=target, force=force, progress=progress)
    others = []
    if baselines:
        others = train_baselines(run, force=force, progress=progress)
    return _show(run, others, json=json)


def _go_on(target: Path, *, baselines: bool, json: bool, progress: Progress) -> None:
    """Does what is left of a training, of one with baselines, or of a cross-validation."""
    from edgeadapt.cli.imports import train_tier

    with train_tier("edgeadapt train"):
        from edgeadapt.pipeline.baselines import train_baselines
        from edgeadapt.pipeline.folds import begun_folds, resume_folds
        from edgeadapt.pipeline.train import resume
        from edgeadapt.run import Run
    if begun_folds(target) and not target.exists():
        return _show_folds(resume_folds(target, progress=progress), json=json)
    if not baselines:
        return _show(resume(target, progress=progress), [], json=json)
    finished = (target / "run.json").is_file()
    run = Run.open(target) if finished else resume(target, progress=progress)
    return _show(run, train_baselines(run, progress=progress), json=json)


def _show(run: "Run", baselines: Sequence["Run"], *, json: bool) -> None:
    from edgeadapt.cli.console import Terminal, print_json, print_line, show

    if not _leads():
        return
    if json:
        others = {"baselines": [_values(other) for other in baselines]} if baselines else {}
        print_json({**_values(run), **others})
        return
    from edgeadapt.cli.tables import comparison_table, labels_table, scores_table

    show(scores_table(run.info))
    show(labels_table(run.info))
    if baselines:
        show(comparison_table([run.info, *(other.info for other in baselines)]))
    for each in (run, *baselines):
        print_line(f"run: {each.path}")
    Terminal().say(f"next: edgeadapt export {run.name} --quantize")


def _show_folds(found: "CrossValidation", *, json: bool) -> None:
    from edgeadapt.cli.console import print_json, print_line, show

    if not _leads():
        return
    if json:
        print_json(found.to_dict())
        return
    from edgeadapt.cli.tables import folds_table

    show(folds_table(found))
    for run in found.runs:
        print_line(f"run: {run.path}")
    print_line(f"summary: {found.path}")


def _leads() -> bool:
    """Whether this process is the one that reports, where ``accelerate launch`` started several."""
    return os.environ.get("RANK", "0") == "0"


def _values(run: "Run") -> dict[str, Any]:
    info = run.info
    return {
        "run": str(run.path),
        "method": info.method,
        "task": info.task,
        "trainable_parameters": info.trainable_parameters,
        "total_parameters": info.total_parameters,
        "best_epoch": info.best_epoch,
        "validation": asdict(info.validation) if info.validation else {},
        "test": asdict(info.test) if info.test else {},
        "seconds": info.seconds,
        "examples_per_second": info.examples_per_second,
    }
