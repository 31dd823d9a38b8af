"""Labels: what a field holds, what the labels are called, and their indices."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeadapt.config import Task
from edgeadapt.data.files import Rows, check_column
from edgeadapt.errors import DataError

__all__ = [
    "LABEL_SEPARATOR",
    "check_label_names",
    "infer_labels",
    "join_labels",
    "label_of_field",
    "read_labels",
]

LABEL_SEPARATOR = "|"
"""What joins the labels of a text in a CSV field, where the task is multi-label."""


def read_labels(path: Path) -> tuple[str, ...]:
    """Reads ``labels.json``: a JSON list of label names, in the order of their indices.

    Raises:
        DataError: It is not a list of at least two different names.
    """
    try:
        names = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise DataError(f"{path} is not valid JSON: {error}.") from None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise DataError(f'{path}: expected a list of names such as ["negative", "positive"].')
    if len(names) < 2 or len(set(names)) < len(names):
        raise DataError(f"{path}: expected at least two different names, found {names}.")
    return tuple(names)


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
    rows: Rows, *, column: str, where: str, task: Task = Task.SINGLE_LABEL
) -> tuple[str, ...]:
    """Returns the label names that occur, numbers in numeric order, else alphabetically.

    Raises:
        DataError: The column is missing, a label is empty or fewer than two labels occur.
    """
    check_column(rows, column, where, option="--label-column")
    names: set[str] = set()
    for number, row in enumerate(rows, 1):
        values = _label_values(row[column], task, f"{where}, row {number}")
        found = [_label_name(value) for value in values]
        if not all(found):
            raise DataError(
                f"{where}, row {number}: the label in {column!r} is empty.",
                hint="Remove the row or fill it in.",
            )
        names.update(found)
    if len(names) < 2:
        raise DataError(
            f"{where}: every example has the label {next(iter(names), '')!r}: expected at least "
            "two labels.",
            hint="A classifier needs examples of each label. Is --label-column right?",
        )
    try:
        return tuple(sorted(names, key=int))
    except ValueError:
        return tuple(sorted(names))


def join_labels(sets: NDArray[np.bool_], names: Sequence[str]) -> list[str]:
    """Returns the names of each text's labels, joined by ``|``, from shape ``(texts, labels)``."""
    return [
        LABEL_SEPARATOR.join(name for name, given in zip(names, row, strict=True) if given)
        for row in sets
    ]


def label_of_field(
    value: object, index: Mapping[str, int], names: Sequence[str], task: Task, where: str
) -> int | list[int]:
    """One field as an index or, multi-label, as 0 or 1 per label."""
    found = [_label(one, index, names, where) for one in _label_values(value, task, where)]
    if task is Task.MULTI_LABEL:
        return [int(number in found) for number in range(len(names))]
    return found[0]


def _label_values(value: object, task: Task, where: str) -> Sequence[object]:
    """The labels that a field holds, unchecked: one or, multi-label, any number."""
    if task is Task.SINGLE_LABEL:
        if isinstance(value, list | tuple):
            raise DataError(
                f"{where}: expected one label, found a list: {value!r}.",
                hint="If texts have any number of labels, train with --multi-label.",
            )
        return [value]
    if isinstance(value, str):
        return value.split(LABEL_SEPARATOR) if value.strip() else []
    return value if isinstance(value, list | tuple) else [value]


def _label_name(value: object) -> str:
    return "" if value is None else str(value).strip()


def _label(value: object, index: Mapping[str, int], names: Sequence[str], where: str) -> int:
    try:
        return index[_label_name(value)]
    except KeyError:
        shown = ", ".join(names[:10]) + (f" … ({len(names)} in all)" if len(names) > 10 else "")
        # More keys than names: indices are understood.
        indices = f", or an index from 0 to {len(names) - 1}" if len(index) > len(names) else ""
        raise DataError(
            f"{where}: unknown label {value!r}: expected one of {shown}{indices}.",
            hint="labels.json beside the data, a JSON list, names the labels.",
        ) from None
