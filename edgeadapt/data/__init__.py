"""Labelled examples: reading CSV and JSON, naming labels, splitting, finding duplicates."""

from edgeadapt.data.columns import check_column, check_header, column_called, with_columns
from edgeadapt.data.delimited import check_rows
from edgeadapt.data.embedded import embedded_texts
from edgeadapt.data.examples import (
    TEXT_COLUMNS,
    Dataset,
    Examples,
    count_contradictory,
    count_shared,
    empty_rows,
    fingerprint,
    is_blank,
    say_skipped,
    text_columns,
    to_examples,
)
from edgeadapt.data.files import (
    TABLES,
    Rows,
    is_table,
    other_kind,
    parse_lines,
    read_rows,
    write_csv,
)
from edgeadapt.data.folders import READ, listed_content, other_splits, split_files, split_of
from edgeadapt.data.json_rows import parse_jsonl
from edgeadapt.data.label_fields import LABEL_SEPARATOR, is_multi_hot, label_fields
from edgeadapt.data.label_reader import LabelReader
from edgeadapt.data.labels import (
    check_label_names,
    infer_labels,
    join_labels,
    read_labels,
    unlabelled_rows,
)
from edgeadapt.data.missing import is_word_for_missing, missing_word
from edgeadapt.data.raw import MOST_BYTES, check_file, read_bytes, read_stream
from edgeadapt.data.splits import hold_out, split_folds

__all__ = [
    "LABEL_SEPARATOR",
    "MOST_BYTES",
    "READ",
    "TABLES",
    "TEXT_COLUMNS",
    "Dataset",
    "Examples",
    "LabelReader",
    "Rows",
    "check_column",
    "check_file",
    "check_header",
    "check_label_names",
    "check_rows",
    "column_called",
    "count_contradictory",
    "count_shared",
    "embedded_texts",
    "empty_rows",
    "fingerprint",
    "hold_out",
    "infer_labels",
    "is_blank",
    "is_multi_hot",
    "is_table",
    "is_word_for_missing",
    "join_labels",
    "label_fields",
    "listed_content",
    "missing_word",
    "other_kind",
    "other_splits",
    "parse_jsonl",
    "parse_lines",
    "read_bytes",
    "read_labels",
    "read_rows",
    "read_stream",
    "say_skipped",
    "split_files",
    "split_folds",
    "split_of",
    "text_columns",
    "to_examples",
    "unlabelled_rows",
    "with_columns",
    "write_csv",
]
