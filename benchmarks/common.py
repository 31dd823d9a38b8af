"""What the benchmark scripts share: where results go, and which machine they are from."""

import json
import os
import subprocess
import sys
import venv
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from edgeadapt import __version__
from edgeadapt.data import read_rows
from edgeadapt.measure.machine import describe_machine

RESULTS = Path(__file__).resolve().parent / "results"
WORK = Path(os.environ.get("EDGEADAPT_ARTIFACTS", "artifacts"))


def save(name: str, values: dict[str, Any]) -> None:
    """Writes ``results/NAME.json``, or ``results/NAME-KIND.json``, with the machine it is from."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    found = {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "edgeadapt": __version__,
        "command": f"python benchmarks/{name.partition('-')[0]}.py",
        "machine": asdict(describe_machine()),
        **values,
    }
    path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(f"wrote {path}")


def load(name: str) -> dict[str, Any]:
    """Reads ``results/NAME.json``."""
    return dict(json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8")))


def add_row(name: str, row: dict[str, Any], *, keys: Sequence[str]) -> None:
    """Puts a row into ``results/NAME.json``; one with the same values of ``keys`` is replaced.

    Rows come from several days, and say themselves which machine they are from.
    """
    row = {**row, "machine": machine_name(asdict(describe_machine()))}
    rows = load(name)["rows"] if (RESULTS / f"{name}.json").is_file() else []
    rows = [other for other in rows if any(other[key] != row[key] for key in keys)]
    save(name, {"rows": sorted([*rows, row], key=lambda r: [r[key] for key in keys])})


def machine_name(machine: Mapping[str, Any]) -> str:
    """Returns a machine's CPU and what it can do."""
    return f"{machine['cpu']} ({', '.join(machine['flags'] or ())})"


def drawn_texts(dataset: str, split: str, count: int, *, seed: int = 0) -> list[str]:
    """Returns so many texts of a benchmark data set, drawn at random."""
    rows = read_rows(data_folder(dataset) / f"{split}.csv")
    picked = np.random.default_rng(seed).permutation(len(rows))[:count]
    return [rows[row]["text"] for row in picked]


def asked_bundle() -> Path:
    """Returns the bundle asked for, else what ``quantization.py sst2:0:default`` leaves."""
    return Path(sys.argv[1]) if sys.argv[1:] else WORK / "bundles" / "sst2-adapter-0-default"


def peer_python(name: str, needs: Sequence[str]) -> Path:
    """Returns the interpreter of a peer's own environment, with what it needs installed."""
    place = WORK / "peers" / name
    python, note = place / "bin" / "python", place / "installed.json"
    if not (note.is_file() and json.loads(note.read_text()) == list(needs)):
        venv.create(place, with_pip=True, clear=True)
        index = os.environ.get("TORCH_INDEX")
        extra = ["--extra-index-url", index] if index else []
        subprocess.run([python, "-m", "pip", "install", "-q", *extra, *needs], check=True)
        note.write_text(json.dumps(needs))
    return python


def signal_between_cores() -> int | None:
    """Returns what the bench measures of the cores, from a process with a single thread."""
    code = "from edgeadapt.measure.cores import signal_ns; print(signal_ns() or '')"
    done = subprocess.run(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True
    )
    return int(done.stdout) if done.stdout.strip() else None


def data_folder(name: str) -> Path:
    """Returns the folder of a benchmark data set, or stops with a word on where to get it."""
    root = Path(os.environ.get("EDGEADAPT_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not (root / name / "train.csv").is_file():
        sys.exit(f"{root / name} has no train.csv: set EDGEADAPT_DATA (docs/results/reproduce.md).")
    return root / name
