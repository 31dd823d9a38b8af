"""``edgeadapt convert``."""

from pathlib import Path
from typing import Annotated

import typer

from edgeadapt.cli.options import Force, Json
from edgeadapt.recipe import Format

__all__ = ["convert"]


def convert(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Run whose adapter to write.")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder to write.")],
    to: Annotated[Format, typer.Option("--to", help="Format to write.")],
    force: Force = False,
    json: Json = False,
) -> None:
    """Write a run's adapter and head in AdapterHub's or PEFT's format."""
    from edgeadapt.cli.console import print_json, print_line
    from edgeadapt.cli.tiers import train_tier
    from edgeadapt.store import artifacts
    from edgeadapt.store.run import Run

    source = Run.open(artifacts.resolve(run, artifacts.runs()))
    with train_tier("edgeadapt convert"):
        from edgeadapt.pipeline.convert import convert as run_convert

    run_convert(source, folder, to=to, force=force)
    files = {file.name: file.stat().st_size for file in sorted(folder.iterdir())}
    if json:
        print_json({"adapter": str(folder), "format": str(to), "files": files})
        return
    for name, size in files.items():
        print_line(f"{size:>12,}  {name}")
    print_line(f"adapter: {folder}")
