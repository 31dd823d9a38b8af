"""Label fields: one label, or a list of labels, as a list, as text of a list, or joined."""

from collections.abc import Container, Iterable, Iterator, Sequence
from typing import Any

from edgeadapt.data.files import Rows
from edgeadapt.data.label_values import NotALabelError, is_missing, plain, shown, written_list
from edgeadapt.errors import DataError
from edgeadapt.recipe import Task

__all__ = [
    "LABEL_SEPARATOR",
    "NAME_LABELS",
    "NO_SCORES",
    "Fields",
    "field_values",
    "is_joined",
    "is_multi_hot",
    "label_fields",
    "listed",
]

LABEL_SEPARATOR = "|"
"""Separator between the labels of a text in a CSV field, for multi-label tasks."""

Fields = Iterable[tuple[str, Any]]
"""``(place, label field)`` of each row; the place is the file and row for messages."""

NAME_LABELS = "labels.json beside the data, a JSON list, names the labels."
"""A hint."""
NO_SCORES = (
    "edgeadapt classifies texts and predicts no scores (regression). Make classes of the scores; "
    "if these numbers are names of classes, list them as strings in labels.json beside the data."
)
"""A hint."""


def label_fields(
    rows: Rows, column: str, where: str, skip: Container[int] = ()
) -> Iterator[tuple[str, Any]]:
    """Yields ``(place, label field)`` for each row; the place is the file and row for messages.

    Args:
        rows: The rows of one split.
        column: Column of the label.
        where: File or split, for messages.
        skip: Numbers of rows to leave out, counted from 1.
    """
    for number, row in enumerate(rows, 1):
        if number not in skip:
            yield f"{where}, row {number}", row[column]


def is_multi_hot(fields: Fields, *, count: int | None) -> bool:
    """Returns whether label lists hold a 0 or 1 per label rather than names or indices.

    A list that repeats a 0 or 1, or holds truth values or floats, cannot be a set of indices. If
    there is one such list, all lists must hold a 0 or 1 per label.

    Args:
        fields: The fields of all splits, with their places.
        count: Number of labels; ``None`` where their names are not known.

    Raises:
        DataError: The lists can be read both ways, differ in kind or length, or the names of the
            labels are not known.
    """
    lists = [
        (place, listed(field, place))
        for place, field in fields
        if isinstance(field, str) or not is_missing(field)
    ]
    vector = next((place for place, found in lists if _is_vector(found)), None)
    if vector is None:
        if count in (None, 2) and lists and all(_is_either(found) for _, found in lists):
            place, found = lists[0]
            raise DataError(
                f"{place}: the label list {shown(found)} can be read in two ways: as the indices "
                "of two labels, and as a 0 or 1 for each label.",
                hint="Write lists of names, or true and false in place of 1 and 0.",
            )
        return False
    if count is None:
        raise DataError(
            f"{vector}: the label list {shown(dict(lists)[vector])} holds a 0 or 1 for each label, "
            "and nothing says what the labels are called.",
            hint=NAME_LABELS,
        )
    for place, found in lists:
        if len(found or ()) != count or not all(map(_is_bit, found or ())):
            raise DataError(
                f"{place}: expected {count} zeros and ones, one for each label, as {vector} "
                f"suggests, found {shown(found)}.",
                hint="Write lists of names, or a 0 or 1 for each label in every row.",
            )
    return True


def field_values(field: Any, task: Task, place: str) -> Sequence[Any]:
    """Returns the labels in a field, unchecked: one or, multi-label, any number.

    Raises:
        DataError: The field is a list where one label is expected, or cannot be read as a list.
    """
    items = listed(field, place)
    if task is Task.SINGLE_LABEL:
        if items is not None and not is_joined(field):
            raise DataError(
                f"{place}: expected one label, found a list: {shown(field)}.",
                hint="If texts have any number of labels, train with --multi-label.",
            )
        return [field]
    if items is not None:
        return items
    return [] if isinstance(field, str) and not field.strip() else [field]


def listed(field: Any, place: str) -> Sequence[Any] | None:
    """Returns the items of a list, of the text of a list, or of joined labels; else ``None``.

    Raises:
        DataError: It is the text of a value that cannot be read as a list unambiguously.
    """
    value = plain(field)
    if isinstance(value, list | tuple):
        return value
    if not isinstance(value, str):
        return None
    try:
        if (items := written_list(value)) is not None:
            return items
    except NotALabelError as error:
        raise DataError(
            f"{place}: expected a label, found {error}: {shown(value)}.",
            hint=f"Write names, several joined by {LABEL_SEPARATOR!r}, or a JSON list of them. "
            "If it is the name of a label, list it in labels.json.",
        ) from None
    return value.split(LABEL_SEPARATOR) if is_joined(value) else None


def is_joined(field: Any) -> bool:
    """Returns whether a field is a text of labels joined by the separator."""
    return isinstance(field, str) and LABEL_SEPARATOR in field


def _is_bit(value: Any) -> bool:
    value = plain(value)
    if isinstance(value, str):
        return value.strip() in ("0", "1")
    return isinstance(value, bool | int | float) and value in (0, 1)


def _is_vector(values: Sequence[Any] | None) -> bool:
    """Whether a list can only be a 0 or 1 per label: a set of indices repeats none of them."""
    if values is None or len(values) < 2 or not all(map(_is_bit, values)):
        return False
    repeats = len({str(plain(value)).strip() for value in values}) < len(values)
    return repeats or any(isinstance(plain(value), bool | float) for value in values)


def _is_either(values: Sequence[Any] | None) -> bool:
    """Whether a list is 0 and 1, in any order, as integers."""
    return values is not None and sorted(map(repr, map(plain, values))) == ["0", "1"]
