"""``edgeadapt train``."""

from typing import Annotated, Any

import typer

from edgeadapt.cli.options import Force, Json, LabelColumn, Output, TextColumn, Threads
from edgeadapt.config import AdapterKind, Device, Recipe

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
    dimension: Annotated[
        int | None,
        typer.Option(metavar="N", help="Bottleneck width in neurons.", rich_help_panel=_ADAPTER),
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
            metavar="X", help="Factor on a parallel adapter's output.", rich_help_panel=_ADAPTER
        ),
    ] = None,
    dropout: Annotated[
        float | None,
        typer.Option(metavar="P", help="Dropout inside the adapter.", rich_help_panel=_ADAPTER),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(metavar="ID|DIR", help="Backbone: hub id or folder.", rich_help_panel=_MODEL),
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
    label_column: LabelColumn = None,
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
    given: dict[str, dict[str, Any]] = {
        "model": {"id": model, "revision": revision, "max_length": max_length},
        "data": {
            "dataset": dataset,
            "name": dataset_name,
            "revision": dataset_revision,
            "text_column": text_column,
            "label_column": label_column,
        },
        "adapter": {
            "method": method,
            "dimension": dimension,
            "activation": activation,
            "scaling": scaling,
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
    effective = Recipe.load(recipe).updated(_only_given(given), origin="command line").resolved()

    from edgeadapt.cli.console import Terminal, print_json, show, stdout
    from edgeadapt.cli.imports import train_tier

    terminal = Terminal()
    if not json:
        terminal.say(effective.to_toml())
    with train_tier("edgeadapt train"):
        from edgeadapt.pipeline.train import train as run_training
    from edgeadapt.pipeline import places

    run = run_training(
        effective,
        output=places.resolve(output, places.runs()) if output else None,
        force=force,
        progress=terminal,
    )
    info = run.info
    if json:
        print_json(
            {
                "run": str(run.path),
                "method": info.recipe["adapter"]["method"],
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
