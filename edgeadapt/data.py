"""Labelled examples: reading CSV and JSON Lines, naming labels, splitting, finding duplicates."""

import codecs
import csv
import hashlib
import io
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeadapt.config import Task
from edgeadapt.errors import DataError
from edgeadapt.text import Text, parts_of, text_of

__all__ = [
    "LABEL_SEPARATOR",
    "TEXT_COLUMNS",
    "Dataset",
    "Examples",
    "Rows",
    "check_label_names",
    "count_contradictory",
    "count_shared",
    "fingerprint",
    "hold_out",
    "infer_labels",
    "join_labels",
    "parse_jsonl",
    "read_labels",
    "read_rows",
    "split_folds",
    "text_columns",
    "to_examples",
    "write_csv",
]

Rows = Sequence[Mapping[str, Any]]
"""One mapping per example, column name -> value."""

TEXT_COLUMNS = ("text", "text_pair")
"""Columns of texts in the files of runs and bundles; the second one only for pairs."""
LABEL_SEPARATOR = "|"
"""What joins the labels of a text in a CSV field, where the task is multi-label."""

_MAX_FIELD_CHARACTERS = 1 << 27


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
    """Whether the data itself lists its labels; else they are those that occur, sorted."""


def read_rows(path: Path) -> Rows:
    """Reads the rows of a ``.csv`` or ``.jsonl`` file (UTF-8, with or without a BOM).

    Raises:
        DataError: The file is missing, empty, of another kind, or not UTF-8; the message names
            the row, counted from 1 without the header.
    """
    if path.suffix not in (".csv", ".jsonl"):
        raise DataError(
            f"{path}: expected a .csv or .jsonl file, found {path.suffix or 'no extension'!r}."
        )
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"{path} does not exist.") from None
    rows = _read_csv(raw, path) if path.suffix == ".csv" else parse_jsonl(raw, where=str(path))
    if not rows:
        raise DataError(f"{path} holds no examples: expected at least one row, found none.")
    return rows


def parse_jsonl(raw: bytes, *, where: str) -> Rows:
    """Reads JSON Lines: an object a line (UTF-8, with or without a BOM).

    Raises:
        DataError: A line is no JSON object or not UTF-8; the message names the row.
    """
    rows = []
    for number, line in enumerate(_lines(_decoded(raw, where, _line_rows)), 1):
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise DataError(f"{where}, row {number}: not valid JSON: {error}.") from None
        if not isinstance(row, dict):
            raise DataError(f"{where}, row {number}: expected an object, found {line[:40]!r}.")
        rows.append(row)
    return rows


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
    _check_column(rows, column, where, option="--label-column")
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


def to_examples(
    rows: Rows,
    *,
    text_column: str,
    text_pair_column: str | None = None,
    label_column: str | None,
    label_names: Sequence[str],
    task: Task = Task.SINGLE_LABEL,
    where: str,
) -> Examples:
    """Turns rows into examples.

    A label is one of ``label_names`` or, where none of the names is a number, an index into them.
    Multi-label, a field holds a list of them, or a string that joins them by ``|``.

    Args:
        rows: The rows of one split.
        text_column: Column of the text.
        text_pair_column: Column of the second text; ``None`` for single texts.
        label_column: Column of the label; ``None`` for unlabelled rows.
        label_names: Names in the order of their indices.
        task: How many labels a text has.
        where: File or split, for error messages.

    Raises:
        DataError: A column is missing, a text is empty or a label is unknown; the message names
            the row, counted from 1.
    """
    columns = {"--text-column": text_column}
    if text_pair_column is not None:
        columns["--text-pair-column"] = text_pair_column
    for option, column in columns.items():
        _check_column(rows, column, where, option=option)
    texts = tuple(
        text_of([_text(row, column, where, n) for column in columns.values()])
        for n, row in enumerate(rows, 1)
    )
    if label_column is None:
        return Examples(texts)
    _check_column(rows, label_column, where, option="--label-column")
    index = {name: i for i, name in enumerate(label_names)}
    if not any(name.lstrip("-").isdigit() for name in label_names):
        index |= {str(i): i for i in range(len(label_names))}
    labels = [
        _labels(row[label_column], index, label_names, task, f"{where}, row {n}")
        for n, row in enumerate(rows, 1)
    ]
    return Examples(texts, np.asarray(labels, dtype=np.int64))


def hold_out(examples: Examples, fraction: float, *, seed: int) -> tuple[Examples, Examples]:
    """Splits off a share of the examples: stratified, seeded, duplicates kept together.

    Returns:
        ``(kept, held_out)``, both in their original order. Every label that has at least two
        different texts is on both sides; a text with two labels counts for its first.
        Multi-label, the same share of every label set is held out, and of the sets together that
        have too few texts for that.

    Raises:
        DataError: There are too few different texts to split.
    """
    groups = _same_texts(examples)
    generator = np.random.default_rng(seed)
    held: set[int] = set()
    for candidates in _strata(examples.known_labels(), groups, fraction):
        target = max(1, round(fraction * sum(map(len, candidates))))
        taken = 0
        for position in generator.permutation(len(candidates))[: len(candidates) - 1]:
            if taken >= target:
                break
            held.update(candidates[position])
            taken += len(candidates[position])
    if not held:
        raise DataError(
            f"Too few different texts ({len(groups)}) to hold some out: expected at least two of "
            "a label.",
            hint="Give a folder with train, validation and test files.",
        )
    kept = [row for row in range(len(examples)) if row not in held]
    return examples.take(kept), examples.take(sorted(held))


def split_folds(examples: Examples, count: int, *, seed: int) -> list[list[int]]:
    """Returns the rows of each of ``count`` parts: stratified, seeded, duplicates kept together.

    Every row is in one part. The parts of a label are as equal in size as its duplicates allow.

    Raises:
        DataError: There are fewer different texts than parts.
    """
    groups = _same_texts(examples)
    if len(groups) < count:
        raise DataError(
            f"Too few different texts for {count} parts: expected as many, found {len(groups)}.",
            hint="Take a smaller --folds, or more texts.",
        )
    generator = np.random.default_rng(seed)
    parts: list[list[int]] = [[] for _ in range(count)]
    for candidates in _strata(examples.known_labels(), groups, 1 / count):
        taken = [0] * count
        for position in generator.permutation(len(candidates)):
            rows = candidates[position]
            # The part with the fewest of this label, then with the fewest of all.
            smallest = min(range(count), key=lambda part: (taken[part], len(parts[part])))
            parts[smallest] += rows
            taken[smallest] += len(rows)
    return [sorted(part) for part in parts]


def count_shared(left: Examples, right: Examples) -> int:
    """Returns how many texts of ``right`` also occur in ``left`` (case and spaces aside)."""
    known = {_normalized(text) for text in left.texts}
    return sum(_normalized(text) in known for text in right.texts)


def count_contradictory(examples: Examples) -> int:
    """Returns how many texts occur with different labels (case and spaces aside)."""
    labels: dict[Any, set[bytes]] = defaultdict(set)
    for text, label in zip(examples.texts, examples.known_labels(), strict=True):
        labels[_normalized(text)].add(label.tobytes())
    return sum(len(found) > 1 for found in labels.values())


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


def join_labels(sets: NDArray[np.bool_], names: Sequence[str]) -> list[str]:
    """Returns the names of each text's labels, joined by ``|``, from shape ``(texts, labels)``."""
    return [
        LABEL_SEPARATOR.join(name for name, given in zip(names, row, strict=True) if given)
        for row in sets
    ]


def write_csv(path: Path, columns: Mapping[str, Sequence[object]]) -> None:
    """Writes columns of equal length as CSV with a header."""
    with path.open("w", encoding="utf-8", newline="") as file:
        # All quoted, because the writer leaves a bare carriage return unquoted.
        writer = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))


def _read_csv(raw: bytes, path: Path) -> Rows:
    previous = csv.field_size_limit(_MAX_FIELD_CHARACTERS)
    try:
        text = _decoded(raw, str(path), _csv_rows)
        reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
        rows = list(reader)
    except csv.Error as error:
        raise DataError(f"{path}: not valid CSV: {error}.") from None
    finally:
        csv.field_size_limit(previous)
    for number, row in enumerate(rows, 1):
        if None in row or None in row.values():
            raise DataError(
                f"{path}, row {number}: expected {len(reader.fieldnames or ())} fields, as in the "
                "header, found another number.",
                hint='A text with a comma or a newline needs double quotes around it: "a, b".',
            )
    return rows


def _decoded(raw: bytes, where: str, count_rows: Any) -> str:
    raw = raw.removeprefix(codecs.BOM_UTF8)
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        # The character stands for the rest of the row in which decoding broke off.
        row = count_rows(raw[: error.start].decode("utf-8") + "x")
        place = f"row {row}" if row else "header"
        raise DataError(
            f"{where}, {place}: expected UTF-8, found the byte 0x{raw[error.start]:02x} that is "
            "not valid there.",
            hint="Convert the file, for example with: iconv -f latin1 -t utf-8",
        ) from None


def _csv_rows(text: str) -> int:
    """Number of rows in ``text``, the header and blank lines not counted."""
    return sum(1 for row in csv.reader(io.StringIO(text, newline="")) if row) - 1


def _line_rows(text: str) -> int:
    return len(_lines(text))


def _lines(text: str) -> list[str]:
    # Only newlines end a row: str.splitlines would also split at U+2028 inside a text.
    return [line for line in text.split("\n") if line.strip()]


def _check_column(rows: Rows, column: str, where: str, *, option: str) -> None:
    for number, row in enumerate(rows, 1):
        if column not in row:
            place = f"{where}, row {number}" if number > 1 else where
            raise DataError(
                f"{place}: no column {column!r}: found {', '.join(map(str, row)) or 'none'}.",
                hint=_column_hint(list(map(str, row)), option),
            )


def _column_hint(found: Sequence[str], option: str) -> str:
    if len(found) == 1:
        for separator, name in ((";", "semicolons"), ("\t", "tabs"), ("|", "bars")):
            if separator in found[0]:
                return f"Its fields seem to stand between {name}: expected commas."
    return f"Name the column with {option}."


def _text(row: Mapping[str, Any], column: str, where: str, number: int) -> str:
    text = row[column]
    if not isinstance(text, str):
        raise DataError(f"{where}, row {number}: expected a text in {column!r}, found {text!r}.")
    if not text.strip():
        raise DataError(
            f"{where}, row {number}: the text is empty in {column!r}.",
            hint="Remove the row or fill it in.",
        )
    try:
        text.encode()
    except UnicodeEncodeError:
        # JSON can spell half of a surrogate pair, which no encoding can write.
        raise DataError(
            f"{where}, row {number}: expected a text, found half a character in {text[:40]!r}."
        ) from None
    return text


def _labels(
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


def _same_texts(examples: Examples) -> list[list[int]]:
    """Rows of each text, whatever its case and spaces, in the order of their first."""
    groups: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for row, text in enumerate(examples.texts):
        groups[_normalized(text)].append(row)
    return list(groups.values())


def _strata(
    labels: NDArray[np.int64], groups: Sequence[list[int]], fraction: float
) -> list[list[list[int]]]:
    """Groups of rows by the label, or the label set, of their first row; rare sets together."""
    strata: dict[tuple[int, ...], list[list[int]]] = defaultdict(list)
    for rows in groups:
        strata[tuple(np.atleast_1d(labels[rows[0]]).tolist())].append(rows)
    rare = [key for key in strata if len(key) > 1 and fraction * len(strata[key]) < 1]
    shared = [rows for key in sorted(rare) for rows in strata.pop(key)]
    return [strata[key] for key in sorted(strata)] + [shared] * bool(shared)


def _normalized(text: Text) -> tuple[str, ...]:
    return tuple(" ".join(part.lower().split()) for part in parts_of(text))
