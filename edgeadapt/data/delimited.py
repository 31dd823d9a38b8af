"""Fields between commas, semicolons or tabs: which of them a file uses, and its rows."""

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from edgeadapt.data.columns import check_header
from edgeadapt.data.raw import MOST_CHARACTERS, MOST_ROWS, as_utf8
from edgeadapt.errors import DataError

__all__ = ["check_rows", "parse_delimited"]

_QUOTES = (
    'A quote inside a quoted text is doubled, "he said ""no""", not escaped by a backslash; one '
    "that is never closed takes in the rows behind it."
)
_OTHER_SEPARATORS = ";\t"
"""What spreadsheets write in place of the comma, where a comma stands before decimals."""
_NAMES = {",": ("a comma", "a, b"), ";": ("a semicolon", "a; b"), "\t": ("a tab", "a <tab> b")}
"""Each separator in words, and a text that holds it."""
_SEPARATOR_LINE = re.compile(rb'"?sep=([,;\t])"?\r?\n', re.IGNORECASE)
"""A first line that spreadsheets write and read: it names the separator."""

_Rows = Sequence[Mapping[str, object]]


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


def parse_delimited(raw: bytes, where: str, *, tabs: bool = False) -> _Rows:
    """Reads a table whose first line names the columns.

    Its fields stand between commas or, where the header has none but one of these, between
    semicolons or tabs.

    Args:
        raw: The bytes of the file.
        where: The file, for messages.
        tabs: Whether the file's name says that its fields stand between tabs.

    Raises:
        DataError: A row has another number of fields than the header, a quote is broken, or the
            text is not UTF-8; the message names the row.
    """
    previous = csv.field_size_limit(MOST_CHARACTERS)
    try:
        utf8 = as_utf8(raw, where, _place)
        separator = "\t" if tabs else None
        if line := _SEPARATOR_LINE.match(utf8):
            utf8, separator = utf8[line.end() :], line[1].decode()
        return _parse(utf8, separator or _separator_of(utf8), where)
    finally:
        csv.field_size_limit(previous)


def _parse(utf8: bytes, separator: str, where: str) -> _Rows:
    if separator != "\t" or b'"' not in utf8:
        return list(_rows(utf8, separator, where))
    # Spreadsheets put quotes around a field, most other programs that write tabs know none: there
    # a text that begins with a quote would take in the rows behind it.
    try:
        quoted = list(_rows(utf8, separator, where))
        if not any(mark in field for row in quoted for field in row.values() for mark in "\t\n\r"):
            return quoted
        broken = None
    except DataError as error:
        quoted, broken = [], error
    try:
        return list(_rows(utf8, separator, where, quoting=csv.QUOTE_NONE))
    except DataError as error:
        if broken is not None:
            raise error from None
        return quoted


def _separator_of(utf8: bytes) -> str:
    """The separator that the header uses."""
    try:
        if len(_header(utf8, ",")) > 1:
            return ","
        for separator in _OTHER_SEPARATORS:
            if len(_header(utf8, separator)) > 1:
                return separator
    except csv.Error:
        pass  # whoever reads it says where it breaks
    return ","


def _header(utf8: bytes, separator: str) -> Sequence[str]:
    reader = csv.reader(_stream(utf8), strict=True, delimiter=separator)
    return next(filter(None, reader), ())


def _rows(
    utf8: bytes, separator: str, where: str, *, quoting: Literal[0, 3] = csv.QUOTE_MINIMAL
) -> Iterator[Mapping[str, str]]:
    reader = csv.reader(_stream(utf8), strict=True, delimiter=separator, quoting=quoting)
    header: list[str] | None = None
    number = 1
    while True:
        line = reader.line_num + 1
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
            return
        if not fields:
            continue  # a blank line
        if header is None:
            header = fields
            check_header(header, where)
            continue
        if len(fields) != len(header):
            raise _other_fields(f"{where}, row {number}", len(header), len(fields), separator)
        check_rows(number, where)
        yield dict(zip(header, fields, strict=True))
        number += 1


def _other_fields(place: str, expected: int, found: int, separator: str) -> DataError:
    name, example = _NAMES[separator]
    return DataError(
        f"{place}: expected {expected} fields, as in the header, found {found}.",
        hint=f'A text with {name} or a newline needs double quotes around it: "{example}".',
    )


def _stream(utf8: bytes) -> io.TextIOWrapper:
    """Decodes little by little: the text of a large file takes up to four times its bytes."""
    return io.TextIOWrapper(io.BytesIO(utf8), encoding="utf-8", newline="")


def _place(text: str) -> str:
    """The row in which a text ends, the header and blank lines not counted."""
    row = sum(1 for row in csv.reader(io.StringIO(text, newline="")) if row) - 1
    return f"row {row}" if row else "header"
