"""Compare the latency of edgeadapt with other toolchains, with the same weights and machine.

    python benchmarks/accuracy.py sst2:adapter:0      # the run
    python benchmarks/latency.py                      # on an idle machine: an hour
    python benchmarks/latency.py MiniLM-L6:2          # one shape, on 2 threads

Every contender (``contenders.py``, ``peers/``) runs in fresh, interleaved processes; other
libraries have separate environments under ``artifacts/peers``. MiniLM-L6 is the model of the run;
BERT-base has random weights, which do not change latency. Labels are compared with those of plain
fp32, to check that all compute the same model, and the accuracy of the trained ones is measured on
the whole test set of SST-2. A contender that fails gets a row with the error. Rows of other
machines are kept.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import product
from math import inf
from pathlib import Path
from statistics import fmean, median
from typing import Any

import numpy as np
from common import (
    WORK,
    Aim,
    Shown,
    data_folder,
    drawn_texts,
    load,
    machine_name,
    recorded,
    save,
    table,
)
from contenders import BACKBONE, CONTENDERS, FP32, NNCF, OURS, TRAINED, Contender, PeerError

from edgeadapt.data import read_rows
from edgeadapt.measure.machine import describe_machine, usable_cores
from edgeadapt.store.run import Run

__all__ = ["SHOWN", "fastest"]

RUN = "sst2-adapter-0"
LENGTHS = (8, 16, 32, 64, 128)
TEXTS = {"sst2": 200, "imdb": 50}
"""Data set -> real texts of it."""
ROUNDS = 7
SHAPES = ("MiniLM-L6", "BERT-base")
THREADS = (2, 1)


def main() -> None:
    asked = sys.argv[1:] or [f"{s}:{t}" for s, t in product(SHAPES, THREADS)]
    rows = recorded("latency")
    machine = machine_name(asdict(describe_machine()))
    for job in asked:
        shape, threads = job.split(":")
        same = {"machine": machine, "shape": shape, "threads": int(threads)}
        measured = [same | row for row in measure(shape, int(threads))]
        rows = [row for row in rows if not same.items() <= row.items()]
        rows += measured
        save("latency", {"lengths": LENGTHS, "texts": TEXTS, "rounds": ROUNDS, "rows": rows})


def measure(shape: str, threads: int) -> list[dict[str, Any]]:
    """Returns a row for each contender."""
    from prepared import prepare

    run = Run.open(WORK / "runs" / RUN)
    root = WORK / "latency" / shape
    failures = prepare(run, shape, root)
    job = {"threads": threads, "scenarios": scenarios(run)}
    found: dict[str, list[dict[str, Any]]] = {}
    contenders = [
        each
        for each in CONTENDERS
        if shape in each.shapes and (threads == usable_cores() or not each.all_cores)
    ]
    for number in range(ROUNDS):
        for contender in contenders:
            if contender.title in failures:
                continue
            signal = signal_between_cores()
            try:
                answer = json.loads(contender.ask("measure", root / contender.folder, given=job))
            except PeerError as error:
                failures[contender.title] = str(error)
                print(f"{contender.title} failed: {error}")
                continue
            found.setdefault(contender.title, []).append({**answer, "signal_ns": signal})
            times = answer["scenarios"]
            shown = "  ".join(
                f"{name} {median(times[name]['nanoseconds']) / 1e6:.2f}" for name in times
            )
            print(f"{shape}, {threads} threads, {number + 1}/{ROUNDS} {contender.title:45}{shown}")
    accuracies = {
        each.title: accuracy(run, each, root)
        for each in contenders
        if shape in TRAINED and each.title not in failures and each.folder != BACKBONE
    }
    return [
        {"contender": contender.title, "error": failures[contender.title]}
        if contender.title in failures
        else {
            "contender": contender.title,
            "bytes": size(root / contender.folder),
            "labels_as_fp32": (
                agreement(found[contender.title][0], found[FP32][0])
                if contender.folder != BACKBONE
                else None
            ),
            "test_accuracy": accuracies.get(contender.title),
            "signal_ns": [answer["signal_ns"] for answer in found[contender.title]],
            "load_ms": [answer["load_ns"] / 1e6 for answer in found[contender.title]],
            "process_medians_ms": {
                name: [
                    median(answer["scenarios"][name]["nanoseconds"]) / 1e6
                    for answer in found[contender.title]
                ]
                for name in job["scenarios"]
            },
        }
        for contender in contenders
    ]


def accuracy(run: Run, contender: Contender, root: Path) -> float | None:
    """Share of SST-2's test texts with the right label; ``None`` without a trained head."""
    from edgeadapt.models.opened import OpenedRun

    rows = read_rows(data_folder("sst2") / "test.csv")
    texts = [each.ids for each in OpenedRun(run).encoder.encode([row["text"] for row in rows])]
    job = {"test": {"texts": texts, "warmup": 0, "passes": 1}}
    given = {"threads": usable_cores(), "scenarios": job}
    try:
        answer = json.loads(contender.ask("measure", root / contender.folder, given=given))
    except PeerError as error:  # reported only, because its latency is already measured
        print(f"{contender.title}, accuracy: {error}")
        return None
    logits = np.asarray(answer["scenarios"]["test"]["logits"])
    if logits.shape[1] != len(run.info.labels):
        return None
    pairs = zip(rows, logits.argmax(axis=1), strict=True)
    return fmean(int(row["label"]) == found for row, found in pairs)


def scenarios(run: Run) -> dict[str, dict[str, Any]]:
    """Returns token ids of every length, each measured 60 times, and of real texts, once each."""
    from edgeadapt.models.opened import OpenedRun

    encoder, generator = OpenedRun(run).encoder, np.random.default_rng(0)
    found = {
        str(length): {
            "texts": [[101, *generator.integers(1_000, 20_000, length - 2).tolist(), 102]],
            "warmup": 15,
            "passes": 60,
        }
        for length in LENGTHS
    }
    for name, count in TEXTS.items():
        tokens = encoder.encode(drawn_texts(name, "test", count))
        found[name] = {"texts": [each.ids[:128] for each in tokens], "warmup": 15, "passes": 1}
    return found


def agreement(found: Mapping[str, Any], expected: Mapping[str, Any]) -> float | None:
    """Share of SST-2's texts with the same label; ``None`` where a contender has no head."""
    one, other = (np.asarray(answer["scenarios"]["sst2"]["logits"]) for answer in (found, expected))
    if one.shape != other.shape:
        return None
    return float((one.argmax(axis=1) == other.argmax(axis=1)).mean())


def size(folder: Path) -> int:
    """Returns the bytes of the model's files, without tokenizer and settings."""
    models = (".onnx", ".bin", ".npz", ".xml", ".safetensors")
    files = (file for file in folder.rglob("*") if file.suffix in models)
    return sum(file.stat().st_size for file in files)


def signal_between_cores() -> int | None:
    """Returns nanoseconds of a signal from one core to another, as the bench measures it.

    It runs in a separate process, because it needs a single thread.
    """
    code = "from edgeadapt.measure.cores import signal_ns; print(signal_ns() or '')"
    done = subprocess.run(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True
    )
    return int(done.stdout) if done.stdout.strip() else None


def latency(where: Callable[[dict[str, Any], str], bool]) -> str:
    """The latency of each contender in milliseconds, and its ratio to ours.

    Args:
        where: A row and the name of the latest run's machine -> whether the row is shown.
    """
    found = load("latency")
    newest = machine_name(found["machine"])
    groups: dict[tuple[str, str, int], list[dict[str, Any]]] = {}
    for row in found["rows"]:
        if where(row, newest):
            groups.setdefault((row["machine"], row["shape"], row["threads"]), []).append(row)
    if not groups:
        raise FileNotFoundError
    return "\n\n".join(
        latency_table(rows, shape)
        + f"\n\n{machine}, {threads} thread{'s' * (threads > 1)}, {found['rounds']} interleaved "
        "rounds of fresh processes; each figure is the mean of the fastest third of their medians."
        for (machine, shape, threads), rows in groups.items()
    )


def latency_table(rows: Sequence[dict[str, Any]], shape: str) -> str:
    """Returns the table of one shape, machine and number of threads."""
    ours = rows[0]["process_medians_ms"]
    scored = any(row.get("test_accuracy") is not None for row in rows)
    lines = []
    for row in rows:
        if "error" in row:
            lines.append(
                (row["contender"], f"failed: {row['error']}", *[""] * (len(ours) + scored))
            )
            continue
        times = (
            f"{fastest(times):.2f}"
            + (f" ({fastest(times) / fastest(ours[name]):.2f} ×)" if row is not rows[0] else "")
            for name, times in row["process_medians_ms"].items()
        )
        accuracy = row.get("test_accuracy")
        lines.append(
            (
                row["contender"],
                *times,
                *(["" if accuracy is None else f"{accuracy:.1%}"] if scored else []),
                "" if row["labels_as_fp32"] is None else f"{row['labels_as_fp32']:.1%}",
                f"{row['bytes'] / 1e6:.0f}",
            )
        )
    headers = (f"{shape}, ms at batch 1", *ours, *(["accuracy"] if scored else []))
    return table((*headers, "labels = fp32's", "MB"), lines)


def on_two_threads(row: dict[str, Any], newest: str) -> bool:
    return bool(row["threads"] == 2 and row["machine"] == newest)


def elsewhere(row: dict[str, Any], newest: str) -> bool:
    return not on_two_threads(row, newest)


SETTINGS = (("MiniLM-L6", 2), ("BERT-base", 2), ("MiniLM-L6", 1), ("BERT-base", 1))
"""Shape of the model and number of threads."""

Times = Mapping[str, Mapping[str, Sequence[float]]]
"""Contender -> token count -> medians of its processes, ms."""


@dataclass(frozen=True)
class Faster:
    """An aim: a least ratio of the latencies of two contenders, at every length."""

    what: str
    slow: str
    fast: str
    least: Mapping[str, float]
    """Shape -> ratio."""
    most: float = inf

    def cell(self, times: Times, shape: str, lengths: Sequence[str]) -> str:
        """Returns the range of the ratio and where it misses the aim; empty without figures."""
        if not {self.slow, self.fast} <= times.keys():
            return ""
        ratios = {
            length: fastest(times[self.slow][length]) / fastest(times[self.fast][length])
            for length in lengths
        }
        least = self.least[shape]
        missed = [length for length, ratio in ratios.items() if not least <= ratio <= self.most]
        verdict = f", {_missed(missed, lengths)}" if missed else ""
        return f"{min(ratios.values()):.2f} to {max(ratios.values()):.2f} ×{verdict}"


def _missed(where: Sequence[str], of: Sequence[str]) -> str:
    if len(where) == len(of):
        return "**missed at every length**"
    return f"**missed at {', '.join(where)} tokens**"


def _both(ratio: float) -> dict[str, float]:
    return {"MiniLM-L6": ratio, "BERT-base": ratio}


FASTER = (
    Faster(
        "stock `quantize_dynamic`: 1.6 × for MiniLM-L6, 1.35 × for BERT-base",
        "onnxruntime quantize_dynamic",
        OURS,
        {"MiniLM-L6": 1.6, "BERT-base": 1.35},
    ),
    Faster("onnxruntime fp32: 3 ×", FP32, OURS, _both(3)),
    Faster("torch eager fp32: 5 ×", "torch eager fp32", OURS, _both(5)),
    Faster("OpenVINO with NNCF's int8: 1 ×", NNCF, OURS, _both(1)),
    Faster(
        "OpenVINO with NNCF's int8, of `--engine openvino`: 1 ×",
        NNCF,
        "edgeadapt int8 on OpenVINO",
        _both(1),
    ),
    Faster("CTranslate2 int8: 1 ×", "CTranslate2 int8", OURS, _both(1)),
    Faster(
        "sentence-transformers int8: 1 ×",
        "sentence-transformers int8 (encoder alone)",
        OURS,
        _both(1),
    ),
    Faster("SetFit int8: 1 ×", "SetFit int8", OURS, _both(1)),
    Faster(
        "edgeadapt int8 in a default session of onnxruntime: 1.05 × at most",
        "… default session",
        OURS,
        _both(0),
        most=1.05,
    ),
    Faster(
        "edgeadapt int8, with its merged adapter over without: 1.04 × at most",
        OURS,
        "… without its adapter",
        _both(0),
        most=1.04,
    ),
)


def aims() -> list[Aim]:
    """Every aim, and the settings in which it was missed."""
    found = []
    for ratio, cells in zip(FASTER, cells_of_aims(), strict=True):
        missed = _settings(cells)
        found.append(Aim(ratio.what, missed, "**missed**" if missed else "met"))
    return found


def aims_table() -> str:
    """Every aim against other toolchains, on the machine of the latest run."""
    headers = [f"{shape}, {n} thread{'s' * (n > 1)}" for shape, n in SETTINGS]
    lines = [(ratio.what, *cells) for ratio, cells in zip(FASTER, cells_of_aims(), strict=True)]
    newest = machine_name(load("latency")["machine"])
    return f"{table(('contender and aim', *headers), lines)}\n\n{newest}."


def cells_of_aims() -> list[list[str]]:
    """Returns one list per aim, with one cell per setting."""
    found = load("latency")
    newest = machine_name(found["machine"])
    lengths = [str(length) for length in found["lengths"]]
    columns = []
    for shape, threads in SETTINGS:
        times = {
            row["contender"]: row["process_medians_ms"]
            for row in found["rows"]
            if (row["machine"], row["shape"], row["threads"]) == (newest, shape, threads)
            and "error" not in row
        }
        columns.append([ratio.cell(times, shape, lengths) for ratio in FASTER])
    return [list(cells) for cells in zip(*columns, strict=True)]


def _settings(cells: Sequence[str]) -> str:
    """The settings in which an aim was missed."""
    missed = [setting for setting, cell in zip(SETTINGS, cells, strict=True) if "missed" in cell]
    if len(missed) == len(SETTINGS):
        return "both models on 1 and 2 threads"
    return " and ".join(
        f"{shape} on {threads} thread{'s' * (threads > 1)}" for shape, threads in missed
    )


def static_faster() -> str:
    """How many times faster than int8 static embeddings are, on SST-2 sentences."""
    static, ours = (fastest(row["process_medians_ms"]["sst2"]) for row in _static_and_ours())
    return f"{ours / static:.0f}"


def static_points() -> str:
    """By how many points the accuracy of static embeddings is lower."""
    static, ours = (row["test_accuracy"] for row in _static_and_ours())
    return f"{100 * (ours - static):.1f}"


def _static_and_ours() -> list[dict[str, Any]]:
    found = load("latency")
    newest = machine_name(found["machine"])
    rows = {
        row["contender"]: row
        for row in found["rows"]
        if (row["machine"], row["shape"], row["threads"]) == (newest, "MiniLM-L6", 2)
    }
    return [rows[name] for name in ("model2vec static embeddings", "edgeadapt int8")]


def fastest(times: Sequence[float], *, part: int = 3) -> float:
    """Returns the mean of the fastest third or other part, because other load only adds time."""
    return fmean(sorted(times)[: max(1, len(times) // part)])


SHOWN = Shown(
    tables={
        "docs/results/latency.md": {
            "latency-aims": aims_table,
            "latency": partial(latency, on_two_threads),
        },
        "benchmarks/notes/graphs.md": {"latency": partial(latency, elsewhere)},
    },
    figures={"static-faster": static_faster, "static-points": static_points},
    aims={"latency": aims},
)


if __name__ == "__main__":
    sys.exit(main())
