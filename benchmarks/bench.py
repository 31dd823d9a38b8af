"""SST-2, adapters against torch eager of the full fine-tune: ``edgeadapt bench``, recorded.

python benchmarks/accuracy.py sst2:adapter:0 sst2:full:0   # the runs
python benchmarks/bench.py                                 # on an idle machine

Where a host moves its virtual cores, again until it did not: the record says.
"""

import sys

from common import RESULTS, WORK

from edgeadapt.bench.plan import PLANS, Effort
from edgeadapt.bench.rows import rows
from edgeadapt.pipeline.bench import bench
from edgeadapt.pipeline.export import ExportOptions, Quantization, export
from edgeadapt.run import Run

THREADS = 2
ADAPTERS, FULL = "sst2-adapter-0", "sst2-full-0"


def main() -> None:
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


if __name__ == "__main__":
    sys.exit(main())
