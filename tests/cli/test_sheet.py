"""Columns on a terminal: complete at every width."""

import io
from collections.abc import Callable

import pytest
from rich.cells import cell_len
from rich.console import Console

from edgeadapt.cli.sheet import sheet
from edgeadapt.documents.cells import Cell, Column, text

Row = tuple[str, str]
"""A name and a figure."""
NAMES: Column[Row] = Column.of("name", "", text, lambda row: row[0])
ROWS = (("first", "1.5"), ("second", "22.5"))


def figures(number: int) -> list[Column[Row]]:
    return [
        Column(f"size {n}", "MB", lambda row, n=n: Cell(f"{row[1]}{n}", (f"detail {n}",)))
        for n in range(number)
    ]


def drawn(width: int, *, columns: int = 2, rows: tuple[Row, ...] = ROWS, details: bool = False,
          group: Callable[[Row], str] | None = None) -> list[str]:  # fmt: skip
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(sheet(NAMES, figures(columns), rows, details=details, group=group))
    return console.file.getvalue().splitlines()


def test_figures_stand_below_their_headings_to_the_right() -> None:
    assert drawn(80) == [
        "         size   size",
        "            0      1",
        "name       MB     MB",
        "────────────────────",
        "first    1.50   1.51",
        "second  22.50  22.51",
    ]


@pytest.mark.parametrize(
    ("width", "last"), [(20, "second  22.50  22.51"), (18, "second 22.50 22.51")]
)
def test_columns_move_closer_before_the_table_is_split(width: int, last: str) -> None:
    lines = drawn(width)

    assert (lines[-1], len(lines)) == (last, 6)


@pytest.mark.parametrize("width", [12, 13, 20, 30, 41])
def test_what_does_not_fit_beside_goes_below_with_the_names_again(width: int) -> None:
    lines = drawn(width, columns=6)

    assert max(map(len, lines)) <= width
    for n in range(6):
        assert sum(f"1.5{n}" in line.split() for line in lines) == 1
        assert sum(f"22.5{n}" in line.split() for line in lines) == 1
    tables = sum(line.startswith("─") for line in lines)
    assert tables > 1
    assert sum(line.startswith("second") for line in lines) == tables


def test_details_stand_below_their_figure() -> None:
    lines = drawn(80, columns=1, details=True)

    assert [line.split() for line in lines[-4:]] == [
        ["first", "1.50"],
        ["detail", "0"],
        ["second", "22.50"],
        ["detail", "0"],
    ]


def test_rows_of_a_group_stand_below_its_name_which_widens_no_column() -> None:
    lines = drawn(80, columns=1, group=lambda row: "a name longer than any of the columns")

    assert lines[4] == "a name longer than any of the columns"
    assert lines[5].startswith("  first ")
    assert lines.count(lines[4]) == 1
    assert len(lines[3]) < len(lines[4])


def test_wide_characters_keep_the_columns_in_line() -> None:
    lines = drawn(80, columns=1, rows=(("映画", "1"), ("film", "2")))

    assert len({cell_len(line) for line in lines[-2:]}) == 1


def test_control_characters_are_shown_by_their_codes() -> None:
    lines = drawn(80, columns=1, rows=(("a\x1b[31m\nb", "1\u202e"),), group=lambda row: "g\r")

    assert [line.split() for line in lines[-2:]] == [["g\\r"], ["a\\x1b[31m\\nb", "1\\u202e0"]]
