"""``edgeadapt inspect``."""

from typing import Annotated

import typer

from edgeadapt.cli.options import Json

__all__ = ["inspect"]


def inspect(
    name: Annotated[
        str,
        typer.Argument(
            metavar="RUN|BUNDLE|RECORD|CHECKPOINT", help="Path, or a name under artifacts/."
        ),
    ],
    json: Json = False,
) -> None:
    """Describe a run, bundle, record or checkpoint, and verify the hashes of its files."""
    from edgeadapt.cli.console import print_json, show
    from edgeadapt.pipeline.inspect import inspect as look

    description = look(name)
    if json:
        print_json(description)
        return
    from edgeadapt.cli.tables import facts_table

    show(facts_table(description))
