"""``edgeadapt compare``."""

from typing import Annotated

import typer

from edgeadapt.cli.options import Json

__all__ = ["compare"]


def compare(
    before: Annotated[
        str, typer.Argument(metavar="BEFORE", help="The earlier record: a path, or its name.")
    ],
    after: Annotated[str, typer.Argument(metavar="AFTER", help="The later one.")],
    fail_over: Annotated[
        str,
        typer.Option(
            metavar="SHARE",
            help="By how much a time or size may grow, or throughput fall: 5%, or 0.05.",
        ),
    ] = "5%",
    max_drop: Annotated[
        str,
        typer.Option(metavar="SHARE", help="By how much accuracy may fall: 1%, or 0.01: a point."),
    ] = "1%",
    json: Json = False,
) -> None:
    """Say what got faster or slower from one record to another; exit 1 on a regression."""
    from edgeadapt.bench.compare import compare as compare_records
    from edgeadapt.cli.console import Terminal, print_json, show
    from edgeadapt.cli.tables import changes_table
    from edgeadapt.errors import GateError
    from edgeadapt.pipeline import places
    from edgeadapt.record import Record

    allowed = _share("--fail-over", fail_over)
    first, then = (
        Record.open(places.resolve(name, places.records(), suffix=".json"))
        for name in (before, after)
    )
    found = compare_records(first, then, fail_over=allowed, max_drop=_share("--max-drop", max_drop))
    if json:
        print_json(found.to_dict())
    else:
        show(changes_table(found.changes))
        for note in found.notes:
            Terminal().say(note)
    if regressions := found.regressions:
        worst = max(regressions, key=lambda change: change.worsening)
        raise GateError(
            f"{len(regressions)} figure{'s are' if len(regressions) > 1 else ' is'} worse by more "
            f"than is allowed ({allowed:.1%}, accuracy {max_drop}): most of all {worst.row}, "
            f"{worst.figure}, {worst.before:.4g} before and {worst.after:.4g} after "
            f"({worst.change:+.1%}).",
            hint="Measure again on an idle machine, or allow more with --fail-over.",
        )


def _share(option: str, given: str) -> float:
    from edgeadapt.errors import UsageError

    number, percent = given.strip().removesuffix("%"), given.strip().endswith("%")
    try:
        value = float(number) / (100 if percent else 1)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf") or (value > 1 and not percent):  # 5 is meant to be 5 %
        raise UsageError(f"{option}: expected a share such as 5% or 0.05, found {given!r}.")
    return value
