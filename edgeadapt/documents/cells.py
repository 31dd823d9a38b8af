"""Columns, cells and number formats of tables, independent of the output format.

A table is a list of columns; each column makes one cell of a row. Terminal, Markdown and HTML use
the same cells, so that a figure looks the same in all of them.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from edgeadapt.measure.statistics import Interval, Latency
from edgeadapt.metrics import Difference, wilson_interval

__all__ = [
    "NOT_MEASURED",
    "UNAVAILABLE",
    "Cell",
    "Column",
    "accuracy",
    "count",
    "fixed",
    "growth",
    "milliseconds",
    "points",
    "share",
    "text",
    "times",
    "used",
]

R = TypeVar("R")
V = TypeVar("V")


@dataclass(frozen=True)
class Cell:
    """One figure as it is shown."""

    text: str
    details: tuple[str, ...] = ()
    """Additional values, such as a higher percentile or a ratio; omitted in compact tables."""
    value: float | None = None
    """The number, for pages that sort or check; ``None`` for text and empty cells."""


NOT_MEASURED = Cell("–")
UNAVAILABLE = Cell("unavailable")
"""Text of a cell whose figure cannot be measured on this machine."""


@dataclass(frozen=True)
class Column(Generic[R]):
    """A column of a table."""

    title: str
    """Name of the figure."""
    unit: str
    """Unit of the figure; empty for text, and where the format writes the unit."""
    make: Callable[[R], Cell | None]
    """Returns the cell of a row; ``None`` where the row has no such figure."""
    missing: Cell = NOT_MEASURED
    """Cell for rows without the figure."""
    brief: bool = False
    """Whether the column is in the short table; the wide one has all columns."""

    @classmethod
    def of(
        cls,
        title: str,
        unit: str,
        shown: Callable[[V], Cell],
        value: Callable[[R], V | None],
        *,
        missing: Cell = NOT_MEASURED,
        brief: bool = False,
    ) -> "Column[R]":
        """Returns a column of single values, in one of the formats below."""

        def make(row: R) -> Cell | None:
            found = value(row)
            return None if found is None else shown(found)

        return cls(title, unit, make, missing, brief)

    def cell(self, row: R) -> Cell:
        """Returns the cell of a row, or the one for a missing figure."""
        return self.make(row) or self.missing

    @property
    def heading(self) -> str:
        """The title with its unit, in one line."""
        return f"{self.title}, {self.unit}" if self.unit else self.title


def used(columns: Iterable[Column[R]], rows: Sequence[R]) -> list[Column[R]]:
    """Returns the columns that are not empty in all rows."""
    return [column for column in columns if any(column.make(row) for row in rows)]


def share(value: float, interval: Interval | None = None) -> Cell:
    """Formats a share (0 to 1) in percent, with half the width of its 95 % interval in points."""
    return Cell(f"{value:.1%}{_half(interval)}", value=value)


def accuracy(value: float, texts: int) -> Cell:
    """Writes an accuracy with the interval that follows from the number of texts."""
    return share(value, wilson_interval(value, texts))


def _half(interval: Interval | None) -> str:
    return "" if interval is None else f" ±{50 * (interval[1] - interval[0]):.1f}"


def points(found: Difference) -> Cell:
    """Formats a difference of two shares in percentage points, with its p-value."""
    return Cell(f"{100 * found.points:+.1f}", (f"p {found.p_value:.2f}",), found.points)


def milliseconds(found: Latency, ratio: float | None = None) -> Cell:
    """Formats p50, with its interval, higher percentiles and the ratio to the baseline.

    Args:
        found: The percentiles.
        ratio: p50 of the baseline divided by this one.
    """
    p90 = "insufficient" if found.p90 is None else f"{found.p90:.2f}"
    details = [f"p90 {p90}"]
    if found.p50_interval is not None:
        low, high = found.p50_interval
        details.insert(0, f"±{(high - low) / 2 / found.p50:.0%}")
    if found.p99 is not None:
        details.append(f"p99 {found.p99:.2f}")
    if ratio is not None:
        details.append(times(ratio).text)
    return Cell(f"{found.p50:.2f}", tuple(details), found.p50)


def times(ratio: float) -> Cell:
    """Formats a ratio, such as times faster or smaller."""
    return Cell(f"{ratio:.2f}×", value=ratio)


def growth(change: float) -> Cell:
    """Formats a relative change in percent of the earlier value."""
    return Cell(f"{change:+.1%}", value=change)


def fixed(digits: int) -> Callable[[float], Cell]:
    """Returns a format with a fixed number of decimals, such as 1 for sizes of files in MB."""
    return lambda value: Cell(f"{value:,.{digits}f}", value=value)


def count(value: float) -> Cell:
    """Formats a number without decimals."""
    return Cell(f"{value:,.0f}", value=value)


def text(value: object) -> Cell:
    """Formats any other value, unescaped: the writer of the document escapes it."""
    return Cell(str(value))
