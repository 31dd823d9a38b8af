"""Labelled examples and data sets, and their fingerprints."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeadapt.data.columns import check_column
from edgeadapt.data.files import Rows
from edgeadapt.data.label_fields import is_multi_hot, label_fields
from edgeadapt.data.label_reader import LabelReader
from edgeadapt.data.label_values import is_missing, shown
from edgeadapt.data.labels import join_labels
from edgeadapt.data.raw import MOST_CHARACTERS
from edgeadapt.errors import DataError
from edgeadapt.metrics import label_sets
from edgeadapt.progress import SILENT, Progress
from edgeadapt.recipe import Task
from edgeadapt.text import Text, parts_of, text_of

__all__ = [
    "TEXT_COLUMNS",
    "Dataset",
    "Examples",
    "count_contradictory",
    "count_shared",
    "empty_rows",
    "fingerprint",
    "is_blank",
    "normalized",
    "say_skipped",
    "text_columns",
    "to_examples",
]

TEXT_COLUMNS = ("text", "text_pair")
"""Columns of texts in the files of runs and bundles; the second one exists only for pairs."""
_NO_TEXT = "Remove the row or fill it in; --skip-empty leaves such rows out."


@dataclass(frozen=True)
class Examples:
    """Texts and, where known, their labels."""

    texts: tuple[Text, ...]
    labels: NDArray[np.int64] | None = None
    """Label indices of shape ``(texts,)`` or, multi-label, 0 and 1 of shape ``(texts, labels)``."""

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, rows: Iterable[int]) -> "Examples":
        """Returns the examples at the given positions, in that order."""
        picked = list(rows)
        labels = None if self.labels is None else self.labels[picked]
        return Examples(tuple(self.texts[row] for row in picked), labels)

    def first(self, count: int) -> "Examples":
        """Returns the first ``count`` examples."""
        return self.take(range(min(count, len(self))))

    def columns(self, names: Sequence[str]) -> dict[str, Sequence[str]]:
        """Returns the columns of a CSV file: the texts, and the labels of each by name.

        Raises:
            DataError: The examples have no labels.
        """
        labels = join_labels(label_sets(self.known_labels(), len(names)), names)
        return {**text_columns(self.texts), "label": labels}

    def count_labels(self, width: int) -> NDArray[np.int64]:
        """Returns how many texts have each of ``width`` labels.

        Raises:
            DataError: The examples have no labels.
        """
        labels = self.known_labels()
        return labels.sum(axis=0) if labels.ndim == 2 else np.bincount(labels, minlength=width)

    def with_more(self, other: "Examples") -> "Examples":
        """Returns these examples and then the others.

        Raises:
            DataError: Some have no labels.
        """
        labels = np.concatenate([self.known_labels(), other.known_labels()])
        return Examples(self.texts + other.texts, labels)

    def known_labels(self) -> NDArray[np.int64]:
        """Returns the labels.

        Raises:
            DataError: The examples have none.
        """
        if self.labels is None:
            raise DataError("These examples have no labels.")
        return self.labels


@dataclass(frozen=True)
class Dataset:
    """Three splits with the same labels."""

    train: Examples
    validation: Examples
    test: Examples
    label_names: tuple[str, ...]
    has_label_order: bool = True
    """Whether the data lists its labels; otherwise they are the ones that occur, sorted."""


def to_examples(
    rows: Rows,
    *,
    text_column: str,
    text_pair_column: str | None = None,
    label_column: str | None,
    label_names: Sequence[str],
    task: Task = Task.SINGLE_LABEL,
    where: str,
    multi_hot: bool | None = None,
    skip: Container[int] = (),
    progress: Progress = SILENT,
) -> Examples:
    """Turns rows into examples.

    A label is one of ``label_names``, compared exactly or else without case and spaces; or, where
    none of the names is a number, an index into them.
    Multi-label, a field holds a list of them, a string that joins them by ``|``, or a list with a 0
    or 1 for each of ``label_names``.

    Args:
        rows: The rows of one split.
        text_column: Column of the text.
        text_pair_column: Column of the second text; ``None`` for single texts.
        label_column: Column of the label; ``None`` for unlabelled rows.
        label_names: Names in the order of their indices.
        task: How many labels a text has.
        where: File or split, for error messages.
        multi_hot: Whether lists hold a 0 or 1 for each label; detected from the rows by default.
        skip: Numbers of rows to leave out, counted from 1.
        progress: Receives a note on labels that are not spelled exactly like the names.

    Raises:
        DataError: A column is missing, a text is empty or a label is missing or unknown; the
            message names the row, counted from 1.
    """
    columns = {"--text-column": text_column}
    if text_pair_column is not None:
        columns["--text-pair-column"] = text_pair_column
    for option, column in columns.items():
        check_column(rows, column, where, option=option)
    texts = tuple(
        text_of([_text(row, column, where, n) for column in columns.values()])
        for n, row in enumerate(rows, 1)
        if n not in skip
    )
    if label_column is None:
        return Examples(texts)
    check_column(rows, label_column, where, option="--label-column")
    fields = list(label_fields(rows, label_column, where, skip))
    if multi_hot is None:
        multi_hot = task is Task.MULTI_LABEL and is_multi_hot(fields, count=len(label_names))
    reader = LabelReader.of(fields, label_names, task, label_column, multi_hot=multi_hot)
    if note := reader.note():
        progress.say(f"{where}: {note}.")
    labels = [reader.read(field, place) for place, field in fields]
    return Examples(texts, np.asarray(labels, dtype=np.int64))


def is_blank(text: str) -> bool:
    """Returns whether a text is empty or consists of white space."""
    return not text.strip()


def empty_rows(rows: Rows, columns: Sequence[str]) -> frozenset[int]:
    """Returns the numbers, from 1, of rows in which a text is empty or missing.

    Args:
        rows: The rows of one split.
        columns: Columns of the texts. Values of other types are reported by ``to_examples``.
    """
    return frozenset(
        number
        for number, row in enumerate(rows, 1)
        if any(column in row and _is_empty(row[column]) for column in columns)
    )


def say_skipped(count: int, where: str, progress: Progress, *, what: str = "an empty text") -> None:
    """Reports how many rows were left out, if any."""
    if count:
        progress.say(f"{where}: left out {count:,} rows with {what}.")


def count_shared(left: Examples, right: Examples) -> int:
    """Returns how many texts of ``right`` also occur in ``left``, ignoring case and spaces."""
    left_texts = {normalized(text) for text in left.texts}
    return sum(normalized(text) in left_texts for text in right.texts)


def count_contradictory(examples: Examples) -> int:
    """Returns how many texts occur with different labels, ignoring case and spaces."""
    labels: dict[Any, set[bytes]] = defaultdict(set)
    for text, label in zip(examples.texts, examples.known_labels(), strict=True):
        labels[normalized(text)].add(label.tobytes())
    return sum(len(distinct) > 1 for distinct in labels.values())


def fingerprint(dataset: Dataset) -> str:
    """Returns a SHA-256 over all texts, labels and label names."""
    digest = hashlib.sha256(json.dumps(dataset.label_names).encode())
    for split in (dataset.train, dataset.validation, dataset.test):
        labels = None if split.labels is None else split.labels.tolist()
        digest.update(json.dumps([split.texts, labels]).encode())
    return digest.hexdigest()


def text_columns(texts: Sequence[Text]) -> dict[str, tuple[str, ...]]:
    """Returns texts as columns of a CSV: ``text`` and, for pairs, ``text_pair``."""
    columns = zip(*map(parts_of, texts), strict=True)
    return dict(zip(TEXT_COLUMNS, columns, strict=False))


def normalized(text: Text) -> tuple[str, ...]:
    """Returns the parts of a text in lower case, with single spaces: equal for equal texts."""
    return tuple(" ".join(part.lower().split()) for part in parts_of(text))


def _is_empty(value: Any) -> bool:
    return is_blank(value) if isinstance(value, str) else is_missing(value)


def _text(row: Mapping[str, object], column: str, where: str, number: int) -> str:
    text = row[column]
    if not isinstance(text, str):
        raise DataError(
            f"{where}, row {number}: expected a text in {column!r}, found {shown(text)}.",
            hint=_NO_TEXT if _is_empty(text) else "Check --text-column.",
        )
    if is_blank(text):
        raise DataError(f"{where}, row {number}: the text is empty in {column!r}.", hint=_NO_TEXT)
    if len(text) > MOST_CHARACTERS:
        raise DataError(
            f"{where}, row {number}: the text in {column!r} is too long: expected at most "
            f"{MOST_CHARACTERS:,} characters, found {len(text):,}.",
            hint="Cut it, or split it into several rows.",
        )
    try:
        text.encode()
    except UnicodeEncodeError:
        # JSON escapes can express half of a surrogate pair, which no encoding can write.
        raise DataError(
            f"{where}, row {number}: expected a text, found half a character in {text[:40]!r}."
        ) from None
    return text
