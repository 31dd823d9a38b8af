"""How far ten runs of the same benchmark are apart on an idle machine.

    python benchmarks/quantization.py sst2:0:default    # once: the bundle
    python benchmarks/stability.py [BUNDLE]             # ten minutes of an idle machine

Every figure of each run is compared with the median of all ten: p50 should be within 3 % of it and
p90 within 5 % in nine of ten runs. On a shared machine "idle" is not ours to decide: the bench is
run until ten runs have said of themselves that nothing disturbed them, and the others are counted.
"""

import sys
from dataclasses import asdict, replace
from statistics import median
from typing import Any

from common import asked_bundle, save

from edgeadapt.bench.noise import disturbances
from edgeadapt.bench.plan import Plan
from edgeadapt.bench.rows import rows
from edgeadapt.bench.runner import Subject, measure
from edgeadapt.bundle import Bundle
from edgeadapt.measure.machine import usable_cores
from edgeadapt.pipeline.evaluation import evaluation_of

RUNS, MOST = 10, 20
PLAN = replace(Plan(), starts=0, bulks=0, scaling=0, texts=Plan.timed)
"""The default's latencies, and nothing else."""
WITHIN = {"p50": 0.03, "p90": 0.05}


def main() -> None:
    bundle = Bundle.open(asked_bundle())
    subjects = [Subject(bundle, name) for name in ("fp32", "int8")]
    found: list[dict[tuple[str, str, str], float]] = []
    noise = []
    while len(found) < RUNS and len(noise) < MOST:
        record = measure(
            subjects,
            plan=PLAN,
            threads=usable_cores(),
            evaluation=evaluation_of([bundle], None),
            baseline=subjects[0],
        )
        noise.append(disturbances(record))
        if not noise[-1]:
            found.append(
                {
                    (row.variant, scenario, percentile): getattr(latency, percentile)
                    for row in rows(record)
                    for scenario, latency in row.latency_ms.items()
                    for percentile in WITHIN
                }
            )
        print(f"{len(found)}/{RUNS}", noise[-1], flush=True)
    save(
        "stability",
        {
            "runs": len(found),
            "disturbed": len(noise) - len(found),
            "plan": asdict(PLAN),
            "within": WITHIN,
            "disturbances": noise,
            "rows": [figure(key, [run[key] for run in found]) for key in found[0]],
        },
    )


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
