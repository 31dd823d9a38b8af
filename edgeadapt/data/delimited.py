"""Read tables separated by commas, semicolons or tabs, and detect the separator."""

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
    'Double a quote inside a quoted text, "he said ""no""", instead of escaping it by a backslash; '
    "a quote that is never closed also swallows the rows after it."
)
_OTHER_SEPARATORS = ";\t"
"""Separator that spreadsheets write in locales with a decimal comma."""
_NAMES = {",": ("a comma", "a, b"), ";": ("a semicolon", "a; b"), "\t": ("a tab", "a <tab> b")}
"""Separator -> its name, and an example of a text that contains it."""
_SEPARATOR_LINE = re.compile(rb'"?sep=([,;\t])"?\r?\n', re.IGNORECASE)
"""Start of an optional first line by which spreadsheets declare the separator."""

_Rows = Sequence[Mapping[str, object]]


def check_rows(count: int, where: str) -> None:
    """Checks that a table has no more rows than fit into memory.

    Raises:
        DataError: It has more.
    """
    if count > MOST_ROWS:
        raise DataError(
            f"{where} has too many rows: expected at most {MOST_ROWS:,}.",
            hint="Split the file, or take a sample of it.",
        )


def parse_delimited(raw: bytes, where: str, *, tabs: bool = False) -> _Rows:
    """Reads a table whose first line names the columns.

    Fields are separated by commas or, where the header has no comma, by semicolons or tabs.

    Args:
        raw: The bytes of the file.
        where: The file, for messages.
        tabs: Whether the suffix of the file says that its fields are separated by tabs.

    Raises:
        DataError: A row has a different number of fields than the header, a quote is broken, or the
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
    # Spreadsheets quote fields of tab-separated files, most other programs do not: with quoting
    # on, a text of theirs that begins with a quote would swallow the rows after it.
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
    """The separator of the header."""
    try:
        if len(_header(utf8, ",")) > 1:
            return ","
        for separator in _OTHER_SEPARATORS:
            if len(_header(utf8, separator)) > 1:
                return separator
    except csv.Error:
        pass  # reported with its place when the rows are read
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
            # The parser fails at the end of the file; the cause is the row that opened the quote.
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
        hint=f'Put double quotes around a text that contains {name} or a newline: "{example}".',
    )


def _stream(utf8: bytes) -> io.TextIOWrapper:
    """Decodes as a stream, because the text of a whole file takes up to four times its bytes."""
    return io.TextIOWrapper(io.BytesIO(utf8), encoding="utf-8", newline="")


def _place(text: str) -> str:
    """The number of the row in which a text ends, without header and blank lines."""
    row = sum(1 for row in csv.reader(io.StringIO(text, newline="")) if row) - 1
    return f"row {row}" if row else "header"
