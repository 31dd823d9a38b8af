"""The benchmark table as CSV and Markdown."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from edgeadapt.benchmark.noise import disturbances
from edgeadapt.benchmark.rows import Row
from edgeadapt.documents.benchmark import (
    ACCURACY,
    AGREEMENT,
    FIRST_LABEL,
    HIGHEST_THROUGHPUT,
    MODEL_SIZE,
    PEAK,
    latency_column,
    marked,
    scenarios,
)
from edgeadapt.documents.cells import Cell, Column, text
from edgeadapt.escape import csv_cell, markdown
from edgeadapt.store.record import Record

__all__ = ["csv_of", "markdown_of"]


def csv_of(rows: Sequence[Row]) -> str:
    """Returns all figures as CSV; column names are paths such as ``latency_ms.16.p50``."""
    lines = [_flat(asdict(row)) for row in rows]
    lines = [{name: _csv(value) for name, value in line.items()} for line in lines]
    names = dict.fromkeys(name for line in lines for name in line)
    # ``None`` instead of nested values in some rows must not become an additional column.
    columns = [name for name in names if not any(one.startswith(f"{name}.") for one in names)]
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, columns, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    writer.writerows(lines)
    return buffer.getvalue()


def markdown_of(rows: Sequence[Row], record: Record) -> str:
    """Returns a Markdown table for a README, followed by notes on the measurement."""
    columns = (
        Column[Row].of("model", "", text, lambda row: marked(row.name, row)),
        ACCURACY,
        AGREEMENT,
        *map(latency_column, scenarios(rows)),
        HIGHEST_THROUGHPUT,
        FIRST_LABEL,
        PEAK,
        MODEL_SIZE,
    )
    header = [column.heading for column in columns]
    lines = [[_in_one_line(column.cell(row)) for column in columns] for row in rows]
    table = [header, ["---", *("---:" for _ in header[1:])], *lines]
    drawn = "\n".join("| " + " | ".join(map(markdown, line)) + " |" for line in table)
    notes = "".join(f"- {markdown(note)}\n" for note in disturbances(record))
    machine = (
        f"{record.machine.cpu}, {record.threads} threads, {record.evaluation.texts:,} texts, "
        f"edgeadapt {record.edgeadapt}, {record.created[:10]}"
    )
    return (
        f"{drawn}\n\nms: p50 at batch 1. ×: compared with {markdown(record.baseline)}. "
        f"★: no other variant is at least as accurate and as fast. {markdown(machine)}.\n"
        + (f"\n{notes}" if notes else "")
    )


def _in_one_line(cell: Cell) -> str:
    return f"{cell.text} ({', '.join(cell.details)})" if cell.details else cell.text


def _csv(value: object) -> object:
    return csv_cell(value) if isinstance(value, str) else value


def _flat(values: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    found: dict[str, object] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{prefix}{name}.")
        elif isinstance(value, tuple):
            found |= _flat(dict(zip(("low", "high"), value, strict=True)), f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = value
    return found
