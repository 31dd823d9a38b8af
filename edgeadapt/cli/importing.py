"""``edgeadapt import``."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from edgeadapt.cli.options import (
    Force,
    Json,
    LabelColumn,
    LabelNames,
    Output,
    SkipEmpty,
    SkipUnlabelled,
    SplitSeed,
    TextColumn,
    TextPairColumn,
    columns_of,
    label_names,
)
from edgeadapt.config import ModelConfig, Recipe

__all__ = ["import_"]


def import_(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Folder of an AdapterHub or PEFT adapter.")
    ],
    model: Annotated[
        str | None,
        typer.Option(metavar="ID|DIR", help="Backbone; the one the adapter names if left out."),
    ] = None,
    revision: Annotated[
        str | None, typer.Option(metavar="REV", help="Commit, tag or branch of the model.")
    ] = None,
    max_length: Annotated[
        int, typer.Option(metavar="N", help="Longest input in tokens; the rest is cut.")
    ] = ModelConfig.max_length,
    backbone_layers: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="The backbone's first N layers; those it was trained on if left out.",
        ),
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(
            metavar="ID|DIR|FILE",
            help="Labelled examples, to measure accuracy and to quantize; none if left out.",
        ),
    ] = None,
    text_column: TextColumn = None,
    text_pair_column: TextPairColumn = None,
    label_column: LabelColumn = None,
    multi_label: Annotated[
        bool, typer.Option("--multi-label", help="A text has any number of labels.")
    ] = False,
    skip_empty: SkipEmpty = False,
    skip_unlabelled: SkipUnlabelled = False,
    split_seed: SplitSeed = None,
    labels: LabelNames = None,
    output: Output = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Import an AdapterHub or PEFT adapter as a run, to export and measure it like our own."""
    from edgeadapt.cli.console import Terminal, print_json, print_line, show
    from edgeadapt.cli.imports import train_tier
    from edgeadapt.pipeline import places

    given = columns_of(
        dataset,
        text_column=text_column,
        text_pair_column=text_pair_column,
        label_column=label_column,
        multi_label=multi_label,
        skip_empty=skip_empty,
        skip_unlabelled=skip_unlabelled,
        split_seed=split_seed,
    )
    names = label_names(labels)
    checked = Recipe().updated(
        {
            "model": {
                "id": model or "",
                "revision": revision,
                "max_length": max_length,
                "layers": backbone_layers,
            },
            "data": {"dataset": dataset or "", **given},
        },
        origin="command line",
    )
    with train_tier("edgeadapt import"):
        from edgeadapt.pipeline.importing import import_adapter

    terminal = Terminal()
    run = import_adapter(
        folder,
        model=checked.model,
        model_named=model is not None,
        data=checked.data if dataset else None,
        labels=names,
        output=places.target(output, places.runs()) if output else None,
        force=force,
        progress=terminal,
    )
    info = run.info
    if json:
        print_json(
            {
                "run": str(run.path),
                "imported": asdict(info.imported) if info.imported else {},
                "method": info.method,
                "labels": list(info.labels),
                "trainable_parameters": info.trainable_parameters,
                "total_parameters": info.total_parameters,
                "validation": asdict(info.validation) if info.validation else {},
                "test": asdict(info.test) if info.test else {},
            }
        )
        return
    from edgeadapt.cli.tables import facts_table
    from edgeadapt.pipeline.inspect import describe_run

    show(facts_table(describe_run(run)))
    print_line(f"run: {run.path}")
    terminal.say(f"next: edgeadapt export {run.name}{' --quantize' if dataset else ''}")
