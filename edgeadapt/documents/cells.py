"""What a table shows, whoever writes it: columns, the cells that they make, and how figures look.

A table is a list of columns; each makes one cell of a row. The terminal, Markdown and HTML write
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
    """What belongs to the figure, such as a higher percentile or a ratio; left out in one line."""
    value: float | None = None
    """The figure itself, for pages that sort or check; ``None`` for text and without a figure."""


NOT_MEASURED = Cell("–")
UNAVAILABLE = Cell("unavailable")
"""What this machine cannot tell."""


@dataclass(frozen=True)
class Column(Generic[R]):
    """One figure of every row."""

    title: str
    """The figure's name, in a few words."""
    unit: str
    """Of the figure; empty for text, and where the format writes it."""
    make: Callable[[R], Cell | None]
    """A row's cell; ``None`` where the row has no such figure."""
    missing: Cell = NOT_MEASURED
    """What is shown then."""
    brief: bool = False
    """Whether it belongs to the short table; the long one has every column."""

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
        """Returns a column of one value, written in one of the formats below."""

        def make(row: R) -> Cell | None:
            found = value(row)
            return None if found is None else shown(found)

        return cls(title, unit, make, missing, brief)

    def cell(self, row: R) -> Cell:
        """Returns what is shown of a row."""
        return self.make(row) or self.missing

    @property
    def heading(self) -> str:
        """The title with its unit, in one line."""
        return f"{self.title}, {self.unit}" if self.unit else self.title


def used(columns: Iterable[Column[R]], rows: Sequence[R]) -> list[Column[R]]:
    """Returns the columns in which some row has a figure or a text."""
    return [column for column in columns if any(column.make(row) for row in rows)]


def share(value: float, interval: Interval | None = None) -> Cell:
    """Writes a share of 1 in percent, with half the width of its 95 % interval in points."""
    return Cell(f"{value:.1%}{_half(interval)}", value=value)


def accuracy(value: float, texts: int) -> Cell:
    """Writes an accuracy with the interval that follows from the number of texts."""
    return share(value, wilson_interval(value, texts))


def _half(interval: Interval | None) -> str:
    return "" if interval is None else f" ±{50 * (interval[1] - interval[0]):.1f}"


def points(found: Difference) -> Cell:
    """Writes a difference of two shares in percentage points, with its p value."""
    return Cell(f"{100 * found.points:+.1f}", (f"p {found.p_value:.2f}",), found.points)


def milliseconds(found: Latency, ratio: float | None = None) -> Cell:
    """Writes p50, with its interval, the higher percentiles and how many times faster it is.

    Args:
        found: Percentiles.
        ratio: The baseline's p50 over this one.
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
    """Writes how many times faster or smaller something is."""
    return Cell(f"{ratio:.2f}×", value=ratio)


def growth(change: float) -> Cell:
    """Writes a relative change, in percent of what was before."""
    return Cell(f"{change:+.1%}", value=change)


def fixed(digits: int) -> Callable[[float], Cell]:
    """Returns a format with as many decimals: megabytes of files (1) and of memory (0), seconds."""
    return lambda value: Cell(f"{value:,.{digits}f}", value=value)


def count(value: float) -> Cell:
    """Writes a whole number, or one so large that decimals would say nothing."""
    return Cell(f"{value:,.0f}", value=value)


def text(value: object) -> Cell:
    """Writes anything else; whoever writes a document makes it inert there."""
    return Cell(str(value))
