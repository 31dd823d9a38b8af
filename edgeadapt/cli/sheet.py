"""Render columns on a terminal; columns that do not fit go into further tables below."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TypeVar

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.text import Text

from edgeadapt.documents.cells import Cell, Column
from edgeadapt.escape import terminal

__all__ = ["Sheet", "sheet"]

R = TypeVar("R")
_INDENT = "  "
_GAPS = (2, 1)
"""Spaces between columns; the narrower one is used where it avoids a second table."""


@dataclass(frozen=True)
class _Strip:
    """A column, or the names of the rows, as lines of text."""

    heading: tuple[str, ...]
    cells: tuple[tuple[str, ...], ...]
    """For every row: lines with the figure and its details."""

    @property
    def width(self) -> int:
        return max(cell_len(line) for lines in (self.heading, *self.cells) for line in lines)


@dataclass(frozen=True)
class Sheet:
    """A table that is split into several by columns if the terminal is too narrow."""

    names: _Strip
    columns: tuple[_Strip, ...]
    groups: tuple[tuple[str, int], ...]
    """``(heading, number of rows)``; an empty heading is not shown."""
    styles: tuple[str, ...]
    """Of every row."""

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        """Returns the width: at least the names and the widest column."""
        widest = max((column.width for column in self.columns), default=0)
        needed = max(
            self.names.width + min(_GAPS) + widest, *(cell_len(name) for name, _ in self.groups)
        )
        return Measurement(needed, max(needed, self._width(self.columns, max(_GAPS))))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Renders one table, or several below each other if the width requires it."""
        for number, (columns, gap) in enumerate(self._split(options.max_width)):
            if number:
                yield Text("")
            yield from self._table(columns, gap)

    def _width(self, columns: Sequence[_Strip], gap: int) -> int:
        return self.names.width + sum(gap + column.width for column in columns)

    def _split(self, width: int) -> Iterator[tuple[list[_Strip], int]]:
        for gap in _GAPS:
            if self._width(self.columns, gap) <= width:
                yield list(self.columns), gap
                return
        for gap in _GAPS:
            if all(self._width([column], gap) <= width for column in self.columns):
                break
        fitting: list[_Strip] = []
        for column in self.columns:
            if fitting and self._width([*fitting, column], gap) > width:
                yield fitting, gap
                fitting = []
            fitting.append(column)
        yield fitting, gap

    def _table(self, columns: Sequence[_Strip], gap: int) -> Iterator[Text]:
        def line(name: str, cells: Sequence[str], style: str = "") -> Text:
            shown = [_padded(name, self.names.width, left=True)]
            shown += [
                " " * gap + _padded(cell, column.width)
                for cell, column in zip(cells, columns, strict=True)
            ]
            # A line as wide as the terminal must not be wrapped or truncated.
            return Text("".join(shown).rstrip(), style, no_wrap=True, overflow="ignore")

        for name, headings in _lines(self.names.heading, [c.heading for c in columns], bottom=True):
            yield line(name, headings)
        yield Text("─" * self._width(columns, gap), no_wrap=True, overflow="ignore")
        row = 0
        for title, count in self.groups:
            if title:
                yield Text(title, no_wrap=True, overflow="ignore")
            for at in range(row, row + count):
                lines = _lines(self.names.cells[at], [column.cells[at] for column in columns])
                for number, (name, cells) in enumerate(lines):
                    yield line(name, cells, self.styles[at] if number == 0 else "dim")
            row += count


def sheet(
    names: Column[R],
    columns: Sequence[Column[R]],
    rows: Sequence[R],
    *,
    group: Callable[[R], str] | None = None,
    details: bool = False,
    style: Callable[[R], str] = lambda row: "",
) -> Sheet:
    """Returns a table for a terminal.

    Args:
        names: The first column, repeated where the table is split.
        columns: The other columns.
        rows: The rows.
        group: Returns the heading of a row; rows with the same heading must be adjacent.
        details: Whether details of a cell are printed below it.
        style: Returns the style of a row, for rich.
    """
    titles = ["" if group is None else terminal(group(row)) for row in rows]
    indent = "" if group is None else _INDENT
    named = [_lines_of(names.cell(row), details=details) for row in rows]
    return Sheet(
        _Strip((names.title,), tuple(tuple(indent + word for word in cell) for cell in named)),
        tuple(_strip(column, rows, details=details) for column in columns),
        tuple((title, len(list(same))) for title, same in groupby(titles)),
        tuple(map(style, rows)),
    )


def _strip(column: Column[R], rows: Sequence[R], *, details: bool) -> _Strip:
    cells = tuple(_lines_of(column.cell(row), details=details) for row in rows)
    return _Strip(_heading(column, max(cell_len(figure) for figure, *_ in cells)), cells)


def _heading(column: Column[R], width: int) -> tuple[str, ...]:
    """Wraps a title so that the column is as narrow as its figures; the unit is below."""
    words = column.title.split()
    width = max(width, *map(cell_len, words)) if words else width
    lines: list[str] = []
    for word in words:
        if lines and cell_len(f"{lines[-1]} {word}") <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return (*lines, *column.unit.split())


def _lines_of(cell: Cell, *, details: bool) -> tuple[str, ...]:
    return tuple(map(terminal, (cell.text, *(cell.details if details else ()))))


def _lines(
    name: Sequence[str], cells: Sequence[Sequence[str]], *, bottom: bool = False
) -> Iterator[tuple[str, list[str]]]:
    """Joins cells of several lines horizontally."""
    height = max(len(name), *map(len, cells)) if cells else len(name)

    def filled(lines: Sequence[str]) -> list[str]:
        empty = [""] * (height - len(lines))
        return [*empty, *lines] if bottom else [*lines, *empty]

    columns = [filled(lines) for lines in (name, *cells)]
    for one in zip(*columns, strict=True):
        yield one[0], list(one[1:])


def _padded(text: str, width: int, *, left: bool = False) -> str:
    space = " " * (width - cell_len(text))
    return text + space if left else space + text
