"""Tables for people, made from values that the pipeline returns."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from edgeadapt.bench.compare import RERUN_SPREAD, Change, Verdict
from edgeadapt.bench.rows import Row
from edgeadapt.bundle import Manifest
from edgeadapt.escape import terminal
from edgeadapt.measure.statistics import MIN_SAMPLES_P90, MIN_SAMPLES_P99, Interval, Latency
from edgeadapt.metrics import Difference, wilson_interval
from edgeadapt.pipeline.model_card import merge_note, step_note
from edgeadapt.record import Record
from edgeadapt.run import RunInfo
from edgeadapt.store.compression import Compression, StepReport

if TYPE_CHECKING:
    from edgeadapt.pipeline.folds import CrossValidation  # which loads torch

__all__ = [
    "bench_table",
    "changes_table",
    "comparison_table",
    "facts_table",
    "folds_table",
    "gates_table",
    "labels_table",
    "scores_table",
    "sensitivity_table",
    "step_table",
]

SHOWN_PRODUCTS = 8
"""Products in the table of the most sensitive ones."""
SHOWN_LABELS = 12


def scores_table(info: RunInfo) -> Group:
    """Accuracy and macro-F1 of a run on both held-out splits."""
    share = info.trainable_parameters / info.total_parameters
    frozen = "" if share == 1 else "; frozen weights unchanged"
    table = _table(("", "texts", "accuracy", "95 % interval", "macro-F1"))
    for name, scores in (("validation", info.validation), ("test", info.test)):
        assert scores is not None  # training measures both
        low, high = wilson_interval(scores.accuracy, scores.texts)
        _add(
            table,
            name,
            f"{scores.texts:,}",
            f"{scores.accuracy:.2%}",
            f"{100 * low:.1f} to {100 * high:.1f}",
            f"{scores.macro_f1:.2%}",
        )
    return _captioned(
        table,
        f"{info.method}: {info.trainable_parameters:,} of "
        f"{info.total_parameters:,} parameters trained ({share:.2%}), best epoch "
        f"{info.best_epoch}, {info.seconds:.0f} s, {info.examples_per_second:,.0f} examples/s"
        f"{frozen}",
    )


def labels_table(info: RunInfo) -> Group:
    """How each label fares on test text, the worst first, and what it is mistaken for."""
    names, test = info.labels, info.test
    assert test is not None  # training measures it
    confusion = test.confusion
    rows = [
        (2 * precision * recall / (precision + recall) if precision + recall else 0.0, at)
        for at, (precision, recall) in enumerate(zip(test.precision, test.recall, strict=True))
    ]
    by_text = () if confusion is None else ("texts", "mostly mistaken for")
    table = _table(("label", "precision", "recall", "F1", *by_text))
    for f1, at in sorted(rows)[:SHOWN_LABELS]:
        shares = (test.precision[at], test.recall[at], f1)
        cells = [terminal(names[at]), *(f"{share:.1%}" for share in shares)]
        if confusion is not None:
            counts = confusion[at]
            wrong = [(count, names[to]) for to, count in enumerate(counts) if to != at and count]
            count, mistaken = max(wrong, default=(0, ""))
            cells += [f"{sum(counts):,}", terminal(f"{mistaken} ({count})") if mistaken else "–"]
        _add(table, *cells)
    more = len(names) - SHOWN_LABELS
    left_out = f"; {more} better labels left out" if more > 0 else ""
    return _captioned(
        table,
        f"test text by label, worst first{left_out}. Expected calibration error "
        f"{_number(test.calibration_error, 3)}. The mistakes are in mistakes.html.",
    )


def comparison_table(infos: Sequence[RunInfo]) -> Group:
    """Runs on the same data, side by side."""
    table = _table(("method", "trained", "validation", "test", "macro-F1", "seconds"))
    for info in infos:
        assert info.validation is not None  # training measures both
        assert info.test is not None
        _add(
            table,
            terminal(info.method),
            f"{info.trainable_parameters / info.total_parameters:.2%}",
            f"{info.validation.accuracy:.2%}",
            f"{info.test.accuracy:.2%}",
            f"{info.test.macro_f1:.2%}",
            f"{info.seconds:.0f}",
        )
    first = infos[0].test
    assert first is not None
    texts = first.texts
    low, high = wilson_interval(first.accuracy, texts)
    return _captioned(
        table,
        f"accuracy on validation and {texts:,} test texts; the first one's test accuracy lies "
        f"between {low:.1%} and {high:.1%} (95 % interval).",
    )


def folds_table(found: "CrossValidation") -> Group:
    """The scores of each part of a cross-validation, and their mean."""
    table = _table(("fold", "texts", "accuracy", "macro-F1"))
    for number, run in enumerate(found.runs, 1):
        test = run.info.test
        assert test is not None  # training measures it
        _add(
            table,
            str(number),
            f"{test.texts:,}",
            f"{test.accuracy:.2%}",
            f"{test.macro_f1:.2%}",
        )
    summary = found.to_dict()
    means = ", ".join(
        f"{title} {summary[name]['mean']:.2%} ± {summary[name]['standard_deviation']:.2%}"
        for name, title in (("accuracy", "accuracy"), ("macro_f1", "macro-F1"))
    )
    low, high = summary["together"]["interval"]
    return _captioned(
        table,
        f"mean ± standard deviation over the folds: {means}. All {found.texts:,} texts together: "
        f"accuracy {found.accuracy:.2%}, {100 * low:.1f} to {100 * high:.1f} (95 % interval).",
    )


def gates_table(manifest: Manifest) -> Group:
    """The gates that a bundle passed, and what of the adapters stays."""
    table = _table(("gate", "figure", "limit", "texts", "labels the same"))
    gates, compression = manifest.gates, manifest.compression
    for title, parity in (
        ("merged = adapters", gates.merge.parity),
        ("ONNX fp32 = torch", gates.onnx),
    ):
        _add(
            table,
            title,
            f"logits differ by {parity.max_difference:.1e}",
            f"{parity.limit:.0e}",
            str(parity.texts),
            f"{parity.label_agreement:.1%}",
        )
    if compression:
        for step, cost in compression.costs:
            _add(
                table,
                terminal(step.title),
                f"accuracy {cost.accuracy_before:.2%} → {cost.accuracy_after:.2%}",
                f"drop ≤ {100 * compression.max_drop:.1f} points",
                f"{cost.texts:,}",
                f"{cost.label_agreement:.1%}",
            )
    return _captioned(table, merge_note(gates.merge))


def step_table(compression: Compression, step: StepReport) -> Group:
    """Every way to take a compression step that was tried, and which was chosen."""
    table = _table(
        (terminal(step.candidates), "accuracy drop", "= fp32", "logits shift", "MB", "ms")
    )
    for trial in step.trials:
        drift, chosen = trial.drift, trial.name == step.chosen
        low, high = drift.drop_interval
        latency = "-" if trial.latency_ms is None else f"{trial.latency_ms:.2f}"
        _add(
            table,
            Text(terminal(f"{trial.name}{' ←' if chosen else ''}"), style="bold" if chosen else ""),
            f"{100 * drift.accuracy_drop:.2f} ({100 * low:.2f} to {100 * high:.2f})",
            f"{drift.label_agreement:.1%}",
            _number(drift.rms_shift, 3),
            "-" if trial.bytes is None else f"{trial.bytes / 1e6:.1f}",
            latency if trial.allowed else Text("not allowed", style="yellow"),
        )
    return _captioned(table, step_note(compression, step))


def sensitivity_table(sensitivity: Mapping[str, float]) -> Group:
    """The products that quantization hurts most."""
    table = _table(("product, quantized alone", "logits shift"))
    for name, shift in list(sensitivity.items())[:SHOWN_PRODUCTS]:
        _add(table, terminal(name), f"{shift:.4f}")
    more = len(sensitivity) - SHOWN_PRODUCTS
    left_out = f"{more} less sensitive ones are in manifest.json. " if more > 0 else ""
    return _captioned(table, f"{left_out}Shift: root of the mean squared difference to fp32.")


def bench_table(rows: Sequence[Row], record: Record) -> Group:
    """The comparison: how fast each variant is, then how good, how soon ready, how large."""
    machine = record.machine
    scored = f"{record.evaluation['texts']:,} texts" if record.evaluation["texts"] else "no texts"
    caption = (
        f"Latency in ms at batch 1: p50 and half its 95 % interval, p90 (of {MIN_SAMPLES_P90} "
        f"samples and more), p99 (of {MIN_SAMPLES_P99}), times faster than {record.baseline}; real "
        f"texts with tokenization, and "
        f"the model alone. Peak "
        f'and model in MB, times smaller. "= fp32": labels the same as the bundle\'s fp32, and the '
        f"largest shift of a logit. Runtime: the engine and what it needs, installed. ★: no "
        f"other is at least as accurate and as fast. {machine['cpu']}, {record.threads} threads, "
        f"{scored}."
    )
    tables: list[RenderableType] = [_latency_table(rows), _cost_table(rows)]
    if any(row.texts_per_s for row in rows):
        tables.append(_bulk_table(rows))
        caption += (
            " Texts a second with tokenization, similar lengths together. Steady: resident after "
            "the last text, of that its share of pages that processes share; leak: growth over "
            "so many texts."
        )
        batches = [str(batch) for batch in record.plan.get("batches", ())]
        if any(row.texts_per_s.get(batch) is None for row in rows for batch in batches):
            caption += (
                " Without throughput in batches: models that are run text by text, because their "
                "answers would depend on the other texts of a batch."
            )
    return Group(*tables, Text(terminal(caption), style="italic dim"))


def _latency_table(rows: Sequence[Row]) -> Table:
    scenarios = list(dict.fromkeys(name for row in rows for name in row.latency_ms))
    table = _table(("\nmodel", *map(_scenario, scenarios)))
    for row in rows:
        model = _model(row).append(f"\n{terminal(row.engine)}", style="dim not bold")
        cells = (_latency(row.latency_ms.get(s), row.ratios.latency.get(s)) for s in scenarios)
        _add(table, model, *cells)
    return _unbroken(table)


def _cost_table(rows: Sequence[Row]) -> Table:
    table = _table(
        (
            "\nmodel",
            "accuracy\nmacro-F1",
            "against\nbaseline",
            "= fp32\nlogits ±",
            "1st label s\nof it imports",
            "\nload s",
            "peak\nMB",
            "model\nMB",
            "bundle MB\nruntime",
        )
    )
    for row in rows:
        _add(
            table,
            _model(row),
            f"{_between(row.accuracy, row.accuracy_interval)}\n"
            f"{_between(row.macro_f1, row.macro_f1_interval)}",
            _against(row.against_baseline),
            f"{_percent(row.agreement)}\n"
            f"{'-' if row.largest_shift is None else f'{row.largest_shift:.2f}'}",
            f"{_number(row.first_label_s, 2)}\n"
            f"{'-' if row.import_share is None else f'{row.import_share:.0%}'}",
            _number(row.load_s, 2),
            _compared(_number(row.peak_mb, 0), row.ratios.peak),
            _compared(f"{row.bytes / 1e6:.1f}", row.ratios.bytes),
            f"{_megabytes(row.bundle_bytes)}\n{_megabytes(row.runtime_bytes)}",
        )
    return _unbroken(table)


def _bulk_table(rows: Sequence[Row]) -> Table:
    batches = list(dict.fromkeys(name for row in rows for name in row.texts_per_s))
    counts = list(dict.fromkeys(name for row in rows for name in row.threads_ms))
    table = _table(
        (
            "\nmodel",
            *(f"texts/s\nbatch {batch}" for batch in batches),
            *(f"{count} thread{'s' * (count != '1')}\np50 ms" for count in counts),
            "steady MB\nits share",
            "leak MB\nin texts",
            "J per\n1,000",
        )
    )
    for row in rows:
        _add(
            table,
            _model(row),
            *(
                f"{row.texts_per_s[name].median:,.0f}" if name in row.texts_per_s else "-"
                for name in batches
            ),
            *(f"{row.threads_ms[n].p50:.2f}" if n in row.threads_ms else "-" for n in counts),
            f"{_number(row.rss_mb, 0)}\n{_number(row.pss_mb, 0)}",
            _leak(row),
            _number(row.joules_per_1000_texts, 1),
        )
    return _unbroken(table)


def _leak(row: Row) -> Text:
    if row.leak is None:
        return Text("unavailable")
    grown = round(row.leak.bytes_per_1000 * row.leak.calls / 1e9, 1) + 0.0  # never -0.0
    style = "bold red" if row.leak.leaks else ""
    return Text(f"{grown:.1f}{' leaks' if row.leak.leaks else ''}\n{row.leak.calls:,}", style=style)


def changes_table(changes: Sequence[Change]) -> Group:
    """What is another than before, worst first; what is the same is counted alone."""
    moved = [change for change in changes if change.verdict is not Verdict.SAME]
    table = _table(("figure", "before", "after", "change", "95 % interval", ""))
    styles = {Verdict.WORSE: "yellow", Verdict.BETTER: "green"}
    for change in sorted(moved, key=lambda each: -each.worsening):
        low, high = change.interval or (change.change, change.change)
        _add(
            table,
            terminal(f"{change.row}  {change.figure}"),
            f"{change.before:.4g}",
            f"{change.after:.4g}",
            f"{change.change:+.1%}",
            "" if change.interval is None else f"{low:+.1%} to {high:+.1%}",
            Text(
                f"{change.verdict}{', too much' if change.fails else ''}",
                style="bold red" if change.fails else styles[change.verdict],
            ),
        )
    same = len(changes) - len(moved)
    caption = (
        f"{len(changes)} figures compared, {same} the same within chance and {RERUN_SPREAD:.0%}, "
        "by which two runs on an idle machine may differ."
    )
    return _captioned(table, caption) if moved else Group(Text(caption))


def _unbroken(table: Table) -> Table:
    """Lets no column break a line: it asks for its longest line's width."""
    for column in table.columns:
        lines = (line for cell in (column.header, *column.cells) for line in str(cell).split("\n"))
        column.min_width = max(map(len, lines))
    return table


def _model(row: Row) -> Text:
    best = " ★" if row.is_pareto else ""
    name = f"{terminal(row.bundle)}\n{terminal(row.variant)}{best}"
    return Text(name, style="bold" if row.is_baseline else "")


def facts_table(facts: Mapping[str, Any]) -> Table:
    """Names and values, one a line."""
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, value in facts.items():
        _add(table, Text(terminal(name.replace("_", " ")), style="dim"), terminal(_plain(value)))
    return table


def _captioned(table: Table, caption: str) -> Group:
    """Puts a line below that may be wider than the table, unlike rich's own captions."""
    return Group(table, Text(terminal(caption), style="italic dim"))


def _table(headers: Iterable[str]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for number, header in enumerate(headers):
        table.add_column(_cell(header), justify="right" if number else "left", overflow="fold")
    return table


def _add(table: Table, *cells: str | Text) -> None:
    """Adds a row; what cells hold of users' text is never markup and moves no cursor."""
    table.add_row(*map(_cell, cells))


def _cell(content: str | Text) -> Text:
    return content if isinstance(content, Text) else Text(terminal(content, lines=True))


def _scenario(name: str) -> str:
    titles = {"text": "real\ntexts", "text-model": "the model\nalone"}
    return titles.get(name, f"{name}\ntokens")


def _latency(value: Latency | None, ratio: float | None) -> Text:
    if value is None:
        return Text("-")
    p90 = "insufficient" if value.p90 is None else f"{value.p90:.2f}"
    if value.p99 is not None:
        p90 += f"\n{value.p99:.2f}"
    return _compared(f"{value.p50:.2f}{_half(value)}\n{p90}", ratio)


def _half(value: Latency) -> str:
    """Half the width of p50's interval, as a share of it."""
    if value.p50_interval is None:
        return ""
    low, high = value.p50_interval
    return f" ±{(high - low) / 2 / value.p50:.0%}"


def _between(value: float | None, interval: Interval | None) -> str:
    if value is None or interval is None:
        return "-"
    return f"{value:.1%} ±{50 * (interval[1] - interval[0]):.1f}"


def _against(found: Difference | None) -> str:
    """Points of accuracy won, and how likely chance alone would win or lose as many."""
    return "-" if found is None else f"{100 * found.points:+.1f}\np {found.p_value:.2f}"


def _compared(figures: str, ratio: float | None) -> Text:
    """Figures, and below them how they compare: what to look at."""
    relative = "" if ratio is None else f"{ratio:.2f}×"
    return Text.assemble(f"{figures}\n", (relative, "cyan"))


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _megabytes(value: int | None) -> str:
    return "-" if value is None else f"{value / 1e6:.1f}"


def _number(value: float | None, digits: int) -> str:
    return "unavailable" if value is None else f"{value:.{digits}f}"


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_plain(item)}" for key, item in value.items())
    if isinstance(value, list):
        words = [str(each) for each in value]
        return ("; " if any("," in word for word in words) else ", ").join(words) or "none"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:.6g}"
