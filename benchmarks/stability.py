"""How far ten runs of the same benchmark are apart on an idle machine.

    python benchmarks/quantization.py sst2:0:default    # once: the bundle
    python benchmarks/stability.py [BUNDLE]             # half an hour of an idle machine

Every figure of each run is compared with the median of all ten: p50 should be within 3 % of it and
p90 within 5 % in nine of ten runs. On a shared machine "idle" is not ours to decide. The bench is
run until ten runs have said of themselves that nothing disturbed them, and found the cores as near
to each other as ever; the others are counted.
"""

import sys
from dataclasses import asdict, replace
from statistics import median
from typing import Any

from common import asked_bundle, save

from edgeadapt.bench.compare import SIGNAL_SPREAD
from edgeadapt.bench.noise import disturbances, typical_ns
from edgeadapt.bench.plan import Plan
from edgeadapt.bench.rows import rows
from edgeadapt.bench.runner import Subject, measure
from edgeadapt.bundle import Bundle
from edgeadapt.measure.machine import usable_cores
from edgeadapt.pipeline.evaluation import evaluation_of
from edgeadapt.record import Record

RUNS, MOST = 10, 20
PLAN = replace(Plan(), texts=Plan.timed)
"""The default; accuracy is not compared."""
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
    """The runs that nothing disturbed, with the cores where they are nearest to each other."""
    nearest = min(map(signal, records), default=0)
    return [
        record
        for record in records
        if not disturbances(record) and signal(record) <= SIGNAL_SPREAD * nearest
    ]


def signal(record: Record) -> float:
    """The median time of a signal between two cores, in nanoseconds; 0 where it is unknown."""
    return typical_ns(record, "signal_ns") or 0


def figures(record: Record) -> dict[tuple[str, str, str], float]:
    return {
        (row.variant, scenario, percentile): getattr(latency, percentile)
        for row in rows(record)
        for scenario, latency in row.latency_ms.items()
        for percentile in WITHIN
    }


def figure(key: tuple[str, str, str], values: list[float]) -> dict[str, Any]:
    """One figure of all runs, and how many of them are as close to their median as they should."""
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


if __name__ == "__main__":
    sys.exit(main())
