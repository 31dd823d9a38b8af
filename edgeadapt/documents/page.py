"""Render the report page: tables that need no script, and data for the charts."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.resources import files

from edgeadapt.benchmark.rows import Row
from edgeadapt.documents.benchmark import answer_columns, cost_columns
from edgeadapt.documents.cells import Cell, Column, count, share, used
from edgeadapt.documents.structure_page import Pruned, figures_of, pruned_section
from edgeadapt.errors import MissingExtraError
from edgeadapt.escape import html
from edgeadapt.store.sample import scenario_title

try:
    from plotly.offline import get_plotlyjs
except ModuleNotFoundError as error:
    raise MissingExtraError("A report", extra="report", missing=error.name) from None

__all__ = ["ClassScores", "Curve", "Measured", "render"]

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
{pruned}
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
        "share of texts, over all processes, that are classified within a time",
    ),
    (
        "throughput",
        "Throughput",
        "with tokenization, texts of similar length together; a model whose answers depend on the "
        "batch is run text by text",
    ),
    ("training", "Training", "of the runs of these models, where they are on this machine"),
)


@dataclass(frozen=True)
class ClassScores:
    """Scores of a variant for one label."""

    label: str
    texts: int
    """Texts with that label."""
    precision: float
    recall: float
    f1: float


@dataclass(frozen=True)
class Curve:
    """Learning curve of a training."""

    steps: list[int]
    losses: list[float]
    """Training loss at each of ``steps``."""
    epoch_steps: list[int]
    accuracies: list[float]
    """Validation accuracy at each of ``epoch_steps``."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """The data of one record for the page."""

    name: str
    baseline: str
    machine: Mapping[str, str]
    """Name -> value."""
    notes: Sequence[str]
    """Disturbances of the benchmark."""
    rows: Sequence[Row]
    quantiles: Sequence[Mapping[str, list[float]]]
    """Row -> scenario -> percentiles 0, 1 … 100 of its samples, in milliseconds."""
    origins: Mapping[str, Mapping[str, str]]
    """Bundle -> name -> value."""
    classes: Mapping[str, Sequence[ClassScores]]
    """Row -> scores per label; empty without labels."""
    curves: Mapping[str, Curve]
    """Run -> learning curve."""
    pruned: Sequence[Pruned] = ()
    """Bundles from whose layers something was removed."""


_CLASS_COLUMNS: tuple[Column[ClassScores], ...] = (
    Column.of("texts", "", count, lambda scores: scores.texts),
    Column.of("precision", "", share, lambda scores: scores.precision),
    Column.of("recall", "", share, lambda scores: scores.recall),
    Column.of("F1", "", share, lambda scores: scores.f1),
)


def render(title: str, summary: str, records: Sequence[Measured]) -> str:
    """Returns the page as HTML.

    Args:
        title: Heading of the page.
        summary: Line below the heading.
        records: The records to show.
    """
    scenarios = dict.fromkeys(
        name for record in records for quantiles in record.quantiles for name in quantiles
    )
    pruned = _pruned(records)
    figures = {
        "title": title,
        "summary": summary,
        "records": list(map(_figures, records)),
        "pruned": list(map(figures_of, pruned)),
    }
    return _PAGE.format(
        title=html(title),
        summary=html(summary),
        style=_asset("style.css"),
        machines="".join(_panel(one.name, one.machine, one.notes) for one in records),
        tables="".join(map(_table, records)),
        charts="".join(_chart(*chart, scenarios=list(scenarios)) for chart in _CHARTS),
        pruned=pruned_section(pruned),
        classes="".join(map(_classes, records)),
        origins=_origins(records),
        # In a script element, entities are not decoded and a tag in the text would end it.
        figures=json.dumps(figures, allow_nan=False).replace("<", "\\u003c"),
        library=get_plotlyjs().replace("</script", "<\\/script"),
        script=_asset("charts.js"),
    )


def _figures(record: Measured) -> dict[str, object]:
    """The data for the charts."""
    rows = [
        {**asdict(row), "quantiles": quantiles}
        for row, quantiles in zip(record.rows, record.quantiles, strict=True)
    ]
    return {**asdict(replace(record, pruned=())), "rows": rows}


def _pruned(records: Sequence[Measured]) -> list[Pruned]:
    """The pruned bundles, once if they are the same in all records."""
    bundles: list[Pruned] = []
    for pruned in (pruned for record in records for pruned in record.pruned):
        if pruned not in bundles:
            bundles.append(pruned)
    return bundles


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


def _origins(records: Sequence[Measured]) -> str:
    """The origin of each bundle, once if it is the same in all records."""
    panels = dict.fromkeys(
        _panel(name, facts) for record in records for name, facts in record.origins.items()
    )
    if not panels:
        return ""
    return f'<h2>Where the models come from</h2><div class="panels">{"".join(panels)}</div>'


def _table(record: Measured) -> str:
    rows = record.rows
    tables = "".join(_rows(rows, columns) for columns in (answer_columns(rows), cost_columns(rows)))
    return (
        f"<h2>{html(record.name)}</h2><p>Times are p50 at batch 1, with half their 95 % interval, "
        f"higher percentiles, and how many times as fast as {html(record.baseline)}, in bold. "
        f"On yellow: no other is at least as accurate and as fast.</p>{tables}"
    )


def _rows(rows: Sequence[Row], columns: Sequence[Column[Row]]) -> str:
    shown = used(columns, rows)
    header = "".join(f"<th>{html(column.heading)}</th>" for column in shown)
    body = "".join(_line(row, shown) for row in rows)
    return (
        f'<div class="scroll"><table class="rows"><thead><tr><th>model</th>{header}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _line(row: Row, columns: Sequence[Column[Row]]) -> str:
    classes = " ".join(
        name for name, holds in (("baseline", row.is_baseline), ("best", row.is_pareto)) if holds
    )
    cells = "".join(_cell(column.heading, column.cell(row)) for column in columns)
    return (
        f'<tr class="{classes}" data-row="{html(row.name)}"><td>{html(row.name)}'
        f"<small>{html(row.engine)}</small></td>{cells}</tr>"
    )


def _cell(heading: str, cell: Cell) -> str:
    value = "" if cell.value is None else f' data-value="{cell.value!r}"'
    small = f"<small>{html(' · '.join(cell.details))}</small>" if cell.details else ""
    return f'<td data-figure="{html(heading)}"{value}>{html(cell.text)}{small}</td>'


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


def _classes(record: Measured) -> str:
    if not record.classes:
        return f"<p>{html(record.name)}: the texts have no labels.</p>"
    return "".join(
        f"<details><summary>{html(name)} · {html(record.name)}</summary>"
        '<div class="scroll"><table class="labels"><thead><tr><th>label</th>'
        f"{''.join(f'<th>{html(column.title)}</th>' for column in _CLASS_COLUMNS)}"
        f"</tr></thead><tbody>{''.join(map(_class, scores))}</tbody></table></div></details>"
        for name, scores in record.classes.items()
    )


def _class(scores: ClassScores) -> str:
    cells = "".join(f"<td>{html(column.cell(scores).text)}</td>" for column in _CLASS_COLUMNS)
    return f"<tr><td>{html(scores.label)}</td>{cells}</tr>"


def _asset(name: str) -> str:
    return files("edgeadapt.documents").joinpath(name).read_text(encoding="utf-8")
