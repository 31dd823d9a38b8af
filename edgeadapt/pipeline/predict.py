"""``edgeadapt predict``: texts become labels."""

import sys
from collections.abc import Sequence
from pathlib import Path

from edgeadapt.bundle import Manifest
from edgeadapt.data import TEXT_COLUMNS, Rows, parse_jsonl, read_rows, to_examples
from edgeadapt.errors import DataError, UsageError
from edgeadapt.runtime.classifier import Prediction, load
from edgeadapt.storage import check_fetched
from edgeadapt.text import Text

__all__ = ["check_pair_column", "predict", "read_pairs", "read_texts"]


def predict(
    bundle: Path, texts: Sequence[Text], *, variant: str | None = None, threads: int | None = None
) -> list[Prediction]:
    """Classifies texts with a bundle; see ``edgeadapt.load`` and ``Classifier.predict``."""
    return load(bundle, variant=variant, threads=threads).predict(texts)


def check_pair_column(name: str | None, manifest: Manifest) -> None:
    """Checks that a column of second texts is named only where the model takes pairs.

    Raises:
        UsageError: It is named for a model of single texts.
    """
    if name is not None and not manifest.pairs:
        raise UsageError(
            f"--text-pair-column: expected a bundle that takes pairs, found one of single texts "
            f"for the column {name!r}.",
            hint="Leave it out, or name a bundle that was trained with --text-pair-column.",
        )


def read_texts(file: Path | None, *, text_column: str) -> list[Text]:
    """Reads texts from a CSV or JSONL file, or one a line from any other file or stdin.

    Raises:
        DataError: There is no text, a line is empty, or the text is not UTF-8.
    """
    if file is not None and file.suffix in (".csv", ".jsonl"):
        return _texts(read_rows(file), text_column, None, where=str(file))
    where, raw = _read(file)
    lines = raw.removesuffix(b"\n").split(b"\n") if raw else []
    texts: list[Text] = [_line(line, f"{where}, line {n}") for n, line in enumerate(lines, 1)]
    if not texts:
        raise DataError(
            f"{where} holds no text: expected one a line.",
            hint="Give texts as arguments, with --file, or one a line on standard input.",
        )
    return texts


def read_pairs(
    file: Path | None,
    *,
    text_column: str = TEXT_COLUMNS[0],
    text_pair_column: str = TEXT_COLUMNS[1],
) -> list[Text]:
    """Reads pairs of texts from a CSV file, or from JSON Lines in any other file or stdin.

    Raises:
        DataError: There is no pair, a column is missing, a text is empty or not UTF-8.
    """
    if file is not None and file.suffix in (".csv", ".jsonl"):
        return _texts(read_rows(file), text_column, text_pair_column, where=str(file))
    where, raw = _read(file)
    rows = parse_jsonl(raw, where=where)
    if not rows:
        raise DataError(
            f"{where} holds no pairs: expected a JSON object a line.",
            hint="Give TEXT --text-pair TEXT, or a CSV or JSONL file with --file.",
        )
    return _texts(rows, text_column, text_pair_column, where=where)


def _texts(rows: Rows, text_column: str, text_pair_column: str | None, *, where: str) -> list[Text]:
    examples = to_examples(
        rows,
        text_column=text_column,
        text_pair_column=text_pair_column,
        label_column=None,
        label_names=(),
        where=where,
    )
    return list(examples.texts)


def _read(file: Path | None) -> tuple[str, bytes]:
    """A name for messages, and the content of a file or of standard input."""
    if file is not None:
        check_fetched(file)
    try:
        return (
            (str(file), file.read_bytes()) if file else ("standard input", sys.stdin.buffer.read())
        )
    except FileNotFoundError:
        raise DataError(f"{file} does not exist.", hint="Check the path.") from None


def _line(raw: bytes, where: str) -> str:
    try:
        text = raw.decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        raise DataError(
            f"{where}: expected UTF-8, found bytes that are not.",
            hint="Convert the file, for example with: iconv -f latin1 -t utf-8",
        ) from None
    if not text:
        raise DataError(f"{where}: the text is empty.", hint="Remove the line or fill it in.")
    return text
