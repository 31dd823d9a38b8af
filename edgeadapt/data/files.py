"""Files of examples: CSV and JSON Lines become rows, and columns become CSV."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgeadapt.data.raw import MOST_CHARACTERS, MOST_ROWS, as_utf8, read_bytes
from edgeadapt.errors import DataError

__all__ = [
    "Rows",
    "check_column",
    "check_header",
    "check_rows",
    "is_table",
    "parse_jsonl",
    "parse_lines",
    "read_json",
    "read_rows",
    "write_csv",
]

Rows = Sequence[Mapping[str, object]]
"""One mapping per example, column name -> value."""

_QUOTES = (
    'A quote inside a quoted text is doubled, "he said ""no""", not escaped by a backslash; one '
    "that is never closed takes in the rows behind it."
)


_OTHER_TABLES = frozenset(
    [
        *(".json", ".tsv", ".parquet", ".arrow", ".feather", ".xls", ".xlsx", ".ods"),
        *(".gz", ".bz2", ".xz", ".zst", ".zip", ".tar"),
    ]
)


def is_table(path: Path) -> bool:
    """Returns whether ``read_rows`` reads files of this name; others hold a text a line.

    Raises:
        DataError: The name is that of another kind of table, whose lines are no texts.
    """
    suffix = path.suffix.lower()
    if suffix in _OTHER_TABLES:
        raise DataError(
            f"{path}: expected a .csv or .jsonl file, or a text a line, found {suffix!r}.",
            hint="Convert it to CSV or JSON Lines.",
        )
    return suffix in (".csv", ".jsonl")


def read_rows(path: Path) -> Rows:
    """Reads the rows of a ``.csv`` or ``.jsonl`` file.

    The text is UTF-8, or UTF-16 or UTF-32 with a byte order mark.

    Raises:
        DataError: The file is missing, empty, too large, no regular file, of another kind, or in
            another encoding; the message names the row, counted from 1 without the header.
    """
    suffix = path.suffix.lower()
    if suffix not in (".csv", ".jsonl"):
        raise DataError(
            f"{path}: expected a .csv or .jsonl file, found {path.suffix or 'no extension'!r}."
        )
    raw = read_bytes(path)
    rows = _read_csv(raw, str(path)) if suffix == ".csv" else parse_jsonl(raw, where=str(path))
    if not rows:
        raise DataError(f"{path} holds no examples: expected at least one row, found none.")
    return rows


def parse_jsonl(raw: bytes, *, where: str) -> Rows:
    """Reads JSON Lines: an object a line; encodings as ``read_rows``.

    Raises:
        DataError: A line is no JSON object, has a key twice, is too long or not UTF-8; the message
            names the row.
    """
    rows: list[Mapping[str, object]] = []
    for line in io.BytesIO(as_utf8(raw, where, lambda text: f"row {_count_lines(text)}")):
        # Only newlines end a row: str.splitlines would also split at U+2028 inside a text.
        if text := line.decode().strip():
            place = f"{where}, row {len(rows) + 1}"
            check_rows(len(rows) + 1, where)
            rows.append(_object(text, place))
    return rows


def parse_lines(raw: bytes, *, where: str) -> list[str]:
    """Reads a text a line, without the space around it; encodings as ``read_rows``.

    Raises:
        DataError: A line is too long or not UTF-8; the message gives its number.
    """
    utf8 = as_utf8(raw, where, lambda text: f"line {text.count(chr(10)) + 1}")
    lines = utf8.removesuffix(b"\n").split(b"\n") if utf8 else []
    for number, line in enumerate(lines, 1):
        _check_length(line, f"{where}, line {number}")
    # Files that were joined have byte order marks inside.
    return [line.decode("utf-8-sig").strip() for line in lines]


def read_json(path: Path) -> Any:
    """Reads one JSON value.

    Raises:
        DataError: The file is not valid JSON.
    """
    try:
        return _parsed(read_bytes(path).decode("utf-8-sig"))
    except ValueError as error:
        raise DataError(f"{path} is not valid JSON: {error}.") from None


def write_csv(path: Path, columns: Mapping[str, Sequence[object]]) -> None:
    """Writes columns of equal length as CSV with a header."""
    with path.open("w", encoding="utf-8", newline="") as file:
        # All quoted, because the writer leaves a bare carriage return unquoted.
        writer = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))


def check_header(names: Sequence[str], where: str) -> None:
    """Checks the names of a table's columns.

    The first may be empty, as pandas writes that of its index.

    Raises:
        DataError: Two columns have one name, or another than the first has none.
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
            hint="The first line names the columns. Is there a comma too many at its end?",
        )


def check_rows(count: int, where: str) -> None:
    """Checks that a table has no more rows than fit into memory.

    Raises:
        DataError: It has.
    """
    if count > MOST_ROWS:
        raise DataError(
            f"{where} has too many rows: expected at most {MOST_ROWS:,}.",
            hint="Split the file, or take a sample of it.",
        )


def check_column(rows: Rows, column: str, where: str, *, option: str) -> None:
    """Checks that every row has a column.

    Raises:
        DataError: One has not; the hint names the ``option`` that names the column.
    """
    for number, row in enumerate(rows, 1):
        if column not in row:
            place = f"{where}, row {number}" if number > 1 else where
            raise DataError(
                f"{place}: no column {column!r}: found {', '.join(map(str, row)) or 'none'}.",
                hint=_column_hint(list(map(str, row)), option),
            )


def _column_hint(found: Sequence[str], option: str) -> str:
    if len(found) == 1:
        for separator, name in ((";", "semicolons"), ("\t", "tabs"), ("|", "bars")):
            if separator in found[0]:
                return f"Its fields seem to stand between {name}: expected commas."
    return f"Name the column with {option}."


def _read_csv(raw: bytes, where: str) -> Rows:
    previous = csv.field_size_limit(MOST_CHARACTERS)
    try:
        utf8 = as_utf8(raw, where, _csv_place)
        stream = io.TextIOWrapper(io.BytesIO(utf8), encoding="utf-8", newline="")
        return _parsed_csv(stream, where)
    finally:
        csv.field_size_limit(previous)


def _parsed_csv(stream: io.TextIOWrapper, where: str) -> Rows:
    reader = csv.reader(stream, strict=True)
    header: list[str] | None = None
    rows: list[Mapping[str, object]] = []
    while True:
        line, number = reader.line_num + 1, len(rows) + 1
        try:
            fields = next(reader, None)
        except csv.Error as error:
            # The row in which parsing broke off is the one where the quote was opened.
            row = "header" if header is None else f"row {number}"
            raise DataError(
                f"{where}, {row}, which begins in line {line}: not valid CSV: {error}.",
                hint=_QUOTES,
            ) from None
        if fields is None:
            return rows
        if not fields:
            continue  # a blank line
        if header is None:
            header = fields
            check_header(header, where)
            continue
        if len(fields) != len(header):
            raise DataError(
                f"{where}, row {number}: expected {len(header)} fields, as in the header, found "
                f"{len(fields)}.",
                hint='A text with a comma or a newline needs double quotes around it: "a, b".',
            )
        check_rows(number, where)
        rows.append(dict(zip(header, fields, strict=True)))


def _csv_place(text: str) -> str:
    """The row in which a text ends, the header and blank lines not counted."""
    row = sum(1 for row in csv.reader(io.StringIO(text, newline="")) if row) - 1
    return f"row {row}" if row else "header"


def _count_lines(text: str) -> int:
    return sum(bool(line.strip()) for line in text.split("\n"))


class _DuplicateKeyError(ValueError):
    """An object has a key twice."""


def _object(text: str, place: str) -> Mapping[str, object]:
    _check_length(text, place)
    try:
        row = _parsed(text)
    except ValueError as error:
        raise DataError(f"{place}: not valid JSON: {error}.") from None
    if not isinstance(row, dict):
        raise DataError(f"{place}: expected an object, found {text[:40]!r}.")
    return row


def _parsed(text: str) -> Any:
    """Parses JSON that is not trusted.

    Raises:
        ValueError: It is not valid, has a key twice, or is nested too deeply.
    """
    try:
        return json.loads(text, object_pairs_hook=_unique)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except (json.JSONDecodeError, _DuplicateKeyError):
        raise
    except ValueError:  # the only other one: Python bounds the digits that it converts
        raise ValueError("a number in it has too many digits") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise _DuplicateKeyError(f"it has the key {twice[:80]!r} twice")
    return found


def _check_length(line: str | bytes, place: str) -> None:
    if len(line) > MOST_CHARACTERS:
        raise DataError(
            f"{place}: the line is too long: expected at most {MOST_CHARACTERS:,} characters, "
            f"found {len(line):,}.",
            hint="Is there a newline at the end of each line?",
        )
