"""Measure the base install: its size, and whole processes of ``predict`` and ``--help``.

A fresh virtual environment has ``pip install .`` and nothing else. Times are from exec to exit.
Peak memory is ``ru_maxrss`` of the finished child. It starts at the size of the parent, so this
process imports nothing large before the last child has exited. The bundle is that of ``bench.py``.
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

from common import WORK, Headline, Shown, load, save

__all__ = ["SHOWN"]

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
"""Computes the same logits with the libraries only and without checks, as a lower bound."""
HEAVY = ("torch", "transformers", "datasets", "onnx", "optimum", "safetensors", "matplotlib")


def main() -> None:
    bundle = WORK / "bundles" / "sst2-adapter-0"
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
    save("footprint", values)


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
    """Runs commands in fresh, interleaved processes; the first round is discarded."""
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


def process(name: str) -> dict[str, Any]:
    """Returns the measurements of a command."""
    return dict(load("footprint")["processes"][name])


def predict_seconds() -> str:
    floor = process("onnxruntime alone")["median_s"]
    return (
        f"**{process('predict')['median_s']:.2f} s** "
        f"(onnxruntime and tokenizers alone: {floor:.2f} s)"
    )


def predict_megabytes() -> str:
    return f"**{process('predict')['median_peak_mb']:.0f} MB**"


def install_megabytes() -> str:
    return f"**{load('footprint')['install_megabytes']:.0f} MB**"


def help_seconds() -> str:
    processes = load("footprint")["processes"]
    slowest = max(v["median_s"] for name, v in processes.items() if "--help" in name)
    return f"**{slowest:.2f} s**"


SHOWN = Shown(
    headlines=(
        Headline(
            "`edgeadapt predict`, int8, base install, exec to exit", "≤ 0.40 s", predict_seconds
        ),
        Headline("… peak memory", "≤ 115 MB", predict_megabytes),
        Headline("base install, without pip and setuptools", "≤ 240 MB", install_megabytes),
        Headline("slowest `--help`", "≤ 0.5 s", help_seconds),
    )
)


if __name__ == "__main__":
    main()
