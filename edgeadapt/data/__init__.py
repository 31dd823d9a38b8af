"""Labelled examples: reading CSV and JSON Lines, naming labels, splitting, finding duplicates."""

from edgeadapt.data.examples import (
    TEXT_COLUMNS,
    Dataset,
    Examples,
    count_contradictory,
    count_shared,
    fingerprint,
    text_columns,
    to_examples,
)
from edgeadapt.data.files import Rows, parse_jsonl, read_rows, write_csv
from edgeadapt.data.label_fields import LABEL_SEPARATOR, is_multi_hot, label_fields
from edgeadapt.data.labels import (
    LabelReader,
    check_label_names,
    infer_labels,
    join_labels,
    read_labels,
)
from edgeadapt.data.splits import hold_out, split_folds

__all__ = [
    "LABEL_SEPARATOR",
    "TEXT_COLUMNS",
    "Dataset",
    "Examples",
    "LabelReader",
    "Rows",
    "check_label_names",
    "count_contradictory",
    "count_shared",
    "fingerprint",
    "hold_out",
    "infer_labels",
    "is_multi_hot",
    "join_labels",
    "label_fields",
    "parse_jsonl",
    "read_labels",
    "read_rows",
    "split_folds",
    "text_columns",
    "to_examples",
    "write_csv",
]
