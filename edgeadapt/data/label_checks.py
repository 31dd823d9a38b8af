"""Check the labels of a column for inconsistent spelling, and for names that look like several."""

import re
from collections.abc import Mapping

from edgeadapt.data.label_fields import LABEL_SEPARATOR, Fields, is_joined, listed
from edgeadapt.data.label_values import key_of, shown
from edgeadapt.errors import DataError
from edgeadapt.progress import Progress

__all__ = ["check_joined", "check_spellings"]

_TRUTH_VALUES = (
    *(("true", "false"), ("yes", "no")),
    *(("1", "0"), ("t", "f"), ("y", "n")),
)
"""Pairs of truth values, in lower case; the single letters are often other labels."""
_LETTERS = 3
"""Index of the first pair of single letters."""
_SEPARATORS = re.compile(r"[,;/\\\t\n&+|]")
_STRICT = frozenset(",;\t\n")
"""Separators that label names rarely contain."""
_WORDS_TOO = re.compile(r"\s*(?:[,;/\\\t\n&+|]|\band\b|\bor\b|\s)\s*")
_PART_OF_LIST = re.compile(r"[\[(]\s*['\"].*|.*['\"]\s*[\])]|['\"][^'\"]*|[^'\"]*['\"]", re.DOTALL)
"""A fragment of a list, such as ``["rain"``, whose rest is in the next field or row."""


def check_spellings(places: Mapping[str, str], column: str) -> None:
    """Rejects two spellings of one label, because they would become two classes.

    Args:
        places: Label -> place of its first occurrence.
        column: Name of the column, for messages.

    Raises:
        DataError: A label is spelled in two ways, or truth values are.
    """
    numbers_too = {"1", "0"} & set(places)
    first: dict[str, str] = {}
    for name, place in places.items():
        key = key_of(name)
        if numbers_too and key in ("true", "false"):
            key = str(int(key == "true"))
        other = first.setdefault(key, name)
        if other != name:
            raise DataError(
                f"{place}: the label {name!a} in {column!r} is spelled {other!a} in "
                f"{places[other]}.",
                hint="Spell a label in one way, or list the labels in labels.json beside the data.",
            )
    _check_truth_values(places, column)


def _check_truth_values(places: Mapping[str, str], column: str) -> None:
    kinds = {
        name: kind
        for name in places
        for kind, words in enumerate(_TRUTH_VALUES)
        if name.casefold() in words
    }
    used = set(kinds.values())
    is_mixed = len(used) > 1 and min(used) < _LETTERS and len(kinds) == len(places)
    if not is_mixed and not {0, 2} <= used:
        return
    one = next(name for name in kinds)
    other = next(name for name, kind in kinds.items() if kind != kinds[one])
    raise DataError(
        f"{places[other]}: expected one spelling of truth values in {column!r}, found {other!a} "
        f"here and {one!a} in {places[one]}.",
        hint="Use one spelling for all; if they are different labels, list them in labels.json "
        "beside the data.",
    )


def check_joined(
    fields: Fields, column: str, names: Mapping[str, str], *, where: str, progress: Progress
) -> None:
    """Rejects or reports names that look like several labels with a separator other than ``|``.

    Args:
        fields: The fields of a column of label sets, each with its place for messages.
        column: Name of the column.
        names: Its labels, as read -> place of the first occurrence.
        where: The file, for messages.
        progress: Receives a warning about names that may be several.

    Raises:
        DataError: A name is probably not one label: it is a part of a list, consists of other
            labels, or contains a comma or semicolon where no field uses ``|``.
    """
    texts = [(place, field) for place, field in fields if isinstance(field, str)]
    is_any_joined = any(is_joined(text) for _, text in texts)
    doubtful: dict[str, None] = {}
    for place, text in texts:
        if listed(text, place) is not None and not is_joined(text):
            continue
        for name in map(str.strip, text.split(LABEL_SEPARATOR)):
            if _PART_OF_LIST.fullmatch(name):
                raise _several(place, text, column, "a part of a list")
            parts = set(filter(None, _WORDS_TOO.split(name))) - {name}
            is_made_of_labels = len(parts) > 1 and parts <= names.keys()
            is_strict = not is_any_joined and bool(_STRICT & set(name))
            if is_strict or (is_made_of_labels and _SEPARATORS.search(name)):
                raise _several(place, text, column, "several labels")
            if is_made_of_labels or _SEPARATORS.search(name):
                doubtful[name] = None
    if doubtful:
        progress.warn(
            f"{where}: {shown(next(iter(doubtful)))} in {column!r} is read as one label"
            f"{f', and so are {len(doubtful) - 1} like it' if len(doubtful) > 1 else ''}: between "
            f"labels {LABEL_SEPARATOR!r} is expected, as in rain|wind."
        )


def _several(place: str, text: str, column: str, what: str) -> DataError:
    return DataError(
        f"{place}: the label {shown(text)} in {column!r} looks like {what}: expected "
        f"{LABEL_SEPARATOR!r} between them, as in rain|wind.",
        hint="If it is the name of one label, list it in labels.json beside the data.",
    )
