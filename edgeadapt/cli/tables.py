"""Terminal tables of the values that the pipeline returns."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from edgeadapt.benchmark.compare import RERUN_SPREAD, Change, Verdict
from edgeadapt.benchmark.rows import Row
from edgeadapt.cli.sheet import sheet
from edgeadapt.documents.benchmark import VARIANT, bench_columns, bench_notes
from edgeadapt.documents.cells import Column, share, text, used
from edgeadapt.documents.changes import CHANGES
from edgeadapt.documents.compression import (
    GATES,
    SENSITIVITY,
    Gate,
    gates_of,
    merge_note,
    shown_trials,
    step_note,
    trial,
    trial_columns,
)
from edgeadapt.documents.runs import COMPARED, LABELS, SCORES, Scores, label_scores, measured
from edgeadapt.documents.structure import LAYER, LAYERS, layers_of, removed_note, speed_note
from edgeadapt.escape import terminal
from edgeadapt.store.bundle import Manifest
from edgeadapt.store.compression import Compression, Shrunk, StepReport, TrialReport
from edgeadapt.store.record import Record
from edgeadapt.store.run import RunInfo

if TYPE_CHECKING:
    from edgeadapt.pipeline.train_folds import CrossValidation  # which loads torch

__all__ = [
    "bench_table",
    "changes_table",
    "comparison_table",
    "facts_table",
    "folds_table",
    "gates_table",
    "labels_table",
    "layers_table",
    "scores_table",
    "sensitivity_table",
    "step_table",
]

SHOWN_PRODUCTS = 8
"""Number of rows in the table of the most sensitive products."""
SHOWN_LABELS = 12


def scores_table(info: RunInfo) -> Group:
    """Accuracy and macro-F1 of a run on both held-out splits."""
    trained = info.trainable_parameters / info.total_parameters
    frozen = "" if trained == 1 else "; frozen weights unchanged"
    rows = [
        Scores.of("validation", info.validation),
        Scores.of("test", info.test),
    ]
    return _captioned(
        sheet(Column.of("", "", text, lambda scores: scores.name), SCORES, rows),
        f"{info.method}: {info.trainable_parameters:,} of "
        f"{info.total_parameters:,} parameters trained ({trained:.2%}), best epoch "
        f"{info.best_epoch}, {info.seconds:.0f} s, {info.examples_per_second:,.0f} examples/s"
        f"{frozen}. ±: half the 95 % interval.",
    )


def labels_table(info: RunInfo) -> Group:
    """Scores of each label on test text, the worst first, and its most frequent confusion."""
    rows = label_scores(info)
    more = len(rows) - SHOWN_LABELS
    left_out = f"; {more} better labels left out" if more > 0 else ""
    shown = rows[:SHOWN_LABELS]
    assert info.test is not None  # training measures it
    columns = LABELS if info.test.confusion is not None else used(LABELS, shown)
    error = info.test.calibration_error
    calibration = "unavailable" if error is None else f"{error:.3f}"
    return _captioned(
        sheet(Column.of("label", "", text, lambda scores: scores.label), columns, shown),
        f"test text by label, worst first{left_out}. Expected calibration error "
        f"{calibration}. The mistakes are in mistakes.html.",
    )


def comparison_table(infos: Sequence[RunInfo]) -> Group:
    """Runs on the same data, side by side."""
    method = Column[RunInfo].of("method", "", text, lambda info: info.method)
    texts = measured(infos[0].test).texts
    return _captioned(
        sheet(method, COMPARED, infos),
        f"accuracy on validation and {texts:,} test texts; ±: half the 95 % interval.",
    )


def folds_table(found: "CrossValidation") -> Group:
    """The scores of each part of a cross-validation, and their mean."""
    rows = [Scores.of(str(number), run.info.test) for number, run in enumerate(found.runs, 1)]
    means = ", ".join(
        f"{title} {found.mean(name):.2%} ± {found.deviation(name):.2%}"
        for name, title in (("accuracy", "accuracy"), ("macro_f1", "macro-F1"))
    )
    together = share(found.accuracy, found.interval).text
    return _captioned(
        sheet(Column.of("fold", "", text, lambda scores: scores.name), SCORES, rows),
        f"mean ± standard deviation over the folds: {means}. All {found.texts:,} texts together: "
        f"accuracy {together}; ± there and in the table: half the 95 % interval.",
    )


def gates_table(manifest: Manifest) -> Group:
    """The gates of a bundle, and a note on adapters that were not folded."""
    gate = Column[Gate].of("gate", "", text, lambda gate: gate.title)
    table = sheet(gate, GATES, gates_of(manifest))
    return _captioned(table, merge_note(manifest.gates.merge))


def step_table(compression: Compression, step: StepReport) -> Group:
    """The trials of a compression step, with the chosen one marked."""

    def style(tried: TrialReport) -> str:
        if tried.name == step.chosen:
            return "bold"
        return "" if tried.allowed else "yellow"

    rows = shown_trials(step)
    table = sheet(trial(step), used(trial_columns(step), rows), rows, style=style)
    return _captioned(table, step_note(compression, step))


def layers_table(shrunk: Shrunk) -> Group:
    """The heads and neurons that are left of each layer."""
    table = sheet(LAYER, LAYERS, layers_of(shrunk))
    return _captioned(table, removed_note(shrunk), speed_note(shrunk))


def sensitivity_table(sensitivity: Mapping[str, float]) -> Group:
    """The matrix products that are most sensitive to quantization."""
    parts = list(sensitivity.items())
    name = Column[tuple[str, float]].of("product, quantized alone", "", text, lambda part: part[0])
    more = len(parts) - SHOWN_PRODUCTS
    left_out = f"{more} less sensitive ones are in manifest.json. " if more > 0 else ""
    return _captioned(
        sheet(name, SENSITIVITY, parts[:SHOWN_PRODUCTS]),
        f"{left_out}Shift: root mean squared difference to fp32.",
    )


def bench_table(rows: Sequence[Row], record: Record, *, wide: bool = False) -> Group:
    """One line per variant below the name of its bundle, then notes.

    Args:
        rows: The rows of the record.
        record: The record.
        wide: Show all figures, with percentiles and ratios.
    """
    columns = bench_columns(rows)
    shown = used(columns, rows) if wide else [column for column in columns if column.brief]
    table = sheet(
        VARIANT,
        shown,
        rows,
        group=lambda row: row.bundle,
        details=wide,
        style=lambda row: "bold" if row.is_baseline else "",
    )
    return _captioned(table, *bench_notes(rows, record, wide=wide))


def changes_table(changes: Sequence[Change]) -> Group:
    """The significant changes, worst first; for the others, only their number."""
    moved = [change for change in changes if change.verdict is not Verdict.SAME]
    caption = (
        f"{len(changes)} figures compared, {len(changes) - len(moved)} without a change "
        f"above {RERUN_SPREAD:.0%}, by which two runs on an idle machine may differ."
    )
    if not moved:
        return Group(Text(caption))
    moved.sort(key=lambda change: -change.worsening)
    figure = Column[Change].of("figure", "", text, lambda change: f"{change.row}  {change.figure}")
    return _captioned(sheet(figure, CHANGES, moved, style=_verdict_style), caption)


def _verdict_style(change: Change) -> str:
    if change.fails:
        return "bold red"
    return {Verdict.WORSE: "yellow", Verdict.BETTER: "green"}[change.verdict]


def facts_table(facts: Mapping[str, object]) -> Table:
    """Names and values, one per line."""
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, value in facts.items():
        _add(table, Text(terminal(name.replace("_", " ")), style="dim"), terminal(_plain(value)))
    return table


def _captioned(table: RenderableType, *lines: str) -> Group:
    """Adds lines below a table; unlike captions of rich, they may be wider than the table."""
    return Group(table, *(Text(terminal(line), style="italic dim") for line in lines))


def _add(table: Table, *cells: str | Text) -> None:
    """Adds a row; text of users in its cells is escaped and never parsed as markup."""
    table.add_row(*map(_cell, cells))


def _cell(content: str | Text) -> Text:
    return content if isinstance(content, Text) else Text(terminal(content, lines=True))


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_plain(item)}" for key, item in value.items())
    if isinstance(value, list):
        words = [str(each) for each in value]
        return ("; " if any("," in word for word in words) else ", ").join(words) or "none"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:.6g}"
