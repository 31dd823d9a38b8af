"""Read untrusted JSON: one object per line, a list of objects, or a single value."""

import io
import json
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from edgeadapt.data.delimited import check_rows
from edgeadapt.data.raw import MOST_CHARACTERS, as_utf8, read_bytes
from edgeadapt.errors import DataError

__all__ = ["check_length", "parse_json_rows", "parse_jsonl", "read_json"]

_Rows = Sequence[Mapping[str, object]]

_MOST_SPACE = 4_096
"""Most bytes of white space that are skipped before the first character of a file."""
_SPACE = re.compile(r"\s*", re.ASCII)
_NO_ROWS = "Expected a list of objects, or an object a line."


def parse_json_rows(raw: bytes, *, where: str) -> _Rows:
    """Reads a JSON list of objects, or JSON Lines; the first character decides which.

    Raises:
        DataError: A row is not an object, has a key twice, is too long or not UTF-8; the message
            names the row.
    """
    utf8 = as_utf8(raw, where, _place)
    if utf8[:_MOST_SPACE].lstrip().startswith(b"["):
        return _parse_list(utf8.decode(), where)
    return _parse_lines(utf8, where)


def parse_jsonl(raw: bytes, *, where: str) -> _Rows:
    """Reads JSON Lines: one object per line; encodings as in ``read_rows``.

    Raises:
        DataError: A line is not a JSON object, has a key twice, is too long or not UTF-8; the
            message names the row.
    """
    return _parse_lines(as_utf8(raw, where, _place), where)


def read_json(path: Path) -> Any:
    """Reads one JSON value.

    Raises:
        DataError: The file is not valid JSON.
    """
    try:
        return _parsed(_DECODER.decode, read_bytes(path).decode("utf-8-sig"))
    except ValueError as error:
        raise DataError(f"{path} is not valid JSON: {error}.") from None


def check_length(line: str | bytes, place: str) -> None:
    """Checks that a line is no longer than a text may be.

    Raises:
        DataError: It is.
    """
    if len(line) > MOST_CHARACTERS:
        raise DataError(
            f"{place}: the line is too long: expected at most {MOST_CHARACTERS:,} characters, "
            f"found {len(line):,}.",
            hint="Check that each row ends with a newline.",
        )


def _parse_lines(utf8: bytes, where: str) -> _Rows:
    rows: list[Mapping[str, object]] = []
    for line in io.BytesIO(utf8):
        # Only newlines end a row: str.splitlines would also split at U+2028 inside a text.
        if text := line.decode().strip():
            place = f"{where}, row {len(rows) + 1}"
            check_rows(len(rows) + 1, where)
            check_length(text, place)
            try:
                value = _parsed(_DECODER.decode, text)
            except ValueError as error:
                raise DataError(f"{place}: not valid JSON: {error}.", hint=_NO_ROWS) from None
            rows.append(_object(value, text, place))
    return rows


def _parse_list(text: str, where: str) -> _Rows:
    """Reads a list object by object, to enforce the limit of rows before all are in memory."""
    rows: list[Mapping[str, object]] = []
    start, at, part = text.index("[") + 1, 0, ""
    while True:
        if len(part) - at < MOST_CHARACTERS and start + len(part) < len(text):
            start += at
            part, at = text[start : start + 2 * MOST_CHARACTERS], 0
        place = f"{where}, row {len(rows) + 1}"
        at = _after_space(part, at)
        if part[at : at + 1] == "]" and not text[start + at + 1 :].strip():
            return rows
        if rows:
            if part[at : at + 1] != ",":
                raise DataError(
                    f"{place}: not valid JSON: expected a comma, or the end of the list and of the "
                    f"file, found {part[at : at + 40]!r}.",
                    hint=_NO_ROWS,
                )
            at = _after_space(part, at + 1)
        check_rows(len(rows) + 1, where)
        try:
            value, end = _parsed(partial(_DECODER.raw_decode, idx=at), part)
        except ValueError as error:
            raise DataError(f"{place}: not valid JSON: {error}.", hint=_NO_ROWS) from None
        check_length(part[at:end], place)
        rows.append(_object(value, part[at:end], place))
        at = end


def _after_space(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return match.end() if match else at


def _place(text: str) -> str:
    return f"row {sum(bool(line.strip()) for line in text.split(chr(10)))}"


class _DuplicateKeyError(ValueError):
    """An object has a key twice."""


def _object(value: Any, text: str, place: str) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise DataError(f"{place}: expected an object, found {text[:40]!r}.", hint=_NO_ROWS)
    return value


def _parsed(read: Callable[..., Any], text: str) -> Any:
    """Parses untrusted JSON.

    Raises:
        ValueError: It is not valid, has a key twice, or is nested too deeply.
    """
    try:
        return read(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except (json.JSONDecodeError, _DuplicateKeyError):
        raise
    except ValueError:  # the only other cause: Python limits the digits of an integer
        raise ValueError("a number in it has too many digits") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, object]:
    unique = dict(pairs)
    if len(unique) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise _DuplicateKeyError(f"it has the key {twice[:80]!r} twice")
    return unique


_DECODER = json.JSONDecoder(object_pairs_hook=_unique)
