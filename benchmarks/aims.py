"""What was aimed at, and where it was missed: tables beside those of the figures themselves."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from statistics import fmean
from typing import Any

from common import load, machine_name
from marked import fastest, rows_of, table

__all__ = [
    "accuracy_aims",
    "latency_aims",
    "misses",
    "portable_verdict",
    "quantization_aims",
    "training_aims",
]

_INT8 = "edgeadapt int8"
_NNCF = "OpenVINO + NNCF static int8"
SETTINGS = (("MiniLM-L6", 2), ("BERT-base", 2), ("MiniLM-L6", 1), ("BERT-base", 1))
"""Shape of the model and number of threads."""

Times = Mapping[str, Mapping[str, Sequence[float]]]
"""Contender -> token count -> medians of its processes, ms."""


@dataclass(frozen=True)
class Faster:
    """An aim: how many times as long one contender takes as another, at every length."""

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
        _INT8,
        {"MiniLM-L6": 1.6, "BERT-base": 1.35},
    ),
    Faster("onnxruntime fp32: 3 ×", "onnxruntime fp32", _INT8, _both(3)),
    Faster("torch eager fp32: 5 ×", "torch eager fp32", _INT8, _both(5)),
    Faster("OpenVINO with NNCF's int8: 1 ×", _NNCF, _INT8, _both(1)),
    Faster(
        "OpenVINO with NNCF's int8, of `--engine openvino`: 1 ×",
        _NNCF,
        "edgeadapt int8 on OpenVINO",
        _both(1),
    ),
    Faster("CTranslate2 int8: 1 ×", "CTranslate2 int8", _INT8, _both(1)),
    Faster(
        "sentence-transformers int8: 1 ×",
        "sentence-transformers int8 (encoder alone)",
        _INT8,
        _both(1),
    ),
    Faster("SetFit int8: 1 ×", "SetFit int8", _INT8, _both(1)),
    Faster(
        "edgeadapt int8 in a default session of onnxruntime: 1.05 × at most",
        "… default session",
        _INT8,
        _both(0),
        most=1.05,
    ),
    Faster(
        "edgeadapt int8, with its merged adapter over without: 1.04 × at most",
        _INT8,
        "… without its adapter",
        _both(0),
        most=1.04,
    ),
)


def latency_aims() -> str:
    """Every aim against other toolchains, on the machine of the latest run."""
    headers = [f"{shape}, {n} thread{'s' * (n > 1)}" for shape, n in SETTINGS]
    lines = [(aim.what, *cells) for aim, cells in zip(FASTER, _latency_cells(), strict=True)]
    newest = machine_name(load("latency")["machine"])
    return f"{table(('contender and aim', *headers), lines)}\n\n{newest}."


def _latency_cells() -> list[list[str]]:
    """One list for each aim, with a cell for each setting."""
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
        columns.append([aim.cell(times, shape, lengths) for aim in FASTER])
    return [list(cells) for cells in zip(*columns, strict=True)]


def accuracy_aims() -> str:
    """The mean over the data sets, and the worst of them."""
    return table(("aim", "measured", ""), _accuracy_lines())


def _accuracy_lines() -> list[tuple[str, str, str]]:
    means: dict[tuple[str, str], float] = {}
    rows = load("accuracy")["rows"]
    for key in {(row["dataset"], row["recipe"]) for row in rows}:
        mine = [row for row in rows if (row["dataset"], row["recipe"]) == key]
        means[key] = 100 * fmean(row["test_accuracy"] for row in mine)
    apart = {
        name: round(value - means[name, "full"], 2)
        for (name, recipe), value in means.items()
        if recipe == "adapter" and (name, "full") in means
    }
    mean, below = fmean(apart.values()), [name for name, by in apart.items() if by < -_ALLOWED]
    return [
        ("a mean at or above full fine-tuning's", f"{mean:+.2f} points", _met(mean >= 0)),
        (
            f"no data set more than {_ALLOWED} points below it",
            f"{min(apart.values()):+.2f} points at worst",
            f"**missed by {', '.join(sorted(below))}**" if below else "met",
        ),
    ]


_ALLOWED = 0.4


def training_aims() -> str:
    """How the default compares with other loops, on a CPU without bfloat16."""
    return table(("aim", "measured", ""), _training_lines())


def _training_lines() -> list[tuple[str, str, str]]:
    rows = {(row["contender"], row["dataset"]): row for row in load("training-fp32")["rows"]}

    def best(value: str, dataset: str, *beginnings: str, least: bool = False) -> float:
        found = (
            float(row[value])
            for (contender, name), row in rows.items()
            if name == dataset and contender.startswith(beginnings)
        )
        return min(found) if least else max(found)

    libraries, default = ("AdapterHub", "PEFT"), ("edgeadapt parallel+bitfit", "sst2")
    lines = []
    for dataset, title, others, least in (
        ("sst2", "the seed's loop", ("the seed's loop",), 3.0),
        ("sst2", "the faster of AdapterHub and PEFT", libraries, 1.3),
        ("sst2", "full fine-tuning with `Trainer`", ("full fine-tuning",), 1.5),
        ("imdb", "the faster of AdapterHub and PEFT", libraries, 1.0),
    ):
        ours = rows["edgeadapt parallel+bitfit", dataset]["examples_per_second"]
        ratio = ours / best("examples_per_second", dataset, *others)
        lines.append(
            (f"{least:g} × {title}, {dataset}", f"{ratio:.2f} ×", _met(round(ratio, 2) >= least))
        )
    ours = rows[default]["peak_mb"]
    others = best("peak_mb", "sst2", "the seed's loop", "full fine-tuning", *libraries, least=True)
    lines.append(
        ("less memory than each, sst2", f"{ours:.0f} MB, {others:.0f} MB", _met(ours < others))
    )
    return lines


@dataclass(frozen=True)
class Limit:
    """An aim for one way to quantize: a figure, averaged over the seeds of each data set."""

    way: str
    what: str
    figure: Callable[[Mapping[str, Any]], float]
    limit: float
    least: bool = False
    """Whether the figure has to be at least the limit; else at most."""
    digits: int = 2

    def line(self) -> tuple[str, str, str, str]:
        """Returns the way, the aim, the worst figure and the data sets that miss it."""
        rows = rows_of("quantization", way=self.way)
        figures: dict[str, float] = {
            dataset: fmean(
                self.figure(row) for row in rows if row["dataset"] == dataset and "test" in row
            )
            for dataset in dict.fromkeys(row["dataset"] for row in rows)
        }
        # An aim is judged by the figure that is shown.
        shown = {name: round(value, self.digits) for name, value in figures.items()}
        missed = [
            name
            for name, value in shown.items()
            if (value < self.limit if self.least else value > self.limit)
        ]
        worst = (
            min(shown, key=shown.__getitem__) if self.least else max(shown, key=shown.__getitem__)
        )
        return (
            self.way,
            self.what,
            f"{shown[worst]:.{self.digits}f} ({worst})",
            f"**missed by {', '.join(missed)}**" if missed else "met",
        )


def _drop(row: Mapping[str, Any]) -> float:
    return 100 * float(row["test"]["accuracy_drop"])


def _kept(row: Mapping[str, Any]) -> float:
    """Accuracy after, as a share of accuracy before, in percent."""
    test = row["test"]
    return 100 * float(test["accuracy_after"]) / float(test["accuracy_before"])


def _megabytes(row: Mapping[str, Any]) -> float:
    return float(row["model_bytes"] + row["tokenizer_bytes"]) / 1e6


_AWARE = "one epoch more, quant-aware"
LIMITS = (
    Limit("default", "drop ≤ 0.3 points", _drop, 0.3),
    Limit(
        "default",
        "labels = fp32's ≥ 98 %",
        lambda row: 100 * float(row["test"]["label_agreement"]),
        98,
        least=True,
    ),
    Limit(
        "default",
        "file ≤ 26 % of fp32's",
        lambda row: 100 * float(row["model_bytes"] / row["fp32_bytes"]),
        26,
    ),
    Limit(
        _AWARE,
        "labels = training's ≥ 99.5 %",
        lambda row: 100 * float(row["as_scored"]),
        99.5,
        least=True,
    ),
    Limit(_AWARE, "no drop", _drop, 0),
    Limit("trimmed", "≤ 15 MB", _megabytes, 15, digits=1),
    Limit("trimmed", "≥ 99 % of the accuracy", _kept, 99, least=True),
    Limit("smallest", "≤ 9 MB", _megabytes, 9, digits=1),
    Limit("smallest", "≥ 98.5 % of the accuracy", _kept, 98.5, least=True),
)


def quantization_aims() -> str:
    """Every aim for quantization, with the data set that is furthest from it."""
    return table(("way", "aim", "worst data set", ""), _quantization_lines())


def _quantization_lines() -> list[tuple[str, str, str, str]]:
    return [limit.line() for limit in LIMITS]


def _met(holds: bool) -> str:
    return "met" if holds else "**missed**"


def portable_verdict() -> tuple[str, str]:
    """Returns which portable bundles gave other labels on another CPU, and the verdict."""
    missed = [
        f"{row['labels_the_same']} of {len(row['labels'])} for `{row['scheme']}` on {row['cpu']}"
        for row in load("portable")["rows"]
        if row["target"] == "portable" and row["labels_the_same"] < len(row["labels"])
    ]
    return ", ".join(missed) or "all", "**missed**" if missed else "met"


def misses() -> str:
    """Every aim that was missed, a line for each page of results."""
    quantization = [(f"{way}: {aim}", *rest) for way, aim, *rest in _quantization_lines()]
    quantization.append(("the same labels on other CPUs", *portable_verdict()))
    pages: dict[str, list[str]] = {}
    for page, lines in (
        ("accuracy", _accuracy_lines()),
        ("quantization", quantization),
        ("training-speed", _training_lines()),
    ):
        pages[page] = [
            f"{aim} ({measured})" for aim, measured, verdict in lines if verdict != "met"
        ]
    pages["latency"] = [
        f"{aim.what} ({_settings(cells)})"
        for aim, cells in zip(FASTER, _latency_cells(), strict=True)
        if _settings(cells)
    ]
    lines = [
        (f"[{page.replace('-', ' ')}](docs/results/{page}.md)", "; ".join(missed))
        for page, missed in pages.items()
        if missed
    ]
    return table(("", "aims that were missed"), lines)


def _settings(cells: Sequence[str]) -> str:
    """The settings in which an aim was missed."""
    missed = [setting for setting, cell in zip(SETTINGS, cells, strict=True) if "missed" in cell]
    if len(missed) == len(SETTINGS):
        return "both models on 1 and 2 threads"
    return " and ".join(
        f"{shape} on {threads} thread{'s' * (threads > 1)}" for shape, threads in missed
    )
