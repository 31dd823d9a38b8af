"""``edgeadapt bench``."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgeadapt.cli.given import Given, takes
from edgeadapt.cli.options import Force, Json, Output, Threads

if TYPE_CHECKING:
    from edgeadapt.store.plan import Plan
    from edgeadapt.store.record import Record

__all__ = ["bench"]


_Bundles = Annotated[
    list[str] | None,
    typer.Argument(metavar="[BUNDLE]...", help="Bundles to measure (default: all)."),
]
_Data = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="CSV or JSONL to evaluate on; without labels, accuracy is not measured.",
    ),
]
_Baseline = Annotated[
    str | None,
    typer.Option(
        metavar="BUNDLE[:VARIANT]",
        help="Baseline of ratios (default: the full fine-tune in fp32).",
    ),
]
_Quick = Annotated[bool, typer.Option("--quick", help="About a minute for four variants.")]
_Thorough = Annotated[
    bool,
    typer.Option(
        "--thorough",
        help="More samples, for p99: twenty minutes for four variants, more with torch.",
    ),
]
_Lengths = Annotated[
    str | None,
    typer.Option(metavar="N,N…", help="Token counts to measure latency at, such as 16,128."),
]
_Batch = Annotated[
    str | None,
    typer.Option(metavar="N,N…", help="Batch sizes to measure throughput at, such as 1,32."),
]
_Engine = Annotated[
    str | None,
    typer.Option(
        metavar="NAME,NAME…",
        help="Engines to run the variants on: onnxruntime, openvino, torch (default: the engine "
        "of each variant).",
    ),
]
_Wide = Annotated[
    bool,
    typer.Option("--wide", help="Print all figures, with percentiles and ratios."),
]
_Markdown = Annotated[bool, typer.Option("--markdown", help="Print the table as Markdown.")]
_Csv = Annotated[bool, typer.Option("--csv", help="Print all figures as CSV, a line per variant.")]


@takes("data.text_column", "data.text_pair_column", "data.label_column", "data.skip_empty")
def bench(
    given: Given,
    bundles: _Bundles = None,
    data: _Data = None,
    baseline: _Baseline = None,
    quick: _Quick = False,
    thorough: _Thorough = False,
    threads: Threads = None,
    lengths: _Lengths = None,
    batch: _Batch = None,
    engine: _Engine = None,
    output: Output = None,
    force: Force = False,
    wide: _Wide = False,
    json: Json = False,
    markdown: _Markdown = False,
    csv: _Csv = False,
) -> None:
    """Measure bundles on this machine: accuracy, latency, throughput, memory, energy, size."""
    from edgeadapt.benchmark.evaluation import EvaluationFile
    from edgeadapt.cli.console import Terminal
    from edgeadapt.pipeline.bench import bench as run_bench
    from edgeadapt.store import artifacts
    from edgeadapt.store.bundle import Bundle

    _check_one({"--quick": quick, "--thorough": thorough})
    _check_one({"--wide": wide, "--json": json, "--markdown": markdown, "--csv": csv})
    plan = _plan(quick=quick, thorough=thorough, lengths=lengths, batch=batch)
    if bundles:
        opened = [Bundle.open(artifacts.resolve(name, artifacts.bundles())) for name in bundles]
    else:
        opened = Bundle.all_under(artifacts.bundles())
    record, path = run_bench(
        opened,
        plan=plan,
        data=None if data is None else EvaluationFile(data, **given.table("data")),
        baseline=baseline,
        engines=_engines(engine),
        threads=threads,
        output=artifacts.destination(output, artifacts.records(), suffix=".json")
        if output
        else None,
        force=force,
        progress=Terminal(),
    )
    _show(record, path, wide=wide, json=json, markdown=markdown, csv=csv)


def _check_one(flags: Mapping[str, bool]) -> None:
    from edgeadapt.errors import UsageError

    given = [name for name, value in flags.items() if value]
    if len(given) > 1:
        raise UsageError(
            f"{' and '.join(given)} exclude each other.", hint="Give only one of them."
        )


def _plan(*, quick: bool, thorough: bool, lengths: str | None, batch: str | None) -> "Plan":
    from edgeadapt.benchmark.plan import PLANS, Effort

    plan = PLANS[Effort.QUICK if quick else Effort.THOROUGH if thorough else Effort.DEFAULT]
    if lengths is not None:
        plan = replace(plan, lengths=_numbers("--lengths", lengths))
    if batch is not None:
        plan = replace(plan, batches=_numbers("--batch", batch))
    return plan


def _numbers(option: str, given: str) -> tuple[int, ...]:
    from edgeadapt.errors import UsageError

    try:
        return tuple(sorted({int(word) for word in given.split(",")}))
    except ValueError:
        raise UsageError(
            f"{option}: expected whole numbers separated by commas, found {given!r}."
        ) from None


def _engines(given: str | None) -> list[str]:
    from edgeadapt.errors import UsageError
    from edgeadapt.recipe import EngineName

    names = list(dict.fromkeys(map(str.strip, given.split(",")))) if given is not None else []
    if unknown := [name for name in names if name not in list(EngineName)]:
        raise UsageError(
            f"--engine: expected some of {', '.join(EngineName)}, separated by commas, found "
            f"{unknown[0]!r}."
        )
    return names


def _show(
    record: "Record", path: Path, *, wide: bool, json: bool, markdown: bool, csv: bool
) -> None:
    """Prints the table in the requested format."""
    from edgeadapt.benchmark.noise import disturbances
    from edgeadapt.benchmark.rows import rows
    from edgeadapt.cli.console import Terminal, print_json, print_line, show
    from edgeadapt.cli.tables import bench_table
    from edgeadapt.documents.plain_text import csv_of, markdown_of

    found, notes = rows(record), disturbances(record)
    if json:
        print_json(
            {
                "record": str(path),
                "baseline": record.baseline,
                "machine": asdict(record.machine),
                "conditions": asdict(record.conditions),
                "disturbances": notes,
                "threads": record.threads,
                "rows": [asdict(row) for row in found],
            }
        )
    elif markdown or csv:
        print(markdown_of(found, record) if markdown else csv_of(found), end="")
        Terminal().say(f"record: {path}")
    else:
        show(bench_table(found, record, wide=wide))
        for note in notes:
            Terminal().warn(note)
        Terminal().say(f"For a page with all figures and charts: edgeadapt report {path}")
        print_line(f"record: {path}")
