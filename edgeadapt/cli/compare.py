"""``edgeadapt compare``."""

from dataclasses import asdict
from typing import Annotated

import typer

from edgeadapt.cli.options import Json, share

__all__ = ["compare"]


def compare(
    before: Annotated[
        str, typer.Argument(metavar="BEFORE", help="The earlier record: a path, or its name.")
    ],
    after: Annotated[str, typer.Argument(metavar="AFTER", help="The later one.")],
    fail_over: Annotated[
        float,
        typer.Option(
            parser=share("--fail-over"),
            metavar="SHARE",
            help="Largest increase of a time or size, or decrease of throughput: 5%, or 0.05.",
        ),
    ] = 0.05,
    max_drop: Annotated[
        float,
        typer.Option(
            parser=share("--max-drop", most=1.0),
            metavar="SHARE",
            help="Largest drop in accuracy: 1%, or 0.01, is one percentage point.",
        ),
    ] = 0.01,
    json: Json = False,
) -> None:
    """Compare two records; exit with 1 if the later one has a regression."""
    from edgeadapt.benchmark.compare import compare as compare_records
    from edgeadapt.cli.console import Terminal, print_json, show
    from edgeadapt.cli.tables import changes_table
    from edgeadapt.errors import GateError
    from edgeadapt.store import artifacts
    from edgeadapt.store.record import Record

    first, then = (
        Record.open(artifacts.resolve(name, artifacts.records(), suffix=".json"))
        for name in (before, after)
    )
    comparison = compare_records(first, then, fail_over=fail_over, max_drop=max_drop)
    if json:
        print_json({**asdict(comparison), "regressions": len(comparison.regressions)})
    else:
        show(changes_table(comparison.changes))
        for note in comparison.notes:
            Terminal().say(note)
    if regressions := comparison.regressions:
        worst = max(regressions, key=lambda change: change.worsening)
        raise GateError(
            f"{len(regressions)} figure{'s are' if len(regressions) > 1 else ' is'} worse by more "
            f"than allowed ({fail_over:.1%}, accuracy {max_drop:.1%}). The worst is {worst.row}, "
            f"{worst.figure}, {worst.before:.4g} before and {worst.after:.4g} after "
            f"({worst.change:+.1%}).",
            hint="Measure again on an idle machine, or allow more with --fail-over.",
        )
