"""Record ``edgeadapt bench`` on SST-2: adapters against torch eager of the full fine-tune.

python benchmarks/accuracy.py sst2:adapter:0 sst2:full:0   # the runs
python benchmarks/bench.py                                 # on an idle machine

Repeat it if the record notes that the host moved the virtual cores during the run.
"""

import io
import sys
from collections.abc import Callable
from dataclasses import asdict
from functools import cache
from statistics import median

from common import RESULTS, WORK, Headline, Shown, machine_name, table
from rich.console import Console

from edgeadapt.benchmark.noise import disturbances
from edgeadapt.benchmark.plan import PLANS, Effort
from edgeadapt.benchmark.rows import Row, rows
from edgeadapt.cli.tables import bench_table
from edgeadapt.measure.statistics import MIN_SAMPLES_P99
from edgeadapt.store.plan import Plan
from edgeadapt.store.record import Record
from edgeadapt.store.run import Run

__all__ = ["SHOWN"]

THREADS = 2
ADAPTERS, FULL = "sst2-adapter-0", "sst2-full-0"


def main() -> None:
    from edgeadapt.pipeline.bench import bench
    from edgeadapt.pipeline.export import ExportOptions, Quantization, export

    bundles = [
        export(
            Run.open(WORK / "runs" / name),
            options=ExportOptions(quantize=Quantization(), max_drop=1.0, with_torch=name == FULL),
            force=True,
        )
        for name in (ADAPTERS, FULL)
    ]
    record, path = bench(
        bundles,
        plan=PLANS[Effort.DEFAULT],
        threads=THREADS,
        output=RESULTS / "bench.json",
        force=True,
    )
    found = {(row.bundle, row.variant): row for row in rows(record)}
    int8, eager = found[ADAPTERS, "int8"], found[FULL, "torch"]
    for tokens in ("16", "32", "64", "128", "text"):
        ratio = eager.latency_ms[tokens].p50 / int8.latency_ms[tokens].p50
        print(f"{tokens:>5}: int8 is {ratio:.2f} times faster than torch eager")
    print(f"wrote {path}")


@cache
def recorded() -> Record:
    """Returns the record; raises ``FileNotFoundError`` where there is none."""
    path = RESULTS / "bench.json"
    if not path.is_file():
        raise FileNotFoundError(path)
    return Record.open(path)


@cache
def recorded_rows() -> list[Row]:
    """Returns the rows of the record; cached, because confidence intervals take seconds."""
    return rows(recorded())


def variants() -> str:
    """What ``edgeadapt bench`` measured of adapters and full fine-tuning."""
    record = recorded()
    lengths = ("16", "32", "64", "128", "text")
    lines = [
        (
            f"{row.method} {row.variant}" + (" (baseline)" if row.is_baseline else ""),
            row.engine,
            f"{row.accuracy:.2%}",
            *(f"{row.latency_ms[n].p50:.2f} / {row.latency_ms[n].p90:.2f}" for n in lengths),
            f"{row.first_label_s:.2f}",
            f"{row.peak_mb:.0f}",
            f"{row.bytes / 1e6:.1f}",
        )
        for row in recorded_rows()
    ]
    headers = (
        "model",
        "engine",
        "accuracy",
        "16",
        "32",
        "64",
        "128",
        "real texts",
        "first label s",
    )
    return (
        table((*headers, "peak MB", "model MB"), lines)
        + f"\n\n{machine_name(asdict(record.machine))}, {record.threads} threads, batch 1; "
        f"p50 / p90 in ms over fixed token counts and over {record.evaluation.texts:,} real texts "
        f"with tokenization; {record.created[:10]}."
        + "".join(f"\n\nNote by `bench`: {note}." for note in disturbances(record))
    )


def bench_sample() -> str:
    """The first table that ``edgeadapt bench`` prints, without the full fine-tune in ONNX."""
    record = recorded()
    shown = [
        row for row in recorded_rows() if row.method != "full" or row.engine.startswith("torch")
    ]
    console = Console(width=100, color_system=None, record=True, file=io.StringIO())
    console.print(bench_table(shown, record).renderables[0])
    lines = [line.rstrip() for line in console.export_text().splitlines()]
    return "\n".join(["```text", *filter(None, lines), "```"])


def modes() -> str:
    """What ``edgeadapt bench`` measures with each of its three plans."""
    plans = [PLANS[effort] for effort in Effort]

    def count(plan: Plan, name: str) -> str:
        value = getattr(plan, name)
        return ", ".join(map(str, value)) if isinstance(value, tuple) else f"{value:,g}"

    rows = (
        ("fresh processes for latency", "rounds"),
        ("… token counts", "lengths"),
        ("… timed runs at each, per process", "repeats"),
        ("… real texts answered one by one, per process", "timed"),
        ("texts that accuracy is measured on, at most", "texts"),
        ("cold starts, process start to first label", "starts"),
        ("processes for throughput", "bulks"),
        ("… batch sizes, texts of similar length together", "batches"),
        ("… real texts at each", "bulk"),
        ("… texts of the leak check, per process", "calls"),
        ("processes per number of threads, 1 to all", "scaling"),
        ("least seconds of real texts, one by one and in bulk", "seconds"),
    )
    lines = [(title, *(count(plan, name) for plan in plans)) for title, name in rows]
    samples = [plan.rounds * max(plan.repeats, plan.timed) for plan in plans]
    lines.append(("p99", *("yes" if n >= MIN_SAMPLES_P99 else "insufficient" for n in samples)))
    return table(("per variant", "`--quick`", "default", "`--thorough`"), lines)


def faster(tokens: str) -> Callable[[], str]:
    """Returns the function that formats p50 of torch eager (full fine-tune) / p50 of int8."""

    def figure() -> str:
        record = recorded()
        samples = {(sample.method, sample.variant): sample for sample in record.samples}
        eager, int8 = (
            [median(process) for process in samples[which].latency_ns[tokens]]
            for which in (("full", "torch"), ("parallel+bitfit", "int8"))
        )
        rounds = [slow / fast for slow, fast in zip(eager, int8, strict=True)]
        return (
            f"**{median(eager) / median(int8):.2f} ×** "
            f"(rounds: {min(rounds):.1f} to {max(rounds):.1f})"
        )

    return figure


SHOWN = Shown(
    tables={
        "README.md": {"bench-sample": bench_sample},
        "docs/concepts/measuring.md": {"modes": modes},
        "docs/results/latency.md": {"bench": variants},
    },
    headlines=(
        Headline(
            "int8 against torch eager fp32 of the full fine-tune, 16 tokens",
            "≥ 3.5 ×",
            faster("16"),
        ),
        Headline("… 128 tokens", "≥ 2.2 ×", faster("128")),
    ),
)


if __name__ == "__main__":
    sys.exit(main())
