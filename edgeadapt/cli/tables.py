"""Tables for people, made from values that the pipeline returns."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from edgeadapt.bench.compare import Row
from edgeadapt.bundle import Manifest
from edgeadapt.measure.statistics import Latency
from edgeadapt.record import Record
from edgeadapt.run import RunInfo

__all__ = ["bench_table", "facts_table", "gates_table", "scores_table"]


def scores_table(info: RunInfo) -> Table:
    """Accuracy and macro-F1 of a run on both held-out splits."""
    share = info.trainable_parameters / info.total_parameters
    table = _table(
        ("", "texts", "accuracy", "macro-F1"),
        caption=f"{info.recipe['adapter']['method']}: {info.trainable_parameters:,} of "
        f"{info.total_parameters:,} parameters trained ({share:.2%}), best epoch "
        f"{info.best_epoch}, {info.seconds:.0f} s, {info.examples_per_second:,.0f} examples/s; "
        f"frozen weights unchanged",
    )
    for name, scores in (("validation", info.validation), ("test", info.test)):
        table.add_row(
            name,
            f"{scores['texts']:,}",
            f"{scores['accuracy']:.2%}",
            f"{scores['macro_f1']:.2%}",
        )
    return table


def gates_table(manifest: Manifest) -> Table:
    """The gates that a bundle passed."""
    table = _table(("gate", "figure", "limit", "texts", "labels the same"))
    for key, title in (("merge", "merged = adapters"), ("onnx", "ONNX fp32 = torch")):
        parity = manifest.parity[key]
        table.add_row(
            title,
            f"logits differ by {parity['max_difference']:.1e}",
            f"{parity['limit']:.0e}",
            str(parity["texts"]),
            f"{parity['label_agreement']:.1%}",
        )
    if int8 := manifest.parity["int8"]:
        table.add_row(
            f"int8 against fp32 ({int8['scheme']})",
            f"accuracy {int8['accuracy_before']:.2%} → {int8['accuracy_after']:.2%}",
            f"drop ≤ {100 * int8['max_drop']:.1f} points",
            f"{int8['texts']:,}",
            f"{int8['label_agreement']:.1%}",
        )
    return table


def bench_table(rows: Sequence[Row], record: Record) -> Table:
    """The comparison; ratios to the baseline in brackets, above 1 is better."""
    scenarios = list(dict.fromkeys(name for row in rows for name in row.latency_ms))
    headers = [
        "model",
        "accuracy",
        "macro-F1",
        "= fp32",
        *(f"{_scenario(name)}\np50 / p90 ms" for name in scenarios),
        "first\nlabel s",
        "load s",
        "peak MB",
        "model MB",
    ]
    machine = record.machine
    scored = f"{record.evaluation['texts']:,} texts" if record.evaluation["texts"] else "no texts"
    table = _table(
        headers,
        caption=f"{machine['cpu']}, {record.threads} threads, batch 1, {scored}. "
        f"(×) times better than {record.baseline}.",
    )
    for row in rows:
        name = Text(f"{row.bundle} {row.variant}", style="bold" if row.is_baseline else "")
        name.append(f"\n{row.engine}", style="dim")
        table.add_row(
            name,
            _percent(row.accuracy),
            _percent(row.macro_f1),
            _percent(row.agreement),
            *(_latency(row.latency_ms.get(s), row.ratios.latency.get(s)) for s in scenarios),
            _number(row.first_label_s, 2),
            _number(row.load_s, 2),
            _with_ratio(_number(row.peak_mb, 0), row.ratios.peak),
            _with_ratio(f"{row.bytes / 1e6:.1f}", row.ratios.bytes),
        )
    return table


def facts_table(facts: Mapping[str, Any]) -> Table:
    """Names and values, one a line."""
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, value in facts.items():
        table.add_row(Text(name.replace("_", " "), style="dim"), Text(_plain(value)))
    return table


def _table(headers: Iterable[str], *, caption: str | None = None) -> Table:
    table = Table(box=box.SIMPLE_HEAD, caption=caption, caption_justify="left", pad_edge=False)
    for number, header in enumerate(headers):
        table.add_column(header, justify="right" if number else "left", no_wrap=True)
    return table


def _scenario(name: str) -> str:
    return "real texts" if name == "text" else f"{name} tokens"


def _latency(value: Latency | None, ratio: float | None) -> str:
    if value is None:
        return "-"
    p90 = "insufficient" if value.p90 is None else f"{value.p90:.1f}"
    return _with_ratio(f"{value.p50:.1f} / {p90}", ratio)


def _with_ratio(shown: str, ratio: float | None) -> str:
    return shown if ratio is None else f"{shown}\n({ratio:.1f}×)"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _number(value: float | None, digits: int) -> str:
    return "unavailable" if value is None else f"{value:.{digits}f}"


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_plain(item)}" for key, item in value.items())
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:.6g}"
