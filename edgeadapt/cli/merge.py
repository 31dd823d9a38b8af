"""``edgeadapt merge``."""

from pathlib import Path
from typing import Annotated

import typer

from edgeadapt.cli.options import Force, Json, Output
from edgeadapt.errors import ExportError

__all__ = ["merge"]


def merge(
    run: Annotated[
        str | None, typer.Argument(metavar="[RUN]", help="Run to merge (default: the latest).")
    ] = None,
    output: Output = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Fold a run's adapters into its backbone; writes a stock Hugging Face checkpoint."""
    from edgeadapt.cli.console import Terminal, print_json, print_line
    from edgeadapt.cli.tiers import train_tier
    from edgeadapt.store import artifacts
    from edgeadapt.store.run import Run

    path = artifacts.resolve(run, artifacts.runs()) if run else None
    if path and (path / "manifest.json").is_file():
        _check_not_pruned(path)
    source = Run.open(path) if path else Run.latest(artifacts.runs())
    with train_tier("edgeadapt merge"):
        from edgeadapt.pipeline.merge import merge_run

    terminal = Terminal()
    checkpoint = merge_run(
        source,
        output=artifacts.destination(output, artifacts.checkpoints()) if output else None,
        force=force,
        progress=terminal,
    )
    files = {file.name: file.stat().st_size for file in sorted(checkpoint.path.iterdir())}
    parity = checkpoint.parity
    if json:
        print_json(
            {
                "checkpoint": str(checkpoint.path),
                "parity": parity.to_dict(),
                "parameters": checkpoint.parameters,
                "unshared_bytes": checkpoint.unshared_bytes,
                "files": files,
            }
        )
        return
    if checkpoint.unshared_bytes:
        terminal.say(
            f"The layers of the backbone shared their weights; the copies take "
            f"{checkpoint.unshared_bytes / 1e6:.1f} MB more in fp32."
        )
    print_line(
        f"{checkpoint.parameters:,} parameters, {sum(files.values()) / 1e6:.1f} MB; logits differ "
        f"by {parity.max_difference:.1e} over {parity.texts} texts (limit {parity.limit:.0e})"
    )
    print_line(f"checkpoint: {checkpoint.path}")


def _check_not_pruned(path: Path) -> None:
    """Says why no stock checkpoint can hold the model of a bundle, rather than ask for a run."""
    from edgeadapt.store.bundle import Bundle

    structure = Bundle.open(path).manifest.structure
    if structure is not None:
        raise ExportError(
            f"{path} is a bundle whose model cannot be a stock checkpoint: its layers have "
            "different widths, which no config.json of transformers describes (heads "
            f"{', '.join(map(str, structure.heads))}; neurons "
            f"{', '.join(map(str, structure.neurons))}).",
            hint="Merge its run to get the model before pruning: edgeadapt merge RUN. Other tools "
            "can read onnx/model.onnx of the bundle.",
        )
