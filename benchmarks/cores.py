"""Measure whether latency depends on the distance of two cores, with the bench's signal.

    python benchmarks/quantization.py sst2:0:default    # once: the bundle
    python benchmarks/cores.py [BUNDLE]                 # ten minutes of an idle machine

Every few seconds a fresh process measures the signal between two cores, and then every variant at
16 tokens on one and on two threads. If the host never moves its virtual cores, there is one row.
"""

import sys
from dataclasses import replace
from statistics import median
from time import sleep
from typing import Any

from common import Shown, asked_bundle, load, machine_name, save, table

from edgeadapt.benchmark.jobs import Subject, measure_job
from edgeadapt.benchmark.noise import FARTHER
from edgeadapt.measure.child import run_job
from edgeadapt.store.bundle import Bundle
from edgeadapt.store.plan import Plan

__all__ = ["SHOWN"]

LOOKS, PAUSE = 60, 4.0
"""Number of measurements, and seconds between them."""
TOKENS = 16
PLAN = replace(Plan(), lengths=(TOKENS,), repeats=60, timed=0)


def main() -> None:
    bundle = Bundle.open(asked_bundle())
    looks = []
    for _ in range(LOOKS):
        looks.append(look(bundle))
        print(looks[-1], flush=True)
        sleep(PAUSE)
    nearest = min(look["signal_ns"] for look in looks)
    apart = {
        "near": [look for look in looks if look["signal_ns"] <= FARTHER * nearest],
        "far": [look for look in looks if look["signal_ns"] > FARTHER * nearest],
    }
    save(
        "cores",
        {
            "tokens": TOKENS,
            "rows": [
                {
                    "cores": name,
                    "looks": len(found),
                    **{key: median(each[key] for each in found) for key in found[0]},
                }
                for name, found in apart.items()
                if found
            ],
            "looks": looks,
        },
    )


def look(bundle: Bundle) -> dict[str, Any]:
    """Returns the slowest of four signals, ns, and p50 of each variant, ms."""
    found: dict[str, Any] = {"signal_ns": 0}
    for variant in ("fp32", "int8"):
        for threads in (1, 2):
            answer = run_job(measure_job(Subject(bundle, variant), PLAN, threads, texts=()))
            found["signal_ns"] = max(found["signal_ns"], answer.signal_ns)
            name = f"{variant}, {threads} thread{'s' * (threads > 1)}"
            found[name] = median(answer.latency_ns[str(TOKENS)]) / 1e6
    return found


def cores() -> str:
    """Latencies with near and with distant cores."""
    found = load("cores")
    kinds = [name for name in found["rows"][0] if "thread" in name]
    lines = [
        (
            row["cores"],
            str(row["looks"]),
            f"{row['signal_ns']:.0f}",
            *(f"{row[kind]:.2f}" for kind in kinds),
        )
        for row in found["rows"]
    ]
    headers = ("cores", "looks", "signal, ns", *(f"{kind}, ms" for kind in kinds))
    return table(headers, lines) + f"\n\n{machine_name(found['machine'])}."


SHOWN = Shown(tables={"benchmarks/notes/measuring.md": {"cores": cores}})


if __name__ == "__main__":
    sys.exit(main())
