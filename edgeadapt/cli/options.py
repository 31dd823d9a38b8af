"""Options that several commands share, so that they read the same everywhere."""

from typing import Annotated, Any

import typer

__all__ = [
    "Force",
    "Json",
    "LabelColumn",
    "Output",
    "TextColumn",
    "TextPairColumn",
    "Threads",
    "only_given",
]

Json = Annotated[
    bool, typer.Option("--json", help="Print one JSON object on stdout and nothing else there.")
]
Force = Annotated[bool, typer.Option("--force", help="Replace what is there already.")]
Output = Annotated[
    str | None,
    typer.Option(
        "--output", "-o", metavar="NAME|PATH", help="What to write; a free name if left out."
    ),
]
Threads = Annotated[
    int | None, typer.Option("--threads", metavar="N", help="CPU threads; all cores if left out.")
]
TextColumn = Annotated[
    str | None, typer.Option(metavar="NAME", help="Column of the text; text if left out.")
]
TextPairColumn = Annotated[
    str | None, typer.Option(metavar="NAME", help="Column of the second text, for pairs of texts.")
]
LabelColumn = Annotated[
    str | None, typer.Option(metavar="NAME", help="Column of the label; label if left out.")
]


def only_given(tables: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Returns a recipe's tables without the options that were left out."""
    given: dict[str, dict[str, Any]] = {
        name: {key: value for key, value in table.items() if value is not None}
        for name, table in tables.items()
    }
    return {name: table for name, table in given.items() if table}
