"""``edgeadapt bench``."""

from pathlib import Path
from typing import Annotated

import typer

from edgeadapt.cli.options import (
    Force,
    Json,
    LabelColumn,
    Output,
    TextColumn,
    TextPairColumn,
    Threads,
)

__all__ = ["bench"]


def bench(
    bundles: Annotated[
        list[str] | None,
        typer.Argument(metavar="[BUNDLE]...", help="What to measure; every bundle if left out."),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="CSV or JSONL to evaluate on; without labels all but accuracy is measured.",
        ),
    ] = None,
    text_column: TextColumn = None,
    text_pair_column: TextPairColumn = None,
    label_column: LabelColumn = None,
    baseline: Annotated[
        str | None,
        typer.Option(
            metavar="BUNDLE[:VARIANT]",
            help="What ratios refer to; the full fine-tune in fp32 if left out.",
        ),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="About a minute.")] = False,
    thorough: Annotated[
        bool, typer.Option("--thorough", help="More processes and samples.")
    ] = False,
    threads: Threads = None,
    output: Output = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Measure bundles on this machine: accuracy, latency, memory, cold start, size."""
    from edgeadapt.bench.plan import PLANS, Effort
    from edgeadapt.bundle import Bundle
    from edgeadapt.cli.console import Terminal, print_json, show, stdout
    from edgeadapt.errors import UsageError
    from edgeadapt.pipeline import places
    from edgeadapt.pipeline.bench import bench as run_bench
    from edgeadapt.pipeline.bench import rows_of

    if quick and thorough:
        raise UsageError(
            "--quick and --thorough exclude each other.", hint="Leave one of them out."
        )
    effort = Effort.QUICK if quick else Effort.THOROUGH if thorough else Effort.DEFAULT
    if bundles:
        opened = [Bundle.open(places.resolve(name, places.bundles())) for name in bundles]
    else:
        opened = Bundle.all_under(places.bundles())
    record, path = run_bench(
        opened,
        plan=PLANS[effort],
        data=data,
        text_column=text_column or "text",
        text_pair_column=text_pair_column,
        label_column=label_column or "label",
        baseline=baseline,
        threads=threads,
        output=places.target(output, places.records(), suffix=".json") if output else None,
        force=force,
        progress=Terminal(),
    )
    rows = rows_of(record)
    if json:
        print_json(
            {
                "record": str(path),
                "baseline": record.baseline,
                "machine": dict(record.machine),
                "threads": record.threads,
                "rows": [row.to_dict() for row in rows],
            }
        )
        return
    from edgeadapt.cli.tables import bench_table

    show(bench_table(rows, record))
    stdout().print(f"record: {path}", highlight=False)
