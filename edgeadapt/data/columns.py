"""Check the column names of a table, and find a column by name."""

from collections.abc import Mapping, Sequence
from itertools import islice

from edgeadapt.errors import DataError
from edgeadapt.progress import SILENT, Progress

__all__ = ["check_column", "check_header", "column_called", "with_columns"]

_Rows = Sequence[Mapping[str, object]]

_ROWS_LOOKED_AT = 1_000
_WEB_PAGE = ("<!doctype html", "<html")
_MOST_WORDS = 4
"""Most words in the name of a column; a longer one looks like a text."""


def check_header(names: Sequence[str], where: str) -> None:
    """Checks the names of a table's columns.

    The first name may be empty, because pandas writes its index column without a name.

    Raises:
        DataError: Two columns have the same name, or one after the first has none.
    """
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(
            f"{where}: two columns are called {twice[0]!r}: expected different names, found "
            f"{', '.join(map(str, names))}.",
            hint="Rename or remove one of them.",
        )
    if "" in names[1:]:
        raise DataError(
            f"{where}: column {names.index('') + 1} has no name: found {', '.join(names)}.",
            hint="The first line names the columns. Check it for an extra comma at the end.",
        )


def check_column(rows: _Rows, column: str, where: str, *, option: str) -> None:
    """Checks that every row has a given column.

    Raises:
        DataError: A row lacks it; the hint names the ``option`` that selects the column.
    """
    for number, row in enumerate(rows, 1):
        if column not in row:
            place = f"{where}, row {number}" if number > 1 else where
            raise DataError(
                f"{place}: no column {column!r}: found {', '.join(map(str, row)) or 'none'}.",
                hint=_hint(rows, list(map(str, row)), option),
            )


def column_called(names: Sequence[str], wanted: str) -> str | None:
    """Returns the column with the wanted name, or else one that differs only in case or spaces."""
    if wanted in names:
        return wanted
    alike = [name for name in names if _folded(name) == _folded(wanted)]
    return alike[0] if len(alike) == 1 else None


def with_columns(
    rows: _Rows, wanted: Sequence[str], where: str, *, progress: Progress = SILENT
) -> _Rows:
    """Returns rows with columns renamed to the wanted names where only case or spaces differ.

    Args:
        rows: The rows of a file; the columns of the first row are used.
        wanted: Names of columns. One without a match is ignored here; ``check_column`` reports it.
        where: The file, for the message.
        progress: Receives a message for each renamed column.
    """
    names = [name for name in rows[0] if isinstance(name, str)] if rows else []
    renamed: dict[str, str] = {}
    for name in wanted:
        called = column_called(names, name)
        if called is not None and called not in wanted:
            renamed[called] = name
    if not renamed:
        return rows
    for original, name in renamed.items():
        progress.say(f"{where}: column {original!r} is read as {name!r}.")
    return [
        {
            key if renamed.get(key) in row else renamed.get(key, key): value
            for key, value in row.items()
        }
        for row in rows
    ]


def _hint(rows: _Rows, found: Sequence[str], option: str) -> str:
    if found and found[0].lstrip().lower().startswith(_WEB_PAGE):
        return "It is a web page: download the file itself, not the page about it."
    if len(found) == 1:
        for separator, name in ((";", "semicolons"), ("\t", "tabs"), ("|", "bars")):
            if separator in found[0]:
                return f"Its fields seem to be separated by {name}: expected commas."
    if _is_data(rows, found):
        return (
            "The first line names the columns, and this one looks like a row of data: put a line "
            f"such as text,label before it. {option} names another column."
        )
    return f"Name the column with {option}."


def _is_data(rows: _Rows, names: Sequence[str]) -> bool:
    """Whether a header looks like data: it contains a sentence, a number, or a value of a row."""
    if not all(isinstance(value, str) for value in rows[0].values()):
        return False  # not out of a file with a header
    named = [name for name in names if name]
    if any(len(name.split()) > _MOST_WORDS or _is_number(name) for name in named):
        return True
    return any(row.get(name) == name for row in islice(rows, _ROWS_LOOKED_AT) for name in named)


def _is_number(name: str) -> bool:
    try:
        float(name)
    except ValueError:
        return False
    return True


def _folded(name: str) -> str:
    return " ".join(name.casefold().split())
