"""``edgeadapt pretrain``."""

from pathlib import Path
from typing import Annotated, Any

import typer

from edgeadapt.cli.options import (
    ADAPTER,
    MODEL,
    BackboneLayers,
    BatchSize,
    CheckpointSteps,
    ChosenDevice,
    ChosenPrecision,
    Dimension,
    Epochs,
    Force,
    Json,
    LearningRate,
    MaxLength,
    Output,
    Resume,
    Revision,
    Seed,
    SkipEmpty,
    SplitSeed,
    TextColumn,
    Threads,
    check_alone,
    only_given,
)
from edgeadapt.errors import UsageError
from edgeadapt.recipe import Recipe

__all__ = ["pretrain"]

_FOLDING = "parallel, lora, bitfit, full …"


def pretrain(
    text: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Texts without labels: a line each, or a CSV or JSONL file."
        ),
    ] = None,
    resume: Resume = None,
    text_column: TextColumn = None,
    skip_empty: SkipEmpty = False,
    model: Annotated[
        str | None,
        typer.Option(metavar="ID|DIR", help="Backbone: hub id or folder.", rich_help_panel=MODEL),
    ] = None,
    revision: Revision = None,
    max_length: MaxLength = None,
    backbone_layers: BackboneLayers = None,
    method: Annotated[
        str | None,
        typer.Option(
            metavar="KIND[+KIND]",
            help=f"What is trained, of what folds: {_FOLDING}; parallel+bitfit if left out.",
            rich_help_panel=ADAPTER,
        ),
    ] = None,
    dimension: Dimension = None,
    epochs: Epochs = None,
    batch_size: BatchSize = None,
    learning_rate: LearningRate = None,
    seed: Seed = None,
    split_seed: SplitSeed = None,
    device: ChosenDevice = None,
    precision: ChosenPrecision = None,
    checkpoint_steps: CheckpointSteps = None,
    threads: Threads = None,
    output: Output = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Let a backbone read your own text before it learns the task; writes a stock checkpoint.

    It is trained to guess masked words. Then: edgeadapt train --model artifacts/checkpoints/NAME
    """
    from edgeadapt.pipeline import places

    tables: dict[str, dict[str, Any]] = {
        "model": {
            "id": places.model_id(model) if model else None,
            "revision": revision,
            "max_length": max_length,
            "layers": backbone_layers,
        },
        "adapter": {"method": method, "dimension": dimension},
        "data": {"split_seed": split_seed},
        "training": {
            "epochs": epochs,
            "batch_size": batch_size,
            "learning_rate": learning_rate,
            "seed": seed,
            "device": device,
            "precision": precision,
            "checkpoint_steps": checkpoint_steps,
            "threads": threads,
        },
    }
    given = only_given(tables)
    if resume is not None:
        check_alone(
            given,
            text=text,
            text_column=text_column,
            skip_empty=skip_empty,
            output=output,
            force=force,
        )
    elif text is None:
        raise UsageError(
            "Expected --text FILE, found none.",
            hint="A text a line, or a CSV or JSONL file; --resume NAME goes on without it.",
        )
    recipe = Recipe().updated(given, origin="command line")

    from edgeadapt.cli.console import Terminal, print_json, print_line
    from edgeadapt.cli.imports import train_tier

    with train_tier("edgeadapt pretrain"):
        from edgeadapt.pipeline.pretrain import TextFile, resume_pretraining
        from edgeadapt.pipeline.pretrain import pretrain as run_pretraining

    terminal = Terminal()
    if text is None:
        assert resume is not None
        found = resume_pretraining(places.target(resume, places.checkpoints()), progress=terminal)
    else:
        found = run_pretraining(
            TextFile(text, text_column or "text", skip_empty),
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
    print_line(
        f"perplexity of masked held-out text {found.before:,.1f} → {found.after:,.1f}; "
        f"{found.accuracy:.1%} guessed right; {found.seconds:.0f} s"
    )
    print_line(f"checkpoint: {found.path}")
    terminal.say(f"next: edgeadapt train --model {found.path}")
