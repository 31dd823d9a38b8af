"""Labelled examples: reading CSV and JSON Lines, naming labels, splitting, finding duplicates."""

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
    Rows,
    check_column,
    check_header,
    check_rows,
    is_table,
    parse_jsonl,
    parse_lines,
    read_rows,
    write_csv,
)
from edgeadapt.data.folders import READ, other_splits, split_files, split_of
from edgeadapt.data.label_fields import LABEL_SEPARATOR, is_multi_hot, label_fields
from edgeadapt.data.labels import (
    LabelReader,
    check_label_names,
    infer_labels,
    join_labels,
    read_labels,
    unlabelled_rows,
)
from edgeadapt.data.raw import MOST_BYTES, check_file, read_bytes, read_stream
from edgeadapt.data.splits import hold_out, split_folds

__all__ = [
    "LABEL_SEPARATOR",
    "MOST_BYTES",
    "READ",
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
    "join_labels",
    "label_fields",
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
    "write_csv",
]
