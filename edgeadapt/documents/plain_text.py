"""The table as text that other programs and pages take: CSV and Markdown."""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from edgeadapt.bench.noise import disturbances
from edgeadapt.bench.rows import Row
from edgeadapt.escape import csv_cell, markdown
from edgeadapt.measure.statistics import Interval, Latency
from edgeadapt.record import Record, scenario_title

__all__ = ["csv_of", "markdown_of"]


def csv_of(rows: Sequence[Row]) -> str:
    """Returns every figure, a line per row; a column is a path such as ``latency_ms.16.p50``."""
    lines = [_flat(row.to_dict()) for row in rows]
    lines = [{name: _csv(value) for name, value in line.items()} for line in lines]
    names = dict.fromkeys(name for line in lines for name in line)
    # A row without a value where others have several has no column for it alone.
    columns = [name for name in names if not any(one.startswith(f"{name}.") for one in names)]
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue()


def markdown_of(rows: Sequence[Row], record: Record) -> str:
    """Returns a table for a README, with what it was measured on below."""
    scenarios = list(dict.fromkeys(name for row in rows for name in row.latency_ms))
    header = (
        "model", "accuracy", "= fp32", *(f"{scenario_title(name)}, ms" for name in scenarios),
        "texts/s at best", "first label, s", "peak, MB", "model, MB",
    )  # fmt: skip
    lines = [
        (
            f"{row.name}{' ★' if row.is_pareto else ''}",
            _share(row.accuracy, row.accuracy_interval),
            "–" if row.agreement is None else f"{row.agreement:.1%}",
            *(_times(row.latency_ms.get(n), row.ratios.latency.get(n)) for n in scenarios),
            _fastest(row),
            _number(row.first_label_s, 2),
            _number(row.peak_mb, 0),
            f"{row.bytes / 1e6:.1f}",
        )
        for row in rows
    ]
    table = [header, ["---", *("---:" for _ in header[1:])], *lines]
    drawn = "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in table)
    notes = "".join(f"- {markdown(note)}\n" for note in disturbances(record))
    machine = (
        f"{record.machine['cpu']}, {record.threads} threads, {record.evaluation['texts']:,} texts, "
        f"edgeadapt {record.edgeadapt}, {record.created[:10]}"
    )
    return (
        f"{drawn}\n\np50 / p90 at batch 1, and how many times as fast as "
        f"{markdown(record.baseline)}; ★: no other is at least as accurate and as fast. "
        f"{markdown(machine)}.\n" + (f"\n{notes}" if notes else "")
    )


def _csv(value: Any) -> Any:
    return csv_cell(value) if isinstance(value, str) else value


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{prefix}{name}.")
        elif isinstance(value, tuple):
            found |= _flat(dict(zip(("low", "high"), value, strict=True)), f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = value
    return found


def _times(found: Latency | None, ratio: float | None) -> str:
    if found is None:
        return "–"
    p90 = "insufficient" if found.p90 is None else f"{found.p90:.2f}"
    return f"{found.p50:.2f} / {p90}" + ("" if ratio is None else f" ({ratio:.2f} ×)")


def _share(value: float | None, interval: Interval | None) -> str:
    if value is None or interval is None:
        return "–"
    return f"{value:.1%} ({100 * interval[0]:.1f} to {100 * interval[1]:.1f})"


def _number(value: float | None, digits: int) -> str:
    return "unavailable" if value is None else f"{value:.{digits}f}"


def _fastest(row: Row) -> str:
    speeds = [found.median for found in row.texts_per_s.values()]
    return f"{max(speeds):,.0f}" if speeds else "–"


def _cell(text: str) -> str:
    return markdown(text)
