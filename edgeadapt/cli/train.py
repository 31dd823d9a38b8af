"""``edgeadapt train``."""

from typing import Annotated, Any

import typer

from edgeadapt.cli.options import (
    Force,
    Json,
    LabelColumn,
    Output,
    TextColumn,
    TextPairColumn,
    Threads,
)
from edgeadapt.config import AdapterKind, Device, ModelConfig, Placement, Recipe, Target

__all__ = ["train"]

_MODEL, _DATA, _ADAPTER, _TRAINING = "Model", "Data", "Adapter", "Training"


def train(
    recipe: Annotated[
        str,
        typer.Option(metavar="NAME|FILE", help="demo, imdb, sst2, a TOML file, or a run.json."),
    ] = "demo",
    method: Annotated[
        str | None,
        typer.Option(
            metavar="KIND[+KIND]",
            help=f"What is trained: {', '.join(AdapterKind)}.",
            rich_help_panel=_ADAPTER,
        ),
    ] = None,
    adapter: Annotated[
        str | None,
        typer.Option(
            metavar="RUN|DIR",
            help="Start from this run's adapter, or AdapterHub's or PEFT's; its shape counts.",
            rich_help_panel=_ADAPTER,
        ),
    ] = None,
    dimension: Annotated[
        int | None,
        typer.Option(metavar="N", help="Bottleneck width in neurons.", rich_help_panel=_ADAPTER),
    ] = None,
    reduction_factor: Annotated[
        float | None,
        typer.Option(
            metavar="X",
            help="Hidden size over bottleneck width, in place of --dimension.",
            rich_help_panel=_ADAPTER,
        ),
    ] = None,
    placement: Annotated[
        Placement | None,
        typer.Option(
            metavar="NAME",
            help=f"Sublayers with bottlenecks: {', '.join(Placement)}; the method's own if left "
            "out.",
            rich_help_panel=_ADAPTER,
        ),
    ] = None,
    adapter_layers: Annotated[
        str | None,
        typer.Option(
            metavar="LIST",
            help="Layers with adapters, from 0, such as 6-11 or 0,2-4; all if left out.",
            rich_help_panel=_ADAPTER,
        ),
    ] = None,
    activation: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Bottleneck non-linearity; the backbone's own if left out.",
            rich_help_panel=_ADAPTER,
        ),
    ] = None,
    scaling: Annotated[
        float | None,
        typer.Option(
            metavar="X", help="Factor on a bottleneck's or LoRA's output.", rich_help_panel=_ADAPTER
        ),
    ] = None,
    learn_scaling: Annotated[
        bool | None,
        typer.Option(
            "--learn-scaling",
            help="Train each bottleneck's factor.",
            rich_help_panel=_ADAPTER,
        ),
    ] = None,
    rank: Annotated[
        int | None,
        typer.Option(metavar="N", help="Rank of LoRA's products.", rich_help_panel=_ADAPTER),
    ] = None,
    targets: Annotated[
        str | None,
        typer.Option(
            metavar="NAME[+NAME]",
            help=f"What LoRA is put on: {', '.join(Target)}.",
            rich_help_panel=_ADAPTER,
        ),
    ] = None,
    dropout: Annotated[
        float | None,
        typer.Option(metavar="P", help="Dropout inside the adapter.", rich_help_panel=_ADAPTER),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="ID|DIR",
            help="Backbone: hub id or folder; --adapter's own with it.",
            rich_help_panel=_MODEL,
        ),
    ] = None,
    revision: Annotated[
        str | None,
        typer.Option(
            metavar="REV", help="Commit, tag or branch of the model.", rich_help_panel=_MODEL
        ),
    ] = None,
    max_length: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="Longest input in tokens; the rest is cut.", rich_help_panel=_MODEL
        ),
    ] = None,
    backbone_layers: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Keep only the backbone's first N layers; all if left out.",
            rich_help_panel=_MODEL,
        ),
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(
            metavar="ID|DIR|FILE",
            help="Hub id, CSV / JSONL / parquet file, or a folder with train, validation and "
            "test files.",
            rich_help_panel=_DATA,
        ),
    ] = None,
    dataset_name: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Configuration of a hub data set.", rich_help_panel=_DATA
        ),
    ] = None,
    dataset_revision: Annotated[
        str | None,
        typer.Option(
            metavar="REV", help="Commit, tag or branch of the data.", rich_help_panel=_DATA
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
            rich_help_panel=_DATA,
        ),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(metavar="N", help="Passes over the data.", rich_help_panel=_TRAINING),
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(metavar="N", help="Examples per step.", rich_help_panel=_TRAINING),
    ] = None,
    learning_rate: Annotated[
        float | None,
        typer.Option(
            metavar="X", help="Peak rate; the method's own if left out.", rich_help_panel=_TRAINING
        ),
    ] = None,
    weight_decay: Annotated[
        float | None,
        typer.Option(metavar="X", help="Decay of weight matrices.", rich_help_panel=_TRAINING),
    ] = None,
    label_smoothing: Annotated[
        float | None,
        typer.Option(
            metavar="X", help="Probability spread over all labels.", rich_help_panel=_TRAINING
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Seeds initialization, shuffling and splits.",
            rich_help_panel=_TRAINING,
        ),
    ] = None,
    device: Annotated[
        Device | None,
        typer.Option(help="Where to train; auto if left out.", rich_help_panel=_TRAINING),
    ] = None,
    threads: Threads = None,
    output: Output = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Train adapters and a head on a frozen encoder; writes a run under artifacts/runs."""
    from edgeadapt.pipeline import places

    given: dict[str, dict[str, Any]] = {
        "model": {
            "id": model,
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
            "weight_decay": weight_decay,
            "label_smoothing": label_smoothing,
            "seed": seed,
            "device": device,
            "threads": threads,
        },
    }
    tables = _only_given(given)
    training = {"training": tables.pop("training", {})}
    asked = Recipe.load(recipe).updated(tables, origin="command line")

    from edgeadapt.cli.console import Terminal, print_json, show, stdout
    from edgeadapt.cli.imports import train_tier

    terminal = Terminal()
    start = None
    if asked.adapter.start is not None:
        with train_tier("edgeadapt train"):
            from edgeadapt.pipeline.foreign import started
        named = model is not None or asked.model.id != ModelConfig.id
        asked, start = started(asked, model_named=named)
    effective = asked.updated(training, origin="command line").resolved()
    if not json:
        terminal.say(effective.to_toml())
    with train_tier("edgeadapt train"):
        from edgeadapt.pipeline.train import train as run_training

    run = run_training(
        effective,
        start=start,
        output=places.target(output, places.runs()) if output else None,
        force=force,
        progress=terminal,
    )
    info = run.info
    if json:
        print_json(
            {
                "run": str(run.path),
                "method": info.recipe["adapter"]["method"],
                "task": info.task,
                "trainable_parameters": info.trainable_parameters,
                "total_parameters": info.total_parameters,
                "best_epoch": info.best_epoch,
                "validation": dict(info.validation),
                "test": dict(info.test),
                "seconds": info.seconds,
                "examples_per_second": info.examples_per_second,
            }
        )
        return
    from edgeadapt.cli.tables import scores_table

    show(scores_table(info))
    stdout().print(f"run: {run.path}", highlight=False)
    terminal.say(f"next: edgeadapt export {run.name} --quantize")


def _only_given(tables: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    given: dict[str, dict[str, Any]] = {
        name: {key: value for key, value in table.items() if value is not None}
        for name, table in tables.items()
    }
    return {name: table for name, table in given.items() if table}
