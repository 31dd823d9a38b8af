"""Measure the variation of ten runs of the same benchmark on an idle machine.

    python benchmarks/quantization.py sst2:0:default    # once: the bundle
    python benchmarks/stability.py [BUNDLE]             # half an hour of an idle machine

Every figure of each run is compared with the median of all ten: in nine of ten runs, p50 should be
within 3 % of it and p90 within 5 %. A shared machine cannot be kept idle, so the bench is repeated
until ten records have no disturbance and the fastest signal between cores; the others are counted.
"""

import sys
from dataclasses import asdict, replace
from statistics import median
from typing import Any

from common import Shown, asked_bundle, load, machine_name, save, table

from edgeadapt.benchmark.compare import RERUN_SPREAD, SIGNAL_SPREAD
from edgeadapt.benchmark.evaluation import evaluation_of
from edgeadapt.benchmark.noise import disturbances, typical_ns
from edgeadapt.benchmark.rows import rows
from edgeadapt.benchmark.runner import Subject, measure
from edgeadapt.measure.machine import usable_cores
from edgeadapt.store.bundle import Bundle
from edgeadapt.store.plan import Plan
from edgeadapt.store.record import Record

__all__ = ["SHOWN"]

RUNS, MOST = 10, 20
PLAN = replace(Plan(), texts=Plan.timed)
"""The default plan with fewer texts, because accuracy is not compared."""
WITHIN = {"p50": 0.03, "p90": 0.05}


def main() -> None:
    bundle = Bundle.open(asked_bundle())
    records: list[Record] = []
    while len(quiet(records)) < RUNS and len(records) < MOST:
        records.append(run(bundle))
        print(f"{len(quiet(records))}/{RUNS}", disturbances(records[-1]), flush=True)
    counted = quiet(records)
    found = [figures(record) for record in counted]
    save(
        "stability",
        {
            "plan": asdict(PLAN),
            "within": WITHIN,
            "rows": [figure(key, [each[key] for each in found]) for key in found[0]],
            "runs": [
                {
                    "counts": record in counted,
                    "disturbances": disturbances(record),
                    "signal_ns": signal(record),
                }
                for record in records
            ],
        },
    )


def run(bundle: Bundle) -> Record:
    subjects = [Subject(bundle, name) for name in ("fp32", "int8")]
    return measure(
        subjects,
        plan=PLAN,
        threads=usable_cores(),
        evaluation=evaluation_of([bundle], None),
        baseline=subjects[0],
    )


def quiet(records: list[Record]) -> list[Record]:
    """Returns the records without a disturbance and with the fastest signal between cores."""
    nearest = min(map(signal, records), default=0)
    return [
        record
        for record in records
        if not disturbances(record) and signal(record) <= SIGNAL_SPREAD * nearest
    ]


def signal(record: Record) -> float:
    """Returns the median nanoseconds of a signal between two cores; 0 where it is unknown."""
    return typical_ns(record, "signal_ns") or 0


def figures(record: Record) -> dict[tuple[str, str, str], float]:
    return {
        (row.variant, scenario, percentile): getattr(latency, percentile)
        for row in rows(record)
        for scenario, latency in row.latency_ms.items()
        for percentile in WITHIN
    }


def figure(key: tuple[str, str, str], values: list[float]) -> dict[str, Any]:
    """Returns the statistics of a figure over all runs, and how many are within the limit."""
    variant, scenario, percentile = key
    middle = median(values)
    deviations = [value / middle - 1 for value in values]
    return {
        "variant": variant,
        "scenario": scenario,
        "percentile": percentile,
        "ms": values,
        "largest_deviation": max(map(abs, deviations)),
        "runs_within": sum(abs(each) <= WITHIN[percentile] for each in deviations),
    }


def stability() -> str:
    """How many figures are within the limit of their median in nine of ten runs."""
    found = load("stability")
    runs = sum(run["counts"] for run in found["runs"])
    lines = []
    for percentile, limit in found["within"].items():
        rows = [row for row in found["rows"] if row["percentile"] == percentile]
        worst = max(rows, key=lambda row: row["largest_deviation"])
        met = sum(row["runs_within"] >= runs - 1 for row in rows)
        lines.append(
            (
                f"{percentile} within {limit:.0%} in nine of ten runs",
                f"{met} of {len(rows)} figures",
                f"{min(row['runs_within'] for row in rows)} of {runs}",
                f"{worst['largest_deviation']:.1%}, {worst['variant']} at {worst['scenario']}",
            )
        )
    return table(("", "met by", "fewest runs", "largest deviation"), lines) + (
        f"\n\n{machine_name(found['machine'])}; {found['created'][:10]}. "
        f"{len(found['runs']) - runs} further runs are left out, because they were disturbed or "
        "the cores were farther from each other."
    )


def stability_p50() -> str:
    """Largest deviation of p50 in a run from the median of all runs."""
    rows = [row for row in load("stability")["rows"] if row["percentile"] == "p50"]
    return f"{max(row['largest_deviation'] for row in rows):.0%}"


def stability_runs() -> str:
    return str(sum(run["counts"] for run in load("stability")["runs"]))


SHOWN = Shown(
    tables={"benchmarks/notes/measuring.md": {"stability": stability}},
    figures={
        "rerun-spread": lambda: f"{RERUN_SPREAD:.0%}",
        "stability-p50": stability_p50,
        "stability-runs": stability_runs,
    },
)


if __name__ == "__main__":
    sys.exit(main())
