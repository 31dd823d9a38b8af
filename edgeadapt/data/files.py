"""Read rows of examples from CSV, TSV and JSON files, and write CSV."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from edgeadapt.data.delimited import parse_delimited
from edgeadapt.data.json_rows import check_length, parse_json_rows
from edgeadapt.data.raw import as_utf8, read_bytes
from edgeadapt.errors import DataError

__all__ = [
    "TABLES",
    "Rows",
    "is_table",
    "other_kind",
    "parse_lines",
    "read_rows",
    "write_csv",
]

Rows = Sequence[Mapping[str, object]]
"""One mapping per example, column name -> value."""

TABLES = (".csv", ".tsv", ".jsonl", ".ndjson", ".json")
"""Suffixes of the files that ``read_rows`` reads."""
_SPREADSHEETS = (".xls", ".xlsx", ".ods")
_UNPACK = {
    ".gz": "gunzip --keep",
    ".bz2": "bunzip2 --keep",
    ".xz": "unxz --keep",
    ".zst": "unzstd",
    ".zip": "unzip",
    ".tar": "tar --extract --file",
    ".tgz": "tar --extract --file",
}
_OTHER_TABLES = frozenset([".parquet", ".arrow", ".feather", *_SPREADSHEETS, *_UNPACK])


def is_table(path: Path) -> bool:
    """Returns whether ``read_rows`` reads files with this suffix; others hold one text per line.

    Raises:
        DataError: The suffix is that of an unsupported table format.
    """
    if path.suffix.lower() in _OTHER_TABLES:
        raise other_kind(path, (*TABLES, "or .txt"))
    return path.suffix.lower() in TABLES


def other_kind(path: Path, expected: Sequence[str] = TABLES) -> DataError:
    """Returns the error for a file whose suffix is not that of a supported table.

    Args:
        path: The file.
        expected: The supported suffixes.
    """
    suffix = path.suffix.lower()
    hint = "Convert it to CSV or JSON Lines."
    if suffix in _UNPACK:
        hint = f"It is compressed: unpack it, for example with: {_UNPACK[suffix]} {path.name}"
    elif suffix in _SPREADSHEETS:
        hint = "It is a spreadsheet: save the sheet as CSV (UTF-8)."
    return DataError(
        f"{path}: expected a {', '.join(expected)} file, found {suffix or 'no extension'!r}.",
        hint=hint,
    )


def read_rows(path: Path, *, pipes: bool = False) -> Rows:
    """Reads the rows of a file of ``TABLES``.

    The text is UTF-8, or UTF-16 or UTF-32 with a byte order mark.

    Args:
        path: The file.
        pipes: Whether a pipe is accepted too.

    Raises:
        DataError: The file is missing, empty, too large, no regular file, of another kind, or in
            another encoding; the message names the row, counted from 1 without the header.
    """
    suffix, where = path.suffix.lower(), str(path)
    if suffix not in TABLES:
        raise other_kind(path)
    raw = read_bytes(path, pipes=pipes)
    if suffix in (".csv", ".tsv"):
        rows = parse_delimited(raw, where, tabs=suffix == ".tsv")
    else:
        rows = parse_json_rows(raw, where=where)
    if not rows:
        raise DataError(f"{path} holds no examples: expected at least one row, found none.")
    if suffix == ".json" and _is_one_object(rows):
        raise DataError(
            f"{path}: expected a list of objects, or an object a line, found one object with "
            f"{', '.join(rows[0])}.",
            hint='Write its rows, such as [{"text": …, "label": …}, …]; pandas does with '
            "orient='records'.",
        )
    return rows


def parse_lines(raw: bytes, *, where: str) -> list[str]:
    """Reads one text per line, without surrounding white space; encodings as in ``read_rows``.

    Raises:
        DataError: A line is too long or not UTF-8; the message gives its number.
    """
    utf8 = as_utf8(raw, where, lambda text: f"line {text.count(chr(10)) + 1}")
    lines = utf8.removesuffix(b"\n").split(b"\n") if utf8 else []
    for number, line in enumerate(lines, 1):
        check_length(line, f"{where}, line {number}")
    # Concatenated files have byte order marks inside.
    return [line.decode("utf-8-sig").strip() for line in lines]


def write_csv(path: Path, columns: Mapping[str, Sequence[object]]) -> None:
    """Writes columns of equal length as CSV with a header."""
    with path.open("w", encoding="utf-8", newline="") as file:
        # All quoted, because the writer leaves a bare carriage return unquoted.
        writer = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))


def _is_one_object(rows: Rows) -> bool:
    """Whether a file holds one object that wraps its rows or columns."""
    return len(rows) == 1 and all(isinstance(value, dict | list) for value in rows[0].values())
