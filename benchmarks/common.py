"""Shared code of the benchmark scripts: results, inputs, and tables.

Only code that three or more scripts use belongs here. This module does not import torch.
"""

import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parent / "results"
WORK = Path(os.environ.get("EDGEADAPT_ARTIFACTS", "artifacts"))

Make = Callable[[], str]
"""Function that renders a table or a figure from records; raises ``FileNotFoundError`` without
them."""


@dataclass(frozen=True)
class Aim:
    """A target that was set before the measurement, and its result."""

    what: str
    measured: str
    verdict: str = "met"
    """``met``, or the cases that missed it."""

    @property
    def missed(self) -> bool:
        return self.verdict != "met"


@dataclass(frozen=True)
class Headline:
    """A line of the summary."""

    what: str
    aim: str
    """The target; empty without one."""
    measured: Make


@dataclass(frozen=True)
class Shown:
    """The tables, figures and aims of one script for the documents."""

    tables: Mapping[str, Mapping[str, Make]] = field(default_factory=dict)
    """Document, relative to the repository -> name of a table -> function that renders it."""
    figures: Mapping[str, Make] = field(default_factory=dict)
    """Name of a figure inside a sentence of any document -> function that renders it."""
    aims: Mapping[str, Callable[[], Sequence[Aim]]] = field(default_factory=dict)
    """Page of the results -> function that returns its aims."""
    headlines: Sequence[Headline] = ()


def save(name: str, values: dict[str, Any]) -> None:
    """Writes ``results/NAME.json``, or ``results/NAME-KIND.json``, with the machine it is from."""
    from edgeadapt import __version__
    from edgeadapt.measure.machine import describe_machine

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


def recorded(name: str) -> list[dict[str, Any]]:
    """Returns the rows of a record; none if nothing is recorded yet."""
    return list(load(name)["rows"]) if (RESULTS / f"{name}.json").is_file() else []


def rows_of(name: str, **wanted: Any) -> list[dict[str, Any]]:
    """Returns the rows of a record with the given values.

    Raises:
        FileNotFoundError: There are none.
    """
    found = [row for row in load(name)["rows"] if wanted.items() <= row.items()]
    if not found:
        raise FileNotFoundError(f"{RESULTS / f'{name}.json'} has no rows with {wanted}")
    return found


def machine_name(machine: Mapping[str, Any]) -> str:
    """Returns the name of a machine's CPU and the instruction sets that matter here."""
    return f"{machine['cpu']} ({', '.join(machine['flags'] or ())})"


def table(headers: Sequence[str], lines: Iterable[Sequence[Any]]) -> str:
    """Returns a Markdown table."""
    head = f"| {' | '.join(headers)} |\n|{'---|' * len(headers)}"
    return "\n".join([head, *(f"| {' | '.join(map(str, line))} |" for line in lines)])


def drawn_texts(dataset: str, split: str, count: int, *, seed: int = 0) -> list[str]:
    """Returns ``count`` texts of a benchmark data set, drawn at random without replacement."""
    import numpy as np

    from edgeadapt.data import read_rows

    rows = read_rows(data_folder(dataset) / f"{split}.csv")
    picked = np.random.default_rng(seed).permutation(len(rows))[:count]
    return [rows[row]["text"] for row in picked]


def data_folder(name: str) -> Path:
    """Returns the folder of a benchmark data set; exits where it is missing."""
    root = Path(os.environ.get("EDGEADAPT_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not (root / name / "train.csv").is_file():
        sys.exit(f"{root / name} has no train.csv: set EDGEADAPT_DATA (docs/results/reproduce.md).")
    return root / name


def asked_bundle() -> Path:
    """Returns the bundle named on the command line, else that of ``quantization.py``."""
    return Path(sys.argv[1]) if sys.argv[1:] else WORK / "bundles" / "sst2-adapter-0-default"
