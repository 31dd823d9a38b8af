"""``edgeadapt predict``: texts become labels."""

import sys
from collections.abc import Sequence
from pathlib import Path

from edgeadapt.data import read_rows, to_examples
from edgeadapt.errors import DataError
from edgeadapt.runtime.classifier import Prediction, load

__all__ = ["predict", "read_texts"]


def predict(
    bundle: Path, texts: Sequence[str], *, variant: str | None = None, threads: int | None = None
) -> list[Prediction]:
    """Classifies texts with a bundle; see ``edgeadapt.load`` and ``Classifier.predict``."""
    return load(bundle, variant=variant, threads=threads).predict(texts)


def read_texts(file: Path | None, *, text_column: str) -> list[str]:
    """Reads texts from a CSV or JSONL file, or one a line from any other file or stdin.

    Raises:
        DataError: There is no text, a line is empty, or the text is not UTF-8.
    """
    if file is not None and file.suffix in (".csv", ".jsonl"):
        rows = read_rows(file)
        examples = to_examples(
            rows, text_column=text_column, label_column=None, label_names=(), where=str(file)
        )
        return list(examples.texts)
    where = str(file) if file else "standard input"
    try:
        raw = file.read_bytes() if file else sys.stdin.buffer.read()
    except FileNotFoundError:
        raise DataError(f"{file} does not exist.", hint="Check the path.") from None
    lines = raw.removesuffix(b"\n").split(b"\n") if raw else []
    texts = [_line(line, f"{where}, line {number}") for number, line in enumerate(lines, 1)]
    if not texts:
        raise DataError(
            f"{where} holds no text: expected one a line.",
            hint="Give texts as arguments, with --file, or one a line on standard input.",
        )
    return texts


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
