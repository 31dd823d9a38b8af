"""``edgeadapt pretrain``."""

from pathlib import Path
from typing import Annotated, Any

import typer

from edgeadapt.cli.options import Force, Json, Output, TextColumn, Threads, only_given
from edgeadapt.config import Device, Recipe

__all__ = ["pretrain"]

_FOLDING = "parallel, lora, bitfit, full …"


def pretrain(
    text: Annotated[
        Path,
        typer.Option(
            metavar="FILE", help="Texts without labels: a line each, or a CSV or JSONL file."
        ),
    ],
    text_column: TextColumn = None,
    model: Annotated[
        str | None, typer.Option(metavar="ID|DIR", help="Backbone: hub id or folder.")
    ] = None,
    revision: Annotated[
        str | None, typer.Option(metavar="REV", help="Commit, tag or branch of the model.")
    ] = None,
    max_length: Annotated[
        int | None, typer.Option(metavar="N", help="Longest input in tokens; the rest is cut.")
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(
            metavar="KIND[+KIND]",
            help=f"What is trained, of what folds: {_FOLDING}; parallel if left out.",
        ),
    ] = None,
    dimension: Annotated[
        int | None, typer.Option(metavar="N", help="Bottleneck width in neurons.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(metavar="N", help="Passes over the texts.")] = None,
    batch_size: Annotated[int | None, typer.Option(metavar="N", help="Texts per step.")] = None,
    learning_rate: Annotated[
        float | None, typer.Option(metavar="X", help="Peak rate; the method's own if left out.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(metavar="N", help="Seeds initialization, shuffling and masks.")
    ] = None,
    device: Annotated[Device | None, typer.Option(help="Where to train; auto if left out.")] = None,
    threads: Threads = None,
    output: Output = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Let a backbone read your own text before it learns the task; writes a stock checkpoint.

    It is trained to guess masked words. Then: edgeadapt train --model artifacts/checkpoints/NAME
    """
    tables: dict[str, dict[str, Any]] = {
        "model": {"id": model, "revision": revision, "max_length": max_length},
        "adapter": {"method": method, "dimension": dimension},
        "training": {
            "epochs": epochs,
            "batch_size": batch_size,
            "learning_rate": learning_rate,
            "seed": seed,
            "device": device,
            "threads": threads,
        },
    }
    recipe = Recipe().updated(only_given(tables), origin="command line")

    from edgeadapt.cli.console import Terminal, print_json, stdout
    from edgeadapt.cli.imports import train_tier
    from edgeadapt.pipeline import places

    with train_tier("edgeadapt pretrain"):
        from edgeadapt.pipeline.pretrain import pretrain as run_pretraining
        from edgeadapt.pipeline.pretrain import read_texts

    terminal = Terminal()
    found = run_pretraining(
        read_texts(text, column=text_column or "text"),
        recipe,
        output=places.target(output, places.checkpoints()) if output else None,
        force=force,
        progress=terminal,
    )
    if json:
        print_json(
            {
                "checkpoint": str(found.path),
                "texts": found.texts,
                "trainable_parameters": found.trainable_parameters,
                "total_parameters": found.total_parameters,
                "perplexity": {"before": found.before, "after": found.after},
                "accuracy": found.accuracy,
                "seconds": found.seconds,
            }
        )
        return
    stdout().print(
        f"perplexity of masked held-out text {found.before:,.1f} → {found.after:,.1f}; "
        f"{found.accuracy:.1%} guessed right; {found.seconds:.0f} s",
        highlight=False,
    )
    stdout().print(f"checkpoint: {found.path}", highlight=False)
    terminal.say(f"next: edgeadapt train --model {found.path}")
