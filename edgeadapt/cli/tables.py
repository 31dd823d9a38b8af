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
    """The comparison: three lines a variant, the last one relative to the baseline or to fp32."""
    scenarios = list(dict.fromkeys(name for row in rows for name in row.latency_ms))
    headers = [
        "\nmodel",
        "accuracy\nmacro-F1\n= fp32",
        *(f"{_scenario(name)}\np50 ms\np90 ms\nfaster" for name in scenarios),
        "first label\nload s",
        "peak MB\n\nsmaller",
        "model MB\n\nsmaller",
    ]
    machine = record.machine
    scored = f"{record.evaluation['texts']:,} texts" if record.evaluation["texts"] else "no texts"
    table = _table(
        headers,
        caption=f"{machine['cpu']}, {record.threads} threads, batch 1, {scored}; real texts are "
        f"timed with tokenization. Times faster and smaller than {record.baseline}.",
    )
    for row in rows:
        model = Text(f"{row.bundle} {row.variant}", style="bold" if row.is_baseline else "")
        model.append(f"\n{row.engine}", style="dim not bold")
        table.add_row(
            model,
            _lines(_percent(row.accuracy), _percent(row.macro_f1), _percent(row.agreement)),
            *(_latency(row.latency_ms.get(s), row.ratios.latency.get(s)) for s in scenarios),
            _lines(_number(row.first_label_s, 2), _number(row.load_s, 2), ""),
            _lines(_number(row.peak_mb, 0), "", _ratio(row.ratios.peak)),
            _lines(f"{row.bytes / 1e6:.1f}", "", _ratio(row.ratios.bytes)),
        )
    for column in table.columns:
        # Neither names nor figures may be cut: rather a line that the terminal wraps.
        column.min_width = max(len(word) for cell in column.cells for word in str(cell).split())
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
        table.add_column(header, justify="right" if number else "left", overflow="fold")
    return table


def _scenario(name: str) -> str:
    return "real texts" if name == "text" else f"{name} tokens"


def _latency(value: Latency | None, ratio: float | None) -> Text:
    if value is None:
        return Text("-")
    p90 = "insufficient" if value.p90 is None else f"{value.p90:.2f}"
    return _lines(f"{value.p50:.2f}", p90, _ratio(ratio))


def _lines(first: str, second: str, relative: str) -> Text:
    """Three figures below each other; the last is what to look at."""
    return Text.assemble(f"{first}\n", (f"{second}\n", "dim"), (relative, "cyan"))


def _ratio(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}×"


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
