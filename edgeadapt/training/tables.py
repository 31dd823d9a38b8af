"""Read examples from parquet files and hub data sets: rows, and the names of their classes."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeadapt.data import (
    MOST_BYTES,
    Rows,
    check_file,
    check_header,
    check_rows,
    column_called,
)
from edgeadapt.errors import DataError

__all__ = ["MOST_VALUES", "Table", "dataset_table", "read_parquet"]

_BATCH_ROWS = 64
"""Rows read at a time. Few, because a dictionary-encoded file can repeat one long text in every row
and so expand to far more than its size."""
MOST_VALUES = MOST_BYTES // 8
"""Most values that a parquet file may declare."""
_SAMPLE = "Split it, or take a sample of it."


@dataclass(frozen=True)
class Table:
    """The rows of a split."""

    rows: Rows
    classes: tuple[str, ...] = ()
    """Names of the classes, if the file declares them; labels are then indices of these."""

    def named(self, column: str) -> "Table":
        """Returns the rows with class indices replaced by names, and -1 by ``None``."""
        if not self.classes:
            return self
        return Table(
            [
                {**row, column: self._names(row[column])} if column in row else row
                for row in self.rows
            ]
        )

    def _names(self, field: Any) -> Any:
        if isinstance(field, list):
            return [self._names(value) for value in field]
        if isinstance(field, int) and -1 <= field < len(self.classes):
            return None if field == -1 else self.classes[field]
        return field


def read_parquet(path: Path, columns: Sequence[str], *, label_column: str) -> Table:
    """Reads a parquet file, after checking that its expanded size is within bounds.

    Args:
        path: The file, which is not trusted.
        columns: The columns to read; if one is missing, all columns are read.
        label_column: Column of the label, for the names of its classes.

    Raises:
        DataError: The file cannot be read, is empty or too large, or has a duplicate column.
    """
    import pyarrow as pa
    from pyarrow import parquet

    check_file(path)
    try:
        schema = parquet.read_schema(path)
        texts = [
            field.name
            for field in schema
            if pa.types.is_string(field.type) or pa.types.is_large_string(field.type)
        ]
        # Dictionary-encoded: a small file can repeat one text in any number of rows, and would
        # otherwise be expanded on reading.
        file = parquet.ParquetFile(path, read_dictionary=texts)
    except Exception as error:  # noqa: BLE001 - pyarrow raises many kinds
        raise DataError(f"{path} cannot be read as parquet: {error}") from None
    check_header(schema.names, str(path))
    called = [column_called(schema.names, column) for column in columns]
    wanted = schema.names if None in called else list(dict.fromkeys(called))
    _check_metadata(file.metadata, path)
    rows: list[dict[str, object]] = []
    size = 0
    try:
        # The first pass adds up sizes in little memory, the second makes the rows.
        for batch in file.iter_batches(batch_size=_BATCH_ROWS, columns=wanted):
            size += sum(map(_size, batch.columns))
            _check_size(size, path)
        for batch in file.iter_batches(batch_size=_BATCH_ROWS, columns=wanted):
            rows += batch.to_pylist()
    except DataError:
        raise
    except Exception as error:  # noqa: BLE001 - pyarrow raises many kinds
        raise DataError(f"{path} cannot be read as parquet: {error}") from None
    if not rows:
        raise DataError(f"{path} holds no examples: expected at least one row, found none.")
    label = column_called(schema.names, label_column) or label_column
    return Table(rows, _classes_in(schema.metadata or {}, label))


def dataset_table(dataset: Any, columns: Sequence[str], where: str, *, label_column: str) -> Table:
    """Reads one split of a Hugging Face data set.

    Raises:
        DataError: The split is too large.
    """
    from datasets import ClassLabel

    check_rows(dataset.num_rows, where)
    called = [column_called(dataset.column_names, column) for column in columns]
    if None not in called:
        dataset = dataset.select_columns(list(dict.fromkeys(called)))
    if dataset.data.nbytes > MOST_BYTES:
        raise DataError(
            f"{where} is too large: expected at most {MOST_BYTES:,} bytes, found "
            f"{dataset.data.nbytes:,}.",
            hint=_SAMPLE,
        )
    label = column_called(dataset.column_names, label_column) or label_column
    feature = dataset.features.get(label)
    feature = getattr(feature, "feature", feature)  # for a list of labels, that of its elements
    classes = tuple(feature.names) if isinstance(feature, ClassLabel) else ()
    return Table(list(dataset.to_list()), tuple(name.strip() for name in classes))


def _check_metadata(metadata: Any, path: Path) -> None:
    """Checks the expanded size that a file declares in its metadata."""
    check_rows(metadata.num_rows, str(path))
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    _check_size(sum(group.total_byte_size for group in groups), path)
    values = sum(
        group.column(number).num_values for group in groups for number in range(group.num_columns)
    )
    if values > MOST_VALUES:
        raise DataError(
            f"{path} is too large: expected at most {MOST_VALUES:,} values, found {values:,}.",
            hint=_SAMPLE,
        )


def _check_size(size: int, path: Path) -> None:
    if size > MOST_BYTES:
        raise DataError(
            f"{path} is too large: expected at most {MOST_BYTES:,} bytes when it is unpacked, "
            "found more.",
            hint=_SAMPLE,
        )


def _size(column: Any) -> int:
    """Returns the expanded size of a column in bytes, counting each repetition of a text."""
    import pyarrow as pa
    from pyarrow import compute

    if not isinstance(column, pa.DictionaryArray) or not pa.types.is_string(column.type.value_type):
        return int(column.nbytes)
    lengths = compute.binary_length(column.dictionary).cast(pa.int64())
    return int(compute.sum(lengths.take(column.indices)).as_py() or 0)


def _classes_in(metadata: dict[bytes, bytes], column: str) -> tuple[str, ...]:
    """Returns a column's class names, as ``datasets`` stores them in a parquet file's schema."""
    try:
        feature = json.loads(metadata[b"huggingface"])["info"]["features"][column]
        feature = feature.get("feature", feature)
        names = feature["names"] if feature["_type"] == "ClassLabel" else ()
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError):
        return ()  # not written by datasets
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return ()
    return tuple(name.strip() for name in names)
