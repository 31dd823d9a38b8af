"""The label names of a data set: read them from a file, or infer them from the data."""

from collections import Counter
from collections.abc import Container, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeadapt.data.columns import check_column
from edgeadapt.data.files import Rows
from edgeadapt.data.json_rows import read_json
from edgeadapt.data.label_checks import check_joined, check_spellings
from edgeadapt.data.label_fields import (
    LABEL_SEPARATOR,
    NO_SCORES,
    field_values,
    is_multi_hot,
    label_fields,
)
from edgeadapt.data.label_reader import LabelReader
from edgeadapt.data.label_values import (
    NotALabelError,
    is_integer,
    is_number,
    key_of,
    label_name,
    shown,
)
from edgeadapt.data.missing import FILL_IN, is_word_for_missing, missing_word, missing_words
from edgeadapt.errors import DataError
from edgeadapt.progress import SILENT, Progress
from edgeadapt.recipe import Task

__all__ = [
    "check_label_names",
    "infer_labels",
    "join_labels",
    "read_labels",
    "unlabelled_rows",
]

_OWN_LABELS = 8
"""From this number of rows on, a column in which every value is unique is not a label column."""
_MANY_LABELS = 20
"""From this number of labels on, fewer than two rows per label are not a label column either."""
_SECRET = frozenset({"-1", "-100"})
"""Number for a withheld label in data sets of the hub, and for no label in a loss of torch."""


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
    """Checks that sets of these labels can be written as one CSV field.

    Raises:
        DataError: A name is empty, contains the separator or has surrounding spaces.
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
    progress: Progress = SILENT,
) -> tuple[str, ...]:
    """Returns the label names that occur: numbers in numeric order, others alphabetically.

    Args:
        rows: The rows of one split.
        column: Column of the label.
        where: File or split, for messages.
        task: How many labels a text has.
        skip: Numbers of rows to leave out, counted from 1.
        progress: Receives notes on how ambiguous names are read.

    Raises:
        DataError: The column is missing; a label is empty, cannot be a label, or is spelled in
            several ways; the labels are scores, or unique per text; fewer than two labels occur.
    """
    check_column(rows, column, where, option="--label-column")
    fields = list(label_fields(rows, column, where, skip))
    if task is Task.MULTI_LABEL:
        is_multi_hot(fields, count=None)
    places: dict[str, str] = {}
    counts: Counter[str] = Counter()
    for place, field in fields:
        for value in field_values(field, task, place):
            name = _name(value, place, column)
            places.setdefault(name, place)
            counts[name] += 1
    if task is Task.MULTI_LABEL:
        check_joined(fields, column, places, where=where, progress=progress)
    _check_missing(counts, places, column, where, progress)
    check_spellings(places, column)
    _check_classes(places, column)
    names = sorted(places)
    if len(names) < 2:
        raise DataError(
            f"{where}: every example has the label {next(iter(names), '')!r}: expected at least "
            "two labels.",
            hint="A classifier needs examples of each label. Check --label-column.",
        )
    if task is Task.SINGLE_LABEL:
        _check_repeated(len(names), len(fields), column, where)
    try:
        return tuple(sorted(names, key=int))
    except ValueError:
        return tuple(names)


def unlabelled_rows(
    rows: Rows, column: str, task: Task, *, names: Sequence[str] | None = None
) -> frozenset[int]:
    """Returns the numbers, from 1, of rows without a label.

    A row has no label where the value is missing. The number for a withheld label, as in the test
    splits of public data sets, and words such as "none" count too, unless they are in ``names``.

    Args:
        rows: The rows of one split.
        column: Column of the label.
        task: Multi-label, an empty text is an empty set of labels.
        names: Names of the labels, where they are known.
    """
    reader = LabelReader(tuple(names or ()), task, column)
    names_found = [_plain_name(row.get(column), task) for row in rows]
    none: set[str | None] = {None} if names is None else {None, *_SECRET}
    counts = Counter(name for name in names_found if name is not None)
    if names is None:
        none |= missing_words(counts)
    else:
        none |= {name for name in counts if is_word_for_missing(name)}
    return frozenset(
        number
        for number, (row, name) in enumerate(zip(rows, names_found, strict=True), 1)
        if name in none and not reader.knows(row.get(column))
    )


def join_labels(sets: NDArray[np.bool_], names: Sequence[str]) -> list[str]:
    """Returns each text's label names joined by ``|``; ``sets`` has shape ``(texts, labels)``."""
    return [
        LABEL_SEPARATOR.join(name for name, given in zip(names, row, strict=True) if given)
        for row in sets
    ]


def _plain_name(field: Any, task: Task) -> str | None:
    """The label of a field; ``None`` where it is missing, an empty text where it is not a label."""
    if task is Task.MULTI_LABEL and isinstance(field, str) and not field.strip():
        return ""
    try:
        return label_name(field)
    except NotALabelError:
        return ""


def _name(value: Any, place: str, column: str) -> str:
    try:
        name = label_name(value)
    except NotALabelError as error:
        raise DataError(
            f"{place}: expected a label in {column!r}, found {error}: {shown(value)}.",
            hint="A label is a name or a number. Check --label-column.",
        ) from None
    if name is None:
        raise DataError(
            f"{place}: the label in {column!r} is empty: expected a name or a number, found "
            f"{value!r}.",
            hint=FILL_IN,
        )
    return name


def _check_missing(
    counts: Mapping[str, int],
    places: Mapping[str, str],
    column: str,
    where: str,
    progress: Progress,
) -> None:
    """Rejects words for a missing label, and reports one that is read as a class."""
    words = missing_words(counts)
    for name, place in places.items():
        if name in words:
            raise missing_word(name, place, column)
        if is_word_for_missing(name):
            progress.warn(
                f"{where}: {name!r} in {column!r} ({counts[name]:,} rows) is read as a label of "
                "that name, not as a missing one: leave these rows out of the file if it is."
            )


def _check_classes(places: dict[str, str], column: str) -> None:
    """Rejects scores: numbers of which some have a fraction."""
    fraction = next((name for name in places if is_number(name) and not is_integer(name)), None)
    if fraction is not None and all(map(is_number, places)):
        raise DataError(
            f"{places[fraction]}: expected classes in {column!r}, found a number with a fraction: "
            f"{fraction}.",
            hint=NO_SCORES,
        )


def _check_repeated(labels: int, rows: int, column: str, where: str) -> None:
    """Rejects a column of identifiers, texts or dates, in which hardly any value occurs twice."""
    own = labels == rows >= _OWN_LABELS
    if own or (labels >= _MANY_LABELS and 2 * labels > rows):
        problem = "every text has a different label" if own else "hardly any label occurs twice"
        raise DataError(
            f"{where}: {problem} ({rows} texts, {labels} different labels in {column!r}): is this "
            "the right column?",
            hint="Name the column with --label-column. If these are classes, list them in "
            "labels.json beside the data.",
        )
