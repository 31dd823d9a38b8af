"""Convert the inputs of ``Classifier.predict`` to texts."""

from collections.abc import Iterable, Mapping
from typing import Any

from edgeadapt.errors import UsageError
from edgeadapt.store.bundle import Manifest
from edgeadapt.text import Text

__all__ = ["as_texts", "check_pair_column"]

_HINT = "Give a list of str, or any other iterable of them: a column of a table, a generator."


def as_texts(values: Iterable[Any]) -> list[Text]:
    """Returns texts or pairs of texts from any iterable, which is consumed once.

    Elements may be of a subclass of str, as in numpy arrays, or pyarrow scalars. A pair is a tuple
    of two, or a row of two in numpy or pyarrow. Other elements are returned unchanged;
    ``TextEncoder.check`` reports them.

    Args:
        values: A list, tuple, generator, dict view, numpy array, pandas or pyarrow column …

    Raises:
        UsageError: ``values`` is a single text, an open file, not iterable, or a mapping or table,
            whose iteration would yield keys or column names.
    """
    if isinstance(values, str | bytes | bytearray):
        raise UsageError(
            f"predict: expected a sequence of texts, found one {type(values).__name__}.",
            hint="Put a single text into a list: predict([text])",
        )
    kind = type(values).__name__
    if isinstance(values, Mapping) or hasattr(values, "columns") or hasattr(values, "column_names"):
        raise UsageError(
            f"predict: expected an iterable of texts, found a {kind}.",
            hint='Name the column of the texts, as in predict(table["text"]).',
        )
    if hasattr(values, "read"):  # its lines would include line breaks, and may be CSV or JSON
        raise UsageError(
            f"predict: expected an iterable of texts, found an open file ({kind}).",
            hint="Read it first, as in predict(file.read().splitlines()).",
        )
    try:
        iterator = iter(values)
    except TypeError:
        raise UsageError(
            f"predict: expected an iterable of texts, found {kind}.", hint=_HINT
        ) from None
    return [_as_text(value) for value in iterator]


def _as_text(value: Any) -> Text:
    """Returns a plain str or a tuple of two where the value can be converted to one."""
    is_row = hasattr(value, "as_py") or getattr(value, "ndim", 0) == 1
    value = value.as_py() if hasattr(value, "as_py") else value  # a pyarrow scalar
    if isinstance(value, str):
        return str(value)
    if isinstance(value, tuple) or (is_row and value is not None):
        parts = [part.as_py() if hasattr(part, "as_py") else part for part in value]
        if len(parts) == 2 and all(isinstance(part, str) for part in parts):
            return (str(parts[0]), str(parts[1]))
    refused: Text = value
    return refused


def check_pair_column(name: str | None, manifest: Manifest) -> None:
    """Checks that a column of second texts is given only for a model that takes pairs.

    Raises:
        UsageError: It is given for a model of single texts.
    """
    if name is not None and not manifest.pairs:
        raise UsageError(
            f"--text-pair-column: expected a bundle that takes pairs, found one of single texts "
            f"for the column {name!r}.",
            hint="Leave it out, or name a bundle that was trained with --text-pair-column.",
        )
