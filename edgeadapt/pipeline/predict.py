"""``edgeadapt predict``: classify texts with a bundle."""

import sys
from collections.abc import Sequence
from pathlib import Path

from edgeadapt.data import (
    TEXT_COLUMNS,
    Rows,
    empty_rows,
    is_blank,
    is_table,
    parse_jsonl,
    parse_lines,
    read_bytes,
    read_rows,
    read_stream,
    say_skipped,
    to_examples,
    with_columns,
)
from edgeadapt.errors import DataError
from edgeadapt.progress import SILENT, Progress
from edgeadapt.runtime.classifier import Prediction, load
from edgeadapt.text import Text

__all__ = ["predict", "read_pairs", "read_texts"]


def predict(
    bundle: Path, texts: Sequence[Text], *, variant: str | None = None, threads: int | None = None
) -> list[Prediction]:
    """Classifies texts with a bundle; see ``edgeadapt.load`` and ``Classifier.predict``."""
    return load(bundle, variant=variant, threads=threads).predict(texts)


def read_texts(
    file: Path | None,
    *,
    text_column: str,
    skip_empty: bool = False,
    progress: Progress = SILENT,
) -> list[Text]:
    """Reads texts from a table such as CSV or JSONL, or one per line from other files or stdin.

    Args:
        file: The file or pipe; ``None`` for standard input.
        text_column: Column of the text, in a table.
        skip_empty: Leave out empty texts.
        progress: Where to say how many.

    Raises:
        DataError: There is no text, one is empty, the text is not UTF-8, or the file is too large.
    """
    if file is not None and is_table(file):
        rows = read_rows(file, pipes=True)
        return _texts(rows, [text_column], str(file), skip_empty=skip_empty, progress=progress)
    where, raw = _read(file)
    lines = parse_lines(raw, where=where)
    empty = [number for number, line in enumerate(lines, 1) if is_blank(line)]
    if empty and not skip_empty:
        raise DataError(
            f"{where}, line {empty[0]}: the text is empty.",
            hint="Remove the line or fill it in; --skip-empty leaves such lines out.",
        )
    say_skipped(len(empty), where, progress)
    if len(lines) == len(empty):
        raise DataError(
            f"{where} holds no text: expected one a line.",
            hint="Give texts as arguments, with --file, or one a line on standard input.",
        )
    return [line for line in lines if not is_blank(line)]


def read_pairs(
    file: Path | None,
    *,
    text_column: str = TEXT_COLUMNS[0],
    text_pair_column: str = TEXT_COLUMNS[1],
    skip_empty: bool = False,
    progress: Progress = SILENT,
) -> list[Text]:
    """Reads pairs of texts from a table, or from JSON Lines in any other file or stdin.

    Args:
        file: The file or pipe; standard input where none is given.
        text_column: Column of the first text.
        text_pair_column: Column of the second text.
        skip_empty: Leave out pairs of which a text is empty.
        progress: Where to say how many.

    Raises:
        DataError: There is no pair, a column is missing, a text is empty or not UTF-8, or the file
            is too large.
    """
    if file is not None and is_table(file):
        where, rows = str(file), read_rows(file, pipes=True)
    else:
        where, raw = _read(file)
        rows = parse_jsonl(raw, where=where)
    if not rows:
        raise DataError(
            f"{where} holds no pairs: expected a JSON object a line.",
            hint="Give TEXT --text-pair TEXT, or a CSV or JSONL file with --file.",
        )
    columns = [text_column, text_pair_column]
    return _texts(rows, columns, where, skip_empty=skip_empty, progress=progress)


def _texts(
    rows: Rows, columns: Sequence[str], where: str, *, skip_empty: bool, progress: Progress
) -> list[Text]:
    rows = with_columns(rows, columns, where, progress=progress)
    skip = empty_rows(rows, columns) if skip_empty else ()
    say_skipped(len(skip), where, progress)
    examples = to_examples(
        rows,
        text_column=columns[0],
        text_pair_column=columns[1] if len(columns) > 1 else None,
        label_column=None,
        label_names=(),
        where=where,
        skip=skip,
    )
    return list(examples.texts)


def _read(file: Path | None) -> tuple[str, bytes]:
    """Returns a name for messages, and the content of a file, a pipe or standard input."""
    if file is not None:
        return str(file), read_bytes(file, pipes=True)
    return "standard input", read_stream(sys.stdin.buffer, "standard input")
