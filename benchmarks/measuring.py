"""Compare ``edgeadapt bench`` with optimum-benchmark on the same ONNX file.

    python benchmarks/quantization.py sst2:0:default    # once: the bundle
    python benchmarks/measuring.py [BUNDLE]             # five minutes of an idle machine

optimum-benchmark runs with its default number of threads and with that of the bench, and with and
without memory tracking, which polls from a second process. Fresh processes are interleaved.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from statistics import fmean, median
from tempfile import TemporaryDirectory
from typing import Any

from common import Shown, asked_bundle, load, machine_name, save, table
from contenders import peer_python

from edgeadapt.benchmark.jobs import Subject, measure_job
from edgeadapt.measure.child import run_job
from edgeadapt.measure.machine import usable_cores
from edgeadapt.store.bundle import Bundle
from edgeadapt.store.plan import Plan

__all__ = ["SHOWN"]

NEEDS = (
    "optimum-benchmark==0.6.0",
    "optimum==1.26.1",
    "transformers==4.53.3",
    "datasets==4.0.0",
    "numpy<2.4",
    "torch==2.13.0",
    "onnxruntime==1.32.0",
    "onnx",
)
"""Requirements; optimum-benchmark does not start with newer versions of the others."""
SCRIPT = Path(__file__).parent / "peers" / "with_optimum_benchmark.py"
LENGTHS, ROUNDS = (16, 64, 128), 3
WAYS = {
    "optimum-benchmark, as it comes": ("0", "memory"),
    "optimum-benchmark, our threads": (str(usable_cores()), "memory"),
    "optimum-benchmark, our threads, memory unwatched": (str(usable_cores()), "none"),
}
"""Title -> threads (0: its default) and whether memory is tracked."""
OURS = "edgeadapt bench"


def main() -> None:
    bundle = Bundle.open(asked_bundle())
    found: dict[tuple[str, int], list[dict[str, Any]]] = {}
    with TemporaryDirectory() as folder:
        shutil.copytree(bundle.path, folder, dirs_exist_ok=True)
        shutil.copy(bundle.file(bundle.variant("int8").file), Path(folder) / "model.onnx")
        shutil.rmtree(Path(folder) / "onnx")
        for number in range(ROUNDS):
            for tokens in LENGTHS:
                found.setdefault((OURS, tokens), []).append(ours(bundle, tokens))
                for way, (threads, memory) in WAYS.items():
                    answer = theirs(folder, tokens, threads, memory)
                    found.setdefault((way, tokens), []).append(answer)
            print(f"{number + 1}/{ROUNDS}", flush=True)
    save(
        "measuring",
        {"needs": NEEDS, "rounds": ROUNDS, "rows": [row(*each) for each in found.items()]},
    )


def row(key: tuple[str, int], answers: list[dict[str, Any]]) -> dict[str, Any]:
    way, tokens = key
    peaks = [answer["peak_mb"] for answer in answers]
    return {
        "way": way,
        "tokens": tokens,
        "process_medians_ms": [median(answer["ms"]) for answer in answers],
        "process_means_ms": [fmean(answer["ms"]) for answer in answers],
        "peak_mb": None if None in peaks else median(peaks),
    }


def ours(bundle: Bundle, tokens: int) -> dict[str, Any]:
    plan = Plan(lengths=(tokens,), rounds=1, repeats=100)
    answer = run_job(measure_job(Subject(bundle, "int8"), plan, usable_cores(), ()))
    times = answer.latency_ns[str(tokens)]
    assert answer.peak_bytes
    return {"ms": [time / 1e6 for time in times], "peak_mb": answer.peak_bytes / 1e6}


def theirs(folder: str, tokens: int, threads: str, memory: str) -> dict[str, Any]:
    done = subprocess.run(
        [peer_python("optimum_benchmark", NEEDS), SCRIPT, folder, str(tokens), threads, memory],
        env={**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"optimum-benchmark failed: {done.stderr.strip()[-500:]}")
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("ANSWER "))
    found = json.loads(line.removeprefix("ANSWER "))
    return {"ms": [1e3 * value for value in found["seconds"]], "peak_mb": found["max_ram_mb"]}


def measuring() -> str:
    """The same file in optimum-benchmark."""
    found = load("measuring")
    lengths = list(dict.fromkeys(row["tokens"] for row in found["rows"]))
    lines = []
    for way in dict.fromkeys(row["way"] for row in found["rows"]):
        rows = [row for row in found["rows"] if row["way"] == way]
        times = (
            f"{median(row['process_medians_ms']):.2f} / {median(row['process_means_ms']):.2f}"
            for row in rows
        )
        peaks = [row["peak_mb"] for row in rows if row["peak_mb"] is not None]
        lines.append((way, *times, f"{max(peaks):.0f}" if peaks else ""))
    headers = ("p50 / mean, ms", *(f"{tokens} tokens" for tokens in lengths), "MB")
    return table(headers, lines) + f"\n\n{machine_name(found['machine'])}."


SHOWN = Shown(tables={"benchmarks/notes/measuring.md": {"measuring": measuring}})


if __name__ == "__main__":
    sys.exit(main())
