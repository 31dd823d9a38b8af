"""``edgeadapt report``."""

from typing import Annotated

import typer

from edgeadapt.cli.options import Force, Json, Output

__all__ = ["report"]


def report(
    records: Annotated[
        list[str],
        typer.Argument(
            metavar="RECORD...", help="Records of one or several machines: paths or names."
        ),
    ],
    output: Output = None,
    title: Annotated[
        str, typer.Option(metavar="TEXT", help="Heading of the page.")
    ] = "edgeadapt benchmark",
    force: Force = False,
    json: Json = False,
) -> None:
    """Write an HTML page with tables and charts of records; it works offline."""
    from edgeadapt.cli.console import Terminal, print_json, print_line
    from edgeadapt.pipeline.report import report as write_report
    from edgeadapt.store import artifacts

    path = write_report(
        [artifacts.resolve(name, artifacts.records(), suffix=".json") for name in records],
        output=artifacts.destination(output, artifacts.records(), suffix=".html")
        if output
        else None,
        title=title,
        force=force,
        progress=Terminal(),
    )
    if json:
        print_json({"page": str(path)})
    else:
        print_line(f"page: {path}")
