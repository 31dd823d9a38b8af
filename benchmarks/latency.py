"""The SST-2 bundles against torch eager of the full fine-tune: ``edgeadapt bench``, recorded."""

import sys
from dataclasses import replace

from common import RESULTS, WORK

from edgeadapt.bench.compare import rows
from edgeadapt.bench.plan import PLANS, Effort
from edgeadapt.bundle import Bundle
from edgeadapt.pipeline.bench import bench

THREADS = 2
ROUNDS = 9
"""On a shared machine some processes run at half speed for their whole life: more of them."""
METHODS = ("parallel+bitfit", "full")


def main() -> None:
    bundles = [Bundle.open(WORK / "bundles" / f"sst2-{name}-0") for name in METHODS]
    record, path = bench(
        bundles,
        plan=replace(PLANS[Effort.DEFAULT], rounds=ROUNDS),
        threads=THREADS,
        output=RESULTS / "latency.json",
        force=True,
    )
    found = {(row.bundle, row.variant): row for row in rows(record)}
    int8, eager = (found[f"sst2-{METHODS[0]}-0", "int8"], found[f"sst2-{METHODS[1]}-0", "torch"])
    for tokens in ("16", "32", "64", "128", "text"):
        ratio = eager.latency_ms[tokens].p50 / int8.latency_ms[tokens].p50
        print(f"{tokens:>5}: int8 is {ratio:.2f} times faster than torch eager")
    print(f"wrote {path}")


if __name__ == "__main__":
    sys.exit(main())
