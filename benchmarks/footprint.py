"""The bare install as a device sees it: size, and whole processes of ``predict`` and ``--help``.

A fresh virtual environment gets ``pip install .`` and nothing else. Times are from exec to exit.
Peak memory is ``ru_maxrss`` of the finished child; this parent stays far smaller, so that what a
child inherits of it across exec does not count. The bundle is of ``bench.py``.
"""

import os
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RUNS = 30
RAW = """
import sys
import numpy, onnxruntime, tokenizers
session = onnxruntime.InferenceSession(sys.argv[1] + "/onnx/model_quantized.onnx")
tokenizer = tokenizers.Tokenizer.from_file(sys.argv[1] + "/tokenizer.json")
ids = numpy.array([tokenizer.encode(sys.argv[2]).ids])
inputs = {value.name: numpy.zeros_like(ids) for value in session.get_inputs()}
inputs |= {"input_ids": ids, "attention_mask": numpy.ones_like(ids)}
print(session.run(None, inputs)[0])
"""
"""The same answer from the libraries alone, nothing checked: what this machine allows."""
HEAVY = ("torch", "transformers", "datasets", "onnx", "optimum", "safetensors", "matplotlib")


def main() -> None:
    work = Path(os.environ.get("EDGEADAPT_ARTIFACTS", "artifacts"))
    bundle = work / "bundles" / "sst2-adapter-0"
    with tempfile.TemporaryDirectory() as folder:
        environment = Path(folder) / "bare"
        venv.create(environment, with_pip=True)
        python = environment / "bin" / "python"
        install = [python, "-m", "pip", "install", "-q", "-c", ROOT / "constraints.txt", ROOT]
        subprocess.run(install, check=True)
        command = str(environment / "bin" / "edgeadapt")
        text = "a gripping , beautifully acted film that never loses its nerve ."
        jobs = {
            "predict": [command, "predict", str(bundle), text],
            "onnxruntime alone": [str(python), "-c", RAW, str(bundle), text],
        }
        jobs |= {
            " ".join([*words, "--help"]): [command, *words, "--help"]
            for words in ([], ["train"], ["export"], ["bench"], ["predict"], ["inspect"])
        }
        values = {
            "install_megabytes": site_packages_bytes(environment) / 1e6,
            "heavy_modules_found": [name for name in HEAVY if has_module(python, name)],
            "bench_exit_code": bench(command, bundle),
            "processes": repeat(jobs),
        }
        output = subprocess.run(jobs["predict"], check=True, capture_output=True, text=True)
        print(output.stdout.strip())
    save(values)


def site_packages_bytes(environment: Path) -> int:
    """Size of everything installed but pip and setuptools, byte code included."""
    (packages,) = environment.glob("lib/python*/site-packages")
    skipped = ("pip", "setuptools", "pkg_resources", "_distutils_hack")
    return sum(
        file.stat().st_size
        for entry in packages.iterdir()
        if entry.name.split("-")[0] not in skipped
        for file in ([entry] if entry.is_file() else entry.rglob("*"))
        if file.is_file()
    )


def has_module(python: Path, name: str) -> bool:
    probe = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({name!r}) is None)"
    return subprocess.run([python, "-c", probe], check=False).returncode == 0


def bench(command: str, bundle: Path) -> int:
    """Runs a quick benchmark on the bare install."""
    with tempfile.TemporaryDirectory() as folder:
        job = [command, "bench", str(bundle), "--quick", "--json", "--output", f"{folder}/r.json"]
        return subprocess.run(job, check=False, stdout=subprocess.DEVNULL).returncode


def repeat(jobs: dict[str, list[str]]) -> dict[str, dict[str, Any]]:
    """Runs commands in fresh processes, interleaved, the first round not counted."""
    rounds = [{name: run(job) for name, job in jobs.items()} for _ in range(RUNS + 1)][1:]
    found = {}
    for name in jobs:
        seconds = [samples[name][0] for samples in rounds]
        peaks = [samples[name][1] for samples in rounds]
        found[name] = {
            "median_s": median(seconds),
            "max_s": max(seconds),
            "median_peak_mb": median(peaks) / 1e6,
            "seconds": seconds,
        }
        print(f"{name:20} {median(seconds):.3f} s  {median(peaks) / 1e6:.0f} MB")
    return found


def run(job: list[str]) -> tuple[float, int]:
    """Returns seconds from exec to exit and peak memory in bytes."""
    null = os.open(os.devnull, os.O_WRONLY)
    started = time.perf_counter()
    child = os.posix_spawn(job[0], job, os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, null, 1)])
    _, status, usage = os.wait4(child, 0)
    seconds = time.perf_counter() - started
    os.close(null)
    if status:
        sys.exit(f"{job} ended with status {status}")
    return seconds, usage.ru_maxrss * 1024


def save(values: dict[str, Any]) -> None:
    # Imported last: numpy in this process would add to what the children inherit.
    from common import save as write

    write("footprint", values)


if __name__ == "__main__":
    main()
