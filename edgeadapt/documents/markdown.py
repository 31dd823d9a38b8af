"""Render columns as a Markdown table."""

from collections.abc import Sequence
from typing import TypeVar

from edgeadapt.documents.cells import Cell, Column
from edgeadapt.escape import markdown

__all__ = ["table"]

R = TypeVar("R")


def table(names: Column[R], columns: Sequence[Column[R]], rows: Sequence[R]) -> str:
    """Returns a table with one line per row; details of a cell follow in parentheses.

    Args:
        names: The first column, which names the rows.
        columns: The other columns.
        rows: The rows.
    """
    every = (names, *columns)
    header = [column.heading for column in every]
    lines = [[_in_one_line(column.cell(row)) for column in every] for row in rows]
    drawn = [header, ["---", *("---:" for _ in columns)], *lines]
    return "\n".join("| " + " | ".join(map(markdown, line)) + " |" for line in drawn)


def _in_one_line(cell: Cell) -> str:
    return f"{cell.text} ({', '.join(cell.details)})" if cell.details else cell.text
