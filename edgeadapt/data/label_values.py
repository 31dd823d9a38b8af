"""The normal form of labels: one name for all spellings of a value.

Files spell the same class as ``1``, ``1.0``, ``"1"`` or a numpy scalar, because CSV has no types
and pandas converts integers to floats in a column with a missing value. All code that reads labels
uses this module.
"""

import json
import re
import unicodedata
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

import numpy as np

__all__ = [
    "NotALabelError",
    "is_integer",
    "is_missing",
    "is_number",
    "key_of",
    "label_name",
    "plain",
    "shown",
    "written_list",
]

_MISSING = frozenset({"", "nan", "<na>", "nat"})
"""Spellings of a missing value by pandas and numpy, in lower case. Words such as ``None`` and
``NA`` can also be classes: ``edgeadapt.data.missing`` decides on them by the whole column."""
_WHOLE = re.compile(r"([+-]?)0*(\d+)(?:\.0*)?", re.ASCII)
_WHOLE_FLOAT = re.compile(r"([+-]?\d+)\.0*", re.ASCII)
_NUMBER = re.compile(r"[+-]?(?:\d+[.,]?\d*|[.,]\d+)(?:e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
_MOST_DIGITS = 100
"""Most digits of a number that is a label; longer ones are not class numbers."""

_ITEM = (
    r"'(?:[^'\\]|\\.)*'|"
    r'"(?:[^"\\]|\\.)*"|'
    r"[-+]?\d+(?:\.\d*)?|\b(?:true|false|none|null|nan)\b"
)
_ITEMS = re.compile(_ITEM, re.ASCII | re.IGNORECASE | re.DOTALL)
_LIST = re.compile(
    rf"[\[(]\s*(?:(?:{_ITEM})(?:\s*,\s*(?:{_ITEM}))*\s*,?\s*)?[\])]",
    re.ASCII | re.IGNORECASE | re.DOTALL,
)
_WRITTEN = re.compile(
    r"\[\s*[\[({'\"].*\]|\[[\s\d.,+-]*\]|\(\s*[\[({'\"].*\)|\{\s*[\[({'\"].*\}"
    r"|(?:array|tensor|set|frozenset)\(.*\)",
    re.DOTALL,
)
_CONSTANTS = {"true": True, "false": False, "none": None, "null": None, "nan": None}


class NotALabelError(ValueError):
    """A value that cannot be a label; the message says what it is, such as ``a list``."""


def plain(value: Any) -> Any:
    """Returns the Python value of a numpy or pyarrow scalar or array; other values unchanged."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    # pyarrow is not imported here: this module works on the device, where it is not installed.
    return value.as_py() if hasattr(value, "as_py") else value


def label_name(value: Any) -> str | None:
    """Returns the name of the class for a value; ``None`` for a missing label.

    Integer-valued numbers and texts of them are integers: ``1.0`` becomes ``"1"``. Names are
    stripped and otherwise unchanged: ``"01"`` stays ``"01"``.

    Raises:
        NotALabelError: The value is not a string, number, truth value or date.
    """
    value = plain(value)
    if value is None:
        return None
    for kinds, name_of in _READERS:
        if isinstance(value, kinds):
            return name_of(value)
    raise NotALabelError(_kind(value))


def is_missing(value: Any) -> bool:
    """Returns whether a value is a missing label."""
    try:
        return label_name(value) is None
    except NotALabelError:
        return False


def key_of(name: str) -> str:
    """Returns a key that is equal for all spellings of a class, as for ``1``, ``01`` and ``1.0``.

    Fullwidth and usual characters have the same key; invisible characters, such as a zero-width
    space, are ignored.
    """
    name = "".join(
        unicodedata.normalize("NFKC", character)
        if unicodedata.east_asian_width(character) in ("F", "H")
        else character
        for character in unicodedata.normalize("NFC", name)
        if unicodedata.category(character) != "Cf"
    )
    if whole := _WHOLE.fullmatch(name):
        sign = "-" if whole[1] == "-" and whole[2] != "0" else ""
        return sign + whole[2]
    if name.lower() in ("true", "false"):
        return name.lower()
    return name


def is_number(name: str) -> bool:
    """Returns whether a name is a number, with or without a decimal point or comma."""
    return _NUMBER.fullmatch(name) is not None


def is_integer(name: str) -> bool:
    """Returns whether a name is a whole number."""
    return key_of(name).removeprefix("-").isdigit()


def written_list(text: str) -> list[Any] | None:
    """Returns the items of the text of a list, such as ``"['rain', 'wind']"`` or ``"[0, 1]"``.

    Returns:
        The items: strings, numbers, truth values, ``None``; or ``None`` where the text is a name,
        such as ``"[OTHER]"``.

    Raises:
        NotALabelError: It is the text of a value that cannot be read as a list unambiguously, such
            as a dictionary, a nested list or a list without commas.
    """
    text = text.strip()
    # One word or number in round brackets is a name, such as "(none)".
    if _LIST.fullmatch(text) and (text[0] == "[" or any(mark in text for mark in ",'\"")):
        return [_item(item) for item in _ITEMS.findall(text)]
    if _WRITTEN.fullmatch(text):
        raise NotALabelError("a value written out by a program")
    return None


def shown(value: Any, most: int = 80) -> str:
    """Returns the shortened ``repr`` of a value, for messages."""
    text = repr(
        plain(value)[:200] if isinstance(value, str | bytes | list | tuple) else plain(value)
    )
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _of_text(value: str) -> str | None:
    name = value.strip()
    if name.lower() in _MISSING:
        return None
    try:
        name.encode()
    except UnicodeEncodeError:
        raise NotALabelError("half a character") from None
    whole = _WHOLE_FLOAT.fullmatch(name)
    return whole[1] if whole else name


def _decoded(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise NotALabelError("bytes that are not UTF-8") from None


def _of_integer(value: int) -> str:
    if abs(value) >= 10**_MOST_DIGITS:
        raise NotALabelError(f"an integer of more than {_MOST_DIGITS} digits")
    return str(value)


def _of_number(value: float | Decimal) -> str | None:
    number = Decimal(value)  # exact; float() of a large one would be infinite
    if number.is_nan():
        return None
    if number.is_infinite():
        raise NotALabelError("an infinite number")
    if number and number.adjusted() >= _MOST_DIGITS:
        raise NotALabelError(f"an integer of more than {_MOST_DIGITS} digits")
    return str(int(number)) if number == int(number) else str(value)


def _item(text: str) -> Any:
    if text.lower() in _CONSTANTS:
        return _CONSTANTS[text.lower()]
    if text[0] not in "'\"":
        return float(text) if "." in text else int(text)
    if text[0] == '"':
        try:
            return json.loads(text)
        except ValueError:
            pass  # JSON does not have all escapes of Python
    if re.search(r"\\[^'\"\\]", text):
        raise NotALabelError("a list with escapes")
    return re.sub(r"\\(.)", r"\1", text[1:-1])


def _of_moment(value: datetime) -> str:
    return str(value.date() if value.time() == time() and value.tzinfo is None else value)


_READERS: tuple[tuple[type | tuple[type, ...], Callable[[Any], str | None]], ...] = (
    (str, _of_text),
    (bytes, lambda value: _of_text(_decoded(value))),
    (bool, str),  # before int, of which it is a kind
    (int, _of_integer),
    ((float, Decimal), _of_number),
    (datetime, _of_moment),  # before date, of which it is a kind
    (date, str),
)
"""Type -> its reader, tried in this order."""


def _kind(value: Any) -> str:
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list | tuple | AbstractSet):
        return "a list"
    return f"a {type(value).__name__}"
