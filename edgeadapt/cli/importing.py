"""``edgeadapt import``."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from edgeadapt.cli.given import Given, takes
from edgeadapt.cli.options import Force, Json, LabelNames, Output, check_columns, label_names
from edgeadapt.recipe import Recipe

__all__ = ["import_"]


@takes(
    "model",
    *("data.dataset", "data.text_column", "data.text_pair_column", "data.label_column"),
    *("data.multi_label", "data.skip_empty", "data.skip_unlabelled", "data.split_seed"),
    help={
        "model.id": "Backbone (default: the one named in the adapter).",
        "model.layers": "First N layers of the backbone (default: those it was trained on).",
        "data.dataset": "Labelled examples, to measure accuracy and to quantize (default: none).",
    },
)
def import_(
    given: Given,
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Folder of an AdapterHub or PEFT adapter.")
    ],
    labels: LabelNames = None,
    output: Output = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Import an AdapterHub or PEFT adapter as a run, to export and measure it."""
    from edgeadapt.cli.console import Terminal, print_json, print_line, show
    from edgeadapt.cli.tiers import train_tier
    from edgeadapt.store import artifacts

    check_columns(given)
    names = label_names(labels)
    unnamed = Recipe().updated({"model": {"id": ""}, "data": {"dataset": ""}}, origin="none")
    checked = unnamed.updated(given.tables(), origin="command line")
    with train_tier("edgeadapt import"):
        from edgeadapt.pipeline.importing import import_adapter

    terminal = Terminal()
    run = import_adapter(
        folder,
        model=checked.model,
        model_named="model.id" in given.values,
        data=checked.data if checked.data.dataset else None,
        labels=names,
        output=artifacts.destination(output, artifacts.runs()) if output else None,
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
    terminal.say(
        f"next: edgeadapt export {run.name}{' --quantize' if checked.data.dataset else ''}"
    )
