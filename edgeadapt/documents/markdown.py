"""Columns as a table in Markdown."""

from collections.abc import Sequence
from typing import TypeVar

from edgeadapt.documents.cells import Cell, Column
from edgeadapt.escape import markdown

__all__ = ["table"]

R = TypeVar("R")


def table(names: Column[R], columns: Sequence[Column[R]], rows: Sequence[R]) -> str:
    """Returns a table, one line a row; what belongs to a figure stands behind it.

    Args:
        names: What tells the rows apart.
        columns: Their figures.
        rows: One each.
    """
    every = (names, *columns)
    header = [column.heading for column in every]
    lines = [[_in_one_line(column.cell(row)) for column in every] for row in rows]
    drawn = [header, ["---", *("---:" for _ in columns)], *lines]
    return "\n".join("| " + " | ".join(map(markdown, line)) + " |" for line in drawn)


def _in_one_line(cell: Cell) -> str:
    return f"{cell.text} ({', '.join(cell.details)})" if cell.details else cell.text
