"""Labels: what they are called, and which of them a field names."""

from collections.abc import Container, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeadapt.data.files import Rows, check_column, read_json
from edgeadapt.data.label_fields import (
    LABEL_SEPARATOR,
    NAME_LABELS,
    Fields,
    field_values,
    is_joined,
    is_multi_hot,
    label_fields,
    listed,
)
from edgeadapt.data.label_values import (
    NotALabelError,
    is_missing,
    is_number,
    key_of,
    label_name,
    plain,
    shown,
)
from edgeadapt.errors import DataError
from edgeadapt.recipe import Task

__all__ = [
    "LabelReader",
    "check_label_names",
    "infer_labels",
    "join_labels",
    "read_labels",
    "unlabelled_rows",
]

_OWN_LABELS = 8
"""So many rows, each with a label of its own, are no classes."""
_MANY_LABELS = 20
"""So many labels, on more than half as many rows, are none either."""
_SECRET = frozenset({"-1", "-100"})
"""What stands for a secret label on the hub, and for none in a loss of torch."""
_FILL_IN = "Remove the row or fill it in."
_NO_SCORES = (
    "edgeadapt classifies texts and predicts no scores (regression). Make classes of the scores; "
    "if these numbers are names of classes, list them as strings in labels.json beside the data."
)


def read_labels(path: Path) -> tuple[str, ...]:
    """Reads ``labels.json``: a JSON list of label names, in the order of their indices.

    Raises:
        DataError: It is not a list of at least two different names.
    """
    names = read_json(path)
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise DataError(f'{path}: expected a list of names such as ["negative", "positive"].')
    stripped = tuple(name.strip() for name in names)
    if len(names) < 2 or len({key_of(name) for name in stripped}) < len(names):
        raise DataError(f"{path}: expected at least two different names, found {names}.")
    for name in stripped:
        try:
            name.encode()
        except UnicodeEncodeError:
            raise DataError(f"{path}: found half a character in {name!r}.") from None
        if not name:
            raise DataError(f"{path}: expected names, found an empty one: {names}.")
    return stripped


def check_label_names(names: Sequence[str], *, where: str) -> None:
    """Checks that sets of these labels can be written as one field of a CSV.

    Raises:
        DataError: A name is empty, holds the separator or has spaces around it.
    """
    for name in names:
        if not name or LABEL_SEPARATOR in name or name != name.strip():
            raise DataError(
                f"{where}: the label {name!r} cannot be used with --multi-label: expected a name "
                f"without {LABEL_SEPARATOR!r} and without spaces around it.",
                hint="Rename the label in the data, and in labels.json where there is one.",
            )


def infer_labels(
    rows: Rows,
    *,
    column: str,
    where: str,
    task: Task = Task.SINGLE_LABEL,
    skip: Container[int] = (),
) -> tuple[str, ...]:
    """Returns the label names that occur, numbers in numeric order, else alphabetically.

    Args:
        rows: The rows of one split.
        column: Column of the label.
        where: File or split, for messages.
        task: How many labels a text has.
        skip: Numbers of rows to leave out, counted from 1.

    Raises:
        DataError: The column is missing; a label is empty, is none, or is spelled in several ways;
            the labels are scores, or each text has its own; fewer than two labels occur.
    """
    check_column(rows, column, where, option="--label-column")
    fields = list(label_fields(rows, column, where, skip))
    if task is Task.MULTI_LABEL:
        is_multi_hot(fields, count=None)
        _check_joined(fields, column)
    places: dict[str, str] = {}
    seen: set[str] = set()
    for place, field in fields:
        if isinstance(field, str):
            if field in seen:
                continue
            seen.add(field)
        for value in field_values(field, task, place):
            places.setdefault(_name(value, place, column), place)
    _check_spellings(places, column)
    _check_classes(places, column)
    names = sorted(places)
    if len(names) < 2:
        raise DataError(
            f"{where}: every example has the label {next(iter(names), '')!r}: expected at least "
            "two labels.",
            hint="A classifier needs examples of each label. Is --label-column right?",
        )
    if task is Task.SINGLE_LABEL:
        _check_repeated(len(names), len(fields), column, where)
    try:
        return tuple(sorted(names, key=int))
    except ValueError:
        return tuple(names)


@dataclass(frozen=True)
class LabelReader:
    """Turns label fields into indices."""

    names: tuple[str, ...]
    """In the order of their indices."""
    task: Task
    column: str
    """Column of the label, for messages."""
    multi_hot: bool = False
    """Whether lists hold a 0 or 1 per label."""

    def read(self, field: Any, place: str) -> int | list[int]:
        """Returns a field as an index or, multi-label, as 0 or 1 per label.

        Raises:
            DataError: A label is missing or unknown; the message names ``place``.
        """
        values = self._values(field, place)
        if self.multi_hot and len(values) == len(self.names):
            return [int(float(plain(value))) for value in values]
        found = {self._index(value, place) for value in values}
        if self.task is Task.MULTI_LABEL:
            return [int(number in found) for number in range(len(self.names))]
        return found.pop()

    def knows(self, value: Any) -> bool:
        """Returns whether a value is one of the labels, by name or index."""
        try:
            return self._find(value) is not None
        except NotALabelError:
            return False

    @cached_property
    def _exact(self) -> dict[str, int]:
        return {name: index for index, name in enumerate(self.names)}

    @cached_property
    def _keys(self) -> dict[str, int]:
        """Label of each spelling, and of each index where no name is a number."""
        found = {key_of(name): index for index, name in reversed(list(enumerate(self.names)))}
        if not any(map(is_number, self.names)):
            found |= {str(index): index for index in range(len(self.names))}
        return found

    def _values(self, field: Any, place: str) -> Sequence[Any]:
        if isinstance(field, str) and field.strip() in self._exact:
            return [field]  # whatever it looks like, it is one of the names
        return field_values(field, self.task, place)

    def _find(self, value: Any) -> int | None:
        """The index of a value; ``None`` for an unknown one."""
        if isinstance(value, str) and (known := self._exact.get(value.strip())) is not None:
            return known
        name = label_name(value)
        if name is None:
            return None
        keys = [key_of(name)]
        if keys[0] in ("true", "false"):
            keys.append(str(int(keys[0] == "true")))
        return next((self._keys[key] for key in keys if key in self._keys), None)

    def _index(self, value: Any, place: str) -> int:
        try:
            found = self._find(value)
        except NotALabelError:
            found = None
        if found is not None:
            return found
        expected = f"expected one of {_listed_names(self.names)}"
        if not any(map(is_number, self.names)):
            expected += f", or an index from 0 to {len(self.names) - 1}"
        if is_missing(value):
            raise DataError(
                f"{place}: the label in {self.column!r} is empty: {expected}, found {value!r}.",
                hint=_FILL_IN,
            )
        raise DataError(
            f"{place}: unknown label {shown(value)}: {expected}.", hint=_unknown_hint(value)
        )


def unlabelled_rows(
    rows: Rows, column: str, task: Task, *, names: Sequence[str] | None = None
) -> frozenset[int]:
    """Returns the numbers, from 1, of rows without a label.

    That is a missing label or, where it is none of the ``names``, the number that stands for a
    secret one, as in the test splits of public data sets.

    Args:
        rows: The rows of one split.
        column: Column of the label.
        task: Multi-label, an empty text is an empty set of labels.
        names: Of the labels, where they are known.
    """
    none = {None} if names is None else {None, *_SECRET}
    reader = LabelReader(tuple(names or ()), task, column)
    return frozenset(
        number
        for number, row in enumerate(rows, 1)
        if _stands_for(none, row.get(column), task) and not reader.knows(row.get(column))
    )


def join_labels(sets: NDArray[np.bool_], names: Sequence[str]) -> list[str]:
    """Returns the names of each text's labels, joined by ``|``, from shape ``(texts, labels)``."""
    return [
        LABEL_SEPARATOR.join(name for name, given in zip(names, row, strict=True) if given)
        for row in sets
    ]


def _stands_for(none: Container[str | None], field: Any, task: Task) -> bool:
    if task is Task.MULTI_LABEL and isinstance(field, str) and not field.strip():
        return False
    try:
        return label_name(field) in none
    except NotALabelError:
        return False


def _name(value: Any, place: str, column: str) -> str:
    try:
        name = label_name(value)
    except NotALabelError as error:
        raise DataError(
            f"{place}: expected a label in {column!r}, found {error}: {shown(value)}.",
            hint="A label is a name or a number. Is --label-column right?",
        ) from None
    if name is None:
        raise DataError(
            f"{place}: the label in {column!r} is empty: expected a name or a number, found "
            f"{value!r}.",
            hint=_FILL_IN,
        )
    return name


def _check_spellings(places: dict[str, str], column: str) -> None:
    """Refuses two spellings of one label: no one knows which of them was meant."""
    names = set(places)
    numbers_too = {"1", "0"} & names
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
                hint="Spell a label in one way; labels.json beside the data says which names there "
                "are.",
            )


def _check_classes(places: dict[str, str], column: str) -> None:
    """Refuses scores: numbers of which some have a fraction."""
    fraction = next((name for name in places if is_number(name) and not _is_integer(name)), None)
    if fraction is not None and all(map(is_number, places)):
        raise DataError(
            f"{places[fraction]}: expected classes in {column!r}, found a number with a fraction: "
            f"{fraction}.",
            hint=_NO_SCORES,
        )


def _is_integer(name: str) -> bool:
    return key_of(name).removeprefix("-").isdigit()


def _check_repeated(labels: int, rows: int, column: str, where: str) -> None:
    """Refuses a column of identifiers, texts or dates: hardly a value occurs twice."""
    own = labels == rows >= _OWN_LABELS
    if own or (labels >= _MANY_LABELS and 2 * labels > rows):
        found = "every text has a label of its own" if own else "hardly a label occurs twice"
        raise DataError(
            f"{where}: {found} ({rows} texts, {labels} different labels in {column!r}): is this "
            "the right column?",
            hint="Name the column with --label-column. If these are classes, list them in "
            "labels.json beside the data.",
        )


def _check_joined(fields: Fields, column: str) -> None:
    """Refuses names that look like several, joined by something else than ``|``."""
    texts = [(place, field) for place, field in fields if isinstance(field, str)]
    if any(map(is_joined, (text for _, text in texts))):
        return
    for place, text in texts:
        if listed(text, place) is None and any(mark in text.strip() for mark in ",;\t\n"):
            raise DataError(
                f"{place}: the label {shown(text)} in {column!r} looks like several labels: "
                f"expected {LABEL_SEPARATOR!r} between them, as in rain|wind.",
                hint="If it is the name of one label, list it in labels.json beside the data.",
            )


def _unknown_hint(value: Any) -> str:
    name = str(plain(value)).strip()
    if is_number(name) and not _is_integer(name):
        return _NO_SCORES
    if any(mark in name for mark in ",;"):
        return f"{NAME_LABELS} With --multi-label, {LABEL_SEPARATOR!r} stands between labels."
    return NAME_LABELS


def _listed_names(names: Sequence[str]) -> str:
    return ", ".join(names[:10]) + (f" … ({len(names)} in all)" if len(names) > 10 else "")
