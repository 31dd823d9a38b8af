"""The columns of a benchmark's table; add a column here for each new figure."""

from collections.abc import Callable, Iterable, Sequence

from edgeadapt.benchmark.rows import Row
from edgeadapt.documents.cells import (
    UNAVAILABLE,
    Cell,
    Column,
    count,
    fixed,
    milliseconds,
    points,
    share,
    times,
    used,
)
from edgeadapt.measure.statistics import Interval
from edgeadapt.store.record import Record
from edgeadapt.store.sample import scenario_title

__all__ = [
    "ACCURACY",
    "AGREEMENT",
    "FIRST_LABEL",
    "HIGHEST_THROUGHPUT",
    "MODEL_SIZE",
    "PEAK",
    "VARIANT",
    "answer_columns",
    "bench_columns",
    "bench_notes",
    "cost_columns",
    "latency_column",
    "marked",
    "scenarios",
]


def marked(name: str, row: Row) -> str:
    """Returns a row's name, with a star if it is Pareto optimal."""
    return f"{name} ★" if row.is_pareto else name


def _scored(value: float | None, interval: Interval | None) -> Cell | None:
    return None if value is None else share(value, interval)


def _agreement(row: Row) -> Cell | None:
    if row.agreement is None:
        return None
    details = () if row.largest_shift is None else (f"logits ±{row.largest_shift:.2f}",)
    return Cell(share(row.agreement).text, details, row.agreement)


def _compared(cell: Cell, ratio: float | None) -> Cell:
    """Adds to a size how many times smaller than the baseline it is."""
    return cell if ratio is None else Cell(cell.text, (f"{times(ratio).text} smaller",), cell.value)


def _first_label(row: Row) -> Cell | None:
    if row.first_label_s is None:
        return None
    imports = () if row.import_share is None else (f"imports {row.import_share:.0%}",)
    return Cell(f"{row.first_label_s:.2f}", imports, row.first_label_s)


def _peak(row: Row) -> Cell | None:
    return None if row.peak_mb is None else _compared(fixed(0)(row.peak_mb), row.ratios.peak)


def _leak(row: Row) -> Cell | None:
    if row.leak is None:
        return None
    grown = round(row.leak.bytes_per_1000 * row.leak.calls / 1e9, 1) + 0.0  # never -0.0
    leaks = ("leaks",) if row.leak.leaks else ()
    return Cell(f"{grown:.1f}", (*leaks, f"{row.leak.calls:,} texts"), grown)


def _highest_throughput(row: Row) -> float | None:
    return max((found.median for found in row.texts_per_s.values()), default=None)


def _file_size(title: str, size: Callable[[Row], int | None]) -> Column[Row]:
    def megabytes(row: Row) -> float | None:
        found = size(row)
        return None if found is None else found / 1e6

    return Column.of(title, "MB", fixed(1), megabytes)


VARIANT: Column[Row] = Column(
    "variant", "", lambda row: Cell(marked(row.variant, row), (row.engine,)), brief=True
)
ACCURACY: Column[Row] = Column(
    "accuracy", "", lambda row: _scored(row.accuracy, row.accuracy_interval), brief=True
)
AGREEMENT: Column[Row] = Column("= fp32", "", _agreement, brief=True)
HIGHEST_THROUGHPUT: Column[Row] = Column.of("texts/s at best", "", count, _highest_throughput)
FIRST_LABEL: Column[Row] = Column("first label", "s", _first_label, missing=UNAVAILABLE, brief=True)
PEAK: Column[Row] = Column("peak", "MB", _peak, missing=UNAVAILABLE, brief=True)
MODEL_SIZE: Column[Row] = Column(
    "model",
    "MB",
    lambda row: _compared(fixed(1)(row.bytes / 1e6), row.ratios.bytes),
    brief=True,
)


def latency_column(scenario: str, *, brief: bool = False) -> Column[Row]:
    """Returns the column of a scenario's latencies, with ratios to the baseline."""

    def cell(row: Row) -> Cell | None:
        found = row.latency_ms.get(scenario)
        return None if found is None else milliseconds(found, row.ratios.latency.get(scenario))

    return Column(scenario_title(scenario), "ms", cell, brief=brief)


def scenarios(rows: Iterable[Row]) -> list[str]:
    """Returns the scenarios for which any row has a measurement."""
    return list(dict.fromkeys(name for row in rows for name in row.latency_ms))


def answer_columns(rows: Sequence[Row]) -> list[Column[Row]]:
    """Returns the columns of accuracy and latency."""
    found, compared = scenarios(rows), _compared_in(rows)
    lengths = [name for name in found if name.isdigit()]
    # The short table has three token counts: the fewest, the middle one and the most.
    brief = {"text", *lengths[:1], *lengths[len(lengths) // 2 :][:1], *lengths[-1:]}
    return [
        ACCURACY,
        Column("macro-F1", "", lambda row: _scored(row.macro_f1, row.macro_f1_interval)),
        Column.of("against baseline", "points", points, lambda row: row.against_baseline),
        AGREEMENT,
        *(latency_column(name, brief=name in brief) for name in found),
        Column.of(
            "times faster",
            "",
            times,
            lambda row: row.ratios.latency.get(compared),
            brief=True,
        ),
    ]


def _compared_in(rows: Sequence[Row]) -> str:
    """The scenario for "times faster": real texts if measured, else a fixed length."""
    found = scenarios(rows)
    return "text" if "text" in found else max(filter(str.isdigit, found), key=int, default="")


def cost_columns(rows: Sequence[Row]) -> list[Column[Row]]:
    """Returns the columns of throughput, memory, energy and size."""
    batches = dict.fromkeys(name for row in rows for name in row.texts_per_s)
    threads = dict.fromkeys(name for row in rows for name in row.threads_ms)
    return [
        *map(_throughput, batches),
        *map(_threads, threads),
        FIRST_LABEL,
        Column.of("load", "s", fixed(2), lambda row: row.load_s, missing=UNAVAILABLE),
        PEAK,
        Column.of("RSS", "MB", fixed(0), lambda row: row.rss_mb, missing=UNAVAILABLE),
        Column.of("PSS", "MB", fixed(0), lambda row: row.pss_mb, missing=UNAVAILABLE),
        Column("growth", "MB", _leak, missing=UNAVAILABLE),
        Column.of(
            "energy",
            "J per 1,000 texts",
            fixed(1),
            lambda row: row.joules_per_1000_texts,
            missing=UNAVAILABLE,
        ),
        MODEL_SIZE,
        _file_size("tokenizer", lambda row: row.tokenizer_bytes),
        _file_size("bundle", lambda row: row.bundle_bytes),
        _file_size("runtime", lambda row: row.runtime_bytes),
    ]


def _throughput(batch: str) -> Column[Row]:
    def speed(row: Row) -> float | None:
        found = row.texts_per_s.get(batch)
        return None if found is None else found.median

    return Column.of(f"batch {batch}", "texts/s", count, speed)


def _threads(number: str) -> Column[Row]:
    title = f"{number} thread{'s' * (number != '1')}"
    return Column.of(title, "ms", milliseconds, lambda row: row.threads_ms.get(number))


def bench_columns(rows: Sequence[Row]) -> list[Column[Row]]:
    """Returns all columns of the table, except the name of the variant."""
    return [*answer_columns(rows), *cost_columns(rows)]


def bench_notes(rows: Sequence[Row], record: Record, *, wide: bool) -> list[str]:
    """Returns the lines below the table, the machine last.

    Args:
        rows: The rows of the table.
        record: The record of the rows.
        wide: Whether the table has all columns.
    """
    notes = ["ms: p50 at batch 1. = fp32: same label as the bundle's fp32"]
    if scenario := _compared_in(rows):
        notes.append(f"times faster than {record.baseline}, {scenario_title(scenario)}")
    notes.append("★: no other variant is at least as accurate and as fast")
    if wide:
        notes += _wide_notes(rows, record)
    count_ = record.evaluation.texts
    texts = f"{count_:,} texts" if count_ else "no texts"
    threads = "1 thread" if record.threads == 1 else f"{record.threads} threads"
    return [*notes, f"{record.machine.cpu}, {threads}, {texts}"]


def _wide_notes(rows: Sequence[Row], record: Record) -> list[str]:
    columns = bench_columns(rows)
    left_out = [column.title for column in columns if column not in used(columns, rows)]
    notes = [
        "growth: of memory while that many texts were classified",
        "runtime: the engine and its libraries",
    ]
    batches = [str(batch) for batch in record.plan.batches]
    if any(row.texts_per_s for row in rows) and any(
        row.texts_per_s.get(batch) is None for row in rows for batch in batches
    ):
        notes.append(
            "no texts/s in batches: this model is run text by text, because its predictions "
            "would depend on the other texts of a batch"
        )
    if left_out:
        notes.append(f"unavailable: {', '.join(left_out)}")
    return notes
