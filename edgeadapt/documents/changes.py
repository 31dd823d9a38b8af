"""The columns of the table of ``edgeadapt compare``."""

from edgeadapt.benchmark.compare import Change
from edgeadapt.documents.cells import Cell, Column, growth, text

__all__ = ["CHANGES"]


def _figure(value: float) -> Cell:
    """Four significant digits, because the column mixes figures with different units."""
    return Cell(f"{value:.4g}", value=value)


def _interval(change: Change) -> Cell | None:
    if change.interval is None:
        return None
    low, high = (growth(end).text for end in change.interval)
    return Cell(f"{low} to {high}")


CHANGES: tuple[Column[Change], ...] = (
    Column.of("before", "", _figure, lambda change: change.before),
    Column.of("after", "", _figure, lambda change: change.after),
    Column.of("change", "", growth, lambda change: change.change),
    Column("95% interval", "", _interval),
    Column.of(
        "", "", text, lambda change: f"{change.verdict}{', too much' if change.fails else ''}"
    ),
)
