"""Files of examples: CSV and JSON Lines become rows, and columns become CSV."""

import codecs
import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgeadapt.errors import DataError

__all__ = ["Rows", "check_column", "parse_jsonl", "read_json", "read_rows", "write_csv"]

Rows = Sequence[Mapping[str, Any]]
"""One mapping per example, column name -> value."""
_MAX_FIELD_CHARACTERS = 1 << 27


def read_rows(path: Path) -> Rows:
    """Reads the rows of a ``.csv`` or ``.jsonl`` file (UTF-8, with or without a BOM).

    Raises:
        DataError: The file is missing, empty, of another kind, or not UTF-8; the message names
            the row, counted from 1 without the header.
    """
    if path.suffix not in (".csv", ".jsonl"):
        raise DataError(
            f"{path}: expected a .csv or .jsonl file, found {path.suffix or 'no extension'!r}."
        )
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"{path} does not exist.") from None
    rows = _read_csv(raw, path) if path.suffix == ".csv" else parse_jsonl(raw, where=str(path))
    if not rows:
        raise DataError(f"{path} holds no examples: expected at least one row, found none.")
    return rows


def parse_jsonl(raw: bytes, *, where: str) -> Rows:
    """Reads JSON Lines: an object a line (UTF-8, with or without a BOM).

    Raises:
        DataError: A line is no JSON object or not UTF-8; the message names the row.
    """
    rows = []
    for number, line in enumerate(_lines(_decoded(raw, where, _line_rows)), 1):
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise DataError(f"{where}, row {number}: not valid JSON: {error}.") from None
        if not isinstance(row, dict):
            raise DataError(f"{where}, row {number}: expected an object, found {line[:40]!r}.")
        rows.append(row)
    return rows


def read_json(path: Path) -> Any:
    """Reads one JSON value.

    Raises:
        DataError: The file is not valid JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise DataError(f"{path} is not valid JSON: {error}.") from None


def write_csv(path: Path, columns: Mapping[str, Sequence[object]]) -> None:
    """Writes columns of equal length as CSV with a header."""
    with path.open("w", encoding="utf-8", newline="") as file:
        # All quoted, because the writer leaves a bare carriage return unquoted.
        writer = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))


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


def _read_csv(raw: bytes, path: Path) -> Rows:
    previous = csv.field_size_limit(_MAX_FIELD_CHARACTERS)
    try:
        text = _decoded(raw, str(path), _csv_rows)
        reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
        rows = list(reader)
    except csv.Error as error:
        raise DataError(f"{path}: not valid CSV: {error}.") from None
    finally:
        csv.field_size_limit(previous)
    for number, row in enumerate(rows, 1):
        if None in row or None in row.values():
            raise DataError(
                f"{path}, row {number}: expected {len(reader.fieldnames or ())} fields, as in the "
                "header, found another number.",
                hint='A text with a comma or a newline needs double quotes around it: "a, b".',
            )
    return rows


def _decoded(raw: bytes, where: str, count_rows: Any) -> str:
    raw = raw.removeprefix(codecs.BOM_UTF8)
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        # The character stands for the rest of the row in which decoding broke off.
        row = count_rows(raw[: error.start].decode("utf-8") + "x")
        place = f"row {row}" if row else "header"
        raise DataError(
            f"{where}, {place}: expected UTF-8, found the byte 0x{raw[error.start]:02x} that is "
            "not valid there.",
            hint="Convert the file, for example with: iconv -f latin1 -t utf-8",
        ) from None


def _csv_rows(text: str) -> int:
    """Number of rows in ``text``, the header and blank lines not counted."""
    return sum(1 for row in csv.reader(io.StringIO(text, newline="")) if row) - 1


def _line_rows(text: str) -> int:
    return len(_lines(text))


def _lines(text: str) -> list[str]:
    # Only newlines end a row: str.splitlines would also split at U+2028 inside a text.
    return [line for line in text.split("\n") if line.strip()]


def _column_hint(found: Sequence[str], option: str) -> str:
    if len(found) == 1:
        for separator, name in ((";", "semicolons"), ("\t", "tabs"), ("|", "bars")):
            if separator in found[0]:
                return f"Its fields seem to stand between {name}: expected commas."
    return f"Name the column with {option}."
