"""``edgeadapt pretrain``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgeadapt.cli.given import Given, takes
from edgeadapt.cli.options import Force, Json, Output, Resume, check_alone
from edgeadapt.errors import UsageError
from edgeadapt.recipe import AdapterConfig, DataConfig, Recipe

if TYPE_CHECKING:
    from edgeadapt.pipeline.pretrain import Pretrained

__all__ = ["pretrain"]

_FOLDING = "parallel, lora, bitfit, full …"


@takes(
    *("data.text_column", "data.skip_empty", "data.split_seed"),
    "model",
    *("adapter.method", "adapter.dimension"),
    *("training.epochs", "training.batch_size", "training.learning_rate", "training.seed"),
    *("training.device", "training.precision", "training.checkpoint_steps", "training.threads"),
    help={
        "model.id": "Backbone: hub id or folder.",
        "adapter.method": f"What is trained; must fold completely: {_FOLDING} "
        f"(default: {AdapterConfig.method}).",
    },
)
def pretrain(
    given: Given,
    text: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Texts without labels: a line each, or a CSV or JSONL file."
        ),
    ] = None,
    resume: Resume = None,
    output: Output = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Pretrain a backbone on your own text; writes a stock checkpoint.

    It is trained to predict masked words. Then: edgeadapt train --model artifacts/checkpoints/NAME
    """
    from edgeadapt.store import artifacts

    if resume is not None:
        check_alone(given, text=text, output=output, force=force)
    elif text is None:
        raise UsageError(
            "Expected --text FILE, found none.",
            hint="A text a line, or a CSV or JSONL file; --resume NAME does not need it.",
        )
    given = given.mapped("model.id", artifacts.model_id)
    columns = DataConfig(**given.table("data"))
    # The columns of the text file are not part of the recipe in the checkpoint.
    given = given.without("data.text_column", "data.skip_empty")
    recipe = Recipe().updated(given.tables(), origin="command line")

    from edgeadapt.cli.console import Terminal
    from edgeadapt.cli.tiers import train_tier

    with train_tier("edgeadapt pretrain"):
        from edgeadapt.data.text_file import TextFile
        from edgeadapt.pipeline.pretrain import pretrain as run_pretraining
        from edgeadapt.pipeline.pretrain import resume_pretraining

    terminal = Terminal()
    if text is None:
        assert resume is not None
        result = resume_pretraining(
            artifacts.destination(resume, artifacts.checkpoints()), progress=terminal
        )
    else:
        result = run_pretraining(
            TextFile(text, columns.text_column, columns.skip_empty),
            recipe,
            output=artifacts.destination(output, artifacts.checkpoints()) if output else None,
            force=force,
            progress=terminal,
        )
    _show(result, json=json)
    if not json:
        terminal.say(f"next: edgeadapt train --model {result.path}")


def _show(found: "Pretrained", *, json: bool) -> None:
    from edgeadapt.cli.console import print_json, print_line

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
        f"{found.accuracy:.1%} predicted correctly; {found.seconds:.0f} s"
    )
    print_line(f"checkpoint: {found.path}")
