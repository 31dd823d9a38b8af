"""The page itself: tables that need no script, and the figures that charts are drawn of."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from edgeadapt.errors import MissingExtraError
from edgeadapt.escape import html
from edgeadapt.record import scenario_title

try:
    from plotly.offline import get_plotlyjs
except ModuleNotFoundError as error:
    raise MissingExtraError("A report", extra="report", missing=error.name) from None

__all__ = ["render"]

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<h1>{title}</h1>
<p>{summary}</p>
<div class="panels">{machines}</div>
{tables}
<h2>Charts</h2>
<div class="charts">{charts}</div>
<h2>By label</h2>
{classes}
{origins}
<script type="application/json" id="figures">{figures}</script>
<script>{library}</script>
<script>{script}</script>
</body>
</html>
"""
_CHARTS = (
    ("pareto", "Accuracy against latency", "real texts with tokenization; bars are 95 % intervals"),
    ("by-length", "Latency against length", "one text at a time, p50 and its 95 % interval"),
    ("memory", "Memory", "peak of the process, median over processes"),
    (
        "growth",
        "Memory against length and batch",
        "peak until then; lengths, then, in other processes, batch sizes",
    ),
    (
        "distribution",
        "Latency distribution",
        "share of the texts, of all processes together, answered within a time",
    ),
    (
        "throughput",
        "Throughput",
        "with tokenization, texts of similar length together; a model whose answers depend on the "
        "batch is run text by text",
    ),
    ("training", "Training", "of the runs that these models come from, where they are at hand"),
)


@dataclass(frozen=True)
class _Column:
    """A column of the table of rows."""

    title: str
    value: Callable[[Mapping[str, Any]], Any]
    shown: Callable[[Any], str]
    """How a value that is not ``None`` is written."""
    below: Callable[[Mapping[str, Any]], str] = lambda row: ""
    """A smaller line below."""


def render(content: Mapping[str, Any]) -> str:
    """Returns the page as HTML.

    Args:
        content: ``title``, ``summary`` and ``records``, each with ``name``, ``machine`` (facts by
            name), ``notes``, ``baseline``, ``rows`` (as ``Row.to_dict`` gives them, with
            ``quantiles``: scenario -> milliseconds of 0 to 100 %), ``origins`` (bundle -> facts by
            name), ``classes`` (row -> a mapping per label) and ``curves`` (run -> ``steps``,
            ``losses``, ``epoch_steps``, ``accuracies``).
    """
    records = content["records"]
    scenarios = dict.fromkeys(
        name for record in records for row in record["rows"] for name in row["quantiles"]
    )
    return _PAGE.format(
        title=html(content["title"]),
        summary=html(content["summary"]),
        style=_asset("style.css"),
        machines="".join(_panel(one["name"], one["machine"], one["notes"]) for one in records),
        tables="".join(map(_table, records)),
        charts="".join(_chart(*chart, scenarios=list(scenarios)) for chart in _CHARTS),
        classes="".join(_classes(record) for record in records),
        origins=_origins(records),
        # A script element ends at tags in its text, and knows no entities.
        figures=json.dumps(content, allow_nan=False).replace("<", "\\u003c"),
        library=get_plotlyjs().replace("</script", "<\\/script"),
        script=_asset("charts.js"),
    )


def _panel(title: str, facts: Mapping[str, str], notes: Sequence[str] = ()) -> str:
    listed = "".join(
        f"<dt>{html(name)}</dt><dd>{html(value)}</dd>" for name, value in facts.items()
    )
    noise = "".join(f"<li>{html(note)}</li>" for note in notes)
    return (
        f'<section class="panel"><h3>{html(title)}</h3><dl>{listed}</dl>'
        + (f'<ul class="noise">{noise}</ul>' if noise else "")
        + "</section>"
    )


def _origins(records: Sequence[Mapping[str, Any]]) -> str:
    """Every bundle once, unless two records' differ."""
    panels = dict.fromkeys(
        _panel(name, facts) for record in records for name, facts in record["origins"].items()
    )
    if not panels:
        return ""
    return f'<h2>Where the models come from</h2><div class="panels">{"".join(panels)}</div>'


def _table(record: Mapping[str, Any]) -> str:
    rows = record["rows"]
    tables = "".join(_rows(rows, columns) for columns in (_answers(rows), _costs(rows)))
    return (
        f"<h2>{html(record['name'])}</h2><p>Times at batch 1, p50 above and p90 below, with how "
        f"many times as fast as {html(record['baseline'])}, in bold. On yellow: no other is at "
        f"least as accurate and as fast.</p>{tables}"
    )


def _rows(rows: Sequence[Mapping[str, Any]], columns: Sequence[_Column]) -> str:
    """A table with the columns that any of the rows has a value of."""
    known = [one for one in columns if any(one.value(row) is not None for row in rows)]
    header = "".join(f"<th>{html(column.title)}</th>" for column in known)
    body = "".join(_line(row, known) for row in rows)
    return (
        f'<div class="scroll"><table class="rows"><thead><tr><th>model</th>{header}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _line(row: Mapping[str, Any], columns: Sequence[_Column]) -> str:
    marks = [name for name in ("baseline", "pareto") if row[f"is_{name}"]]
    classes = " ".join("best" if mark == "pareto" else mark for mark in marks)
    name = f"{row['bundle']}:{row['variant']}"
    cells = "".join(_cell(row, column) for column in columns)
    return (
        f'<tr class="{classes}" data-row="{html(name)}"><td>{html(name)}'
        f"<small>{html(row['engine'])}</small></td>{cells}</tr>"
    )


def _cell(row: Mapping[str, Any], column: _Column) -> str:
    value = column.value(row)
    if value is None:
        return f'<td data-figure="{html(column.title)}">–</td>'
    below = column.below(row)
    small = f"<small>{html(below)}</small>" if below else ""
    return (
        f'<td data-figure="{html(column.title)}" data-value="{value!r}">'
        f"{html(column.shown(value))}{small}</td>"
    )


def _answers(rows: Sequence[Mapping[str, Any]]) -> list[_Column]:
    """How good a model is, and how fast."""
    scenarios = dict.fromkeys(name for row in rows for name in row["latency_ms"])
    return [
        _Column(
            "accuracy", _of("accuracy"), _percent, lambda row: _range(row["accuracy_interval"])
        ),
        _Column(
            "macro-F1", _of("macro_f1"), _percent, lambda row: _range(row["macro_f1_interval"])
        ),
        _Column("= fp32", _of("agreement"), _percent, _shift),
        *(_latency(name) for name in scenarios if name != "text-model"),
    ]


def _costs(rows: Sequence[Mapping[str, Any]]) -> list[_Column]:
    """How much a model gets done, and what it takes."""
    batches = dict.fromkeys(name for row in rows for name in row["texts_per_s"])
    return [
        *(
            _Column(f"texts/s, batch {name}", _speed(name), lambda value: f"{value:,.0f}")
            for name in batches
        ),
        _Column("first label, s", _of("first_label_s"), _fixed(2), _imports),
        _Column("peak, MB", _of("peak_mb"), _fixed(0), _times_smaller("peak")),
        _Column("model, MB", lambda row: row["bytes"] / 1e6, _fixed(1), _times_smaller("bytes")),
        _Column("tokenizer, MB", _megabytes("tokenizer_bytes"), _fixed(1)),
        _Column("bundle, MB", _megabytes("bundle_bytes"), _fixed(1)),
        _Column("runtime, MB", _megabytes("runtime_bytes"), _fixed(0)),
        _Column("J per 1,000 texts", _of("joules_per_1000_texts"), _fixed(1)),
    ]


def _of(name: str) -> Callable[[Mapping[str, Any]], Any]:
    return lambda row: row[name]


def _megabytes(name: str) -> Callable[[Mapping[str, Any]], Any]:
    return lambda row: None if row[name] is None else row[name] / 1e6


def _speed(batch: str) -> Callable[[Mapping[str, Any]], Any]:
    return lambda row: row["texts_per_s"].get(batch, {}).get("median")


def _latency(name: str) -> _Column:
    def below(row: Mapping[str, Any]) -> str:
        p90, ratio = row["latency_ms"][name]["p90"], row["ratios"]["latency"].get(name)
        found = "insufficient" if p90 is None else f"{p90:.2f}"
        return found if ratio is None else f"{found} · {ratio:.2f} ×"

    title = f"{scenario_title(name)}, ms"
    return _Column(title, lambda row: row["latency_ms"].get(name, {}).get("p50"), _fixed(2), below)


def _times_smaller(name: str) -> Callable[[Mapping[str, Any]], str]:
    def below(row: Mapping[str, Any]) -> str:
        ratio = row["ratios"][name]
        return "" if ratio is None else f"{ratio:.2f} × smaller"

    return below


def _shift(row: Mapping[str, Any]) -> str:
    return f"logits ± {row['largest_shift']:.2f}"


def _imports(row: Mapping[str, Any]) -> str:
    share = row["import_share"]
    return "" if share is None else f"imports {share:.0%}"


def _percent(value: float) -> str:
    return f"{value:.2%}"


def _range(interval: Sequence[float] | None) -> str:
    return "" if interval is None else f"{100 * interval[0]:.1f} to {100 * interval[1]:.1f}"


def _fixed(digits: int) -> Callable[[float], str]:
    return lambda value: f"{value:,.{digits}f}"


def _chart(name: str, title: str, explained: str, *, scenarios: Sequence[str]) -> str:
    choice = ""
    if name == "distribution":
        options = "".join(
            f'<option value="{html(one)}"{" selected" * (one == "text")}>'
            f"{html(scenario_title(one))}</option>"
            for one in scenarios
        )
        choice = f'<select id="scenario" aria-label="Scenario">{options}</select>'
    return (
        f"<figure><figcaption>{html(title)}<span>{html(explained)}</span></figcaption>"
        f'{choice}<div class="chart" id="{name}"></div></figure>'
    )


def _classes(record: Mapping[str, Any]) -> str:
    if not record["classes"]:
        return f"<p>{html(record['name'])}: the texts have no labels.</p>"
    return "".join(
        f"<details><summary>{html(name)} · {html(record['name'])}</summary>"
        '<div class="scroll"><table class="labels"><thead><tr><th>label</th><th>texts</th>'
        "<th>precision</th><th>recall</th><th>F1</th></tr></thead><tbody>"
        + "".join(
            f"<tr><td>{html(one['label'])}</td><td>{one['texts']:,}</td>"
            f"<td>{one['precision']:.1%}</td><td>{one['recall']:.1%}</td><td>{one['f1']:.1%}</td>"
            "</tr>"
            for one in labels
        )
        + "</tbody></table></div></details>"
        for name, labels in record["classes"].items()
    )


def _asset(name: str) -> str:
    return files("edgeadapt.documents").joinpath(name).read_text(encoding="utf-8")
