"""Words for a missing label, such as "none": decide by the column whether one is a class."""

from collections.abc import Mapping

from edgeadapt.data.label_values import is_number
from edgeadapt.errors import DataError

__all__ = ["FILL_IN", "is_word_for_missing", "missing_word", "missing_words"]

FILL_IN = "Remove the row or fill it in."
"""A hint."""

_WORDS = frozenset({"none", "null", "nil", "na", "n/a", "n.a.", "#n/a", "-", "--", "–", "—", "?"})
"""Words that people and programs write for a missing label, in lower case. ``none`` and ``NA`` can
also be names of classes, for example in TREC, stance and relation data."""
_DASHES = frozenset({"-", "–", "—"})
_TRUTH = frozenset({"true", "false"})


def is_word_for_missing(name: str) -> bool:
    """Returns whether a name is a word for a missing label."""
    return name.strip().casefold() in _WORDS


def missing_words(counts: Mapping[str, int]) -> frozenset[str]:
    """Returns the names in a column that mean a missing label.

    Such a word is taken as a class where it is the only one, the other labels are words as well,
    and it occurs at least twice and as often as the rarest other label. A class has several texts;
    missing labels are usually few.

    Args:
        counts: Name -> number of rows that have it.
    """
    words = {name for name in counts if is_word_for_missing(name)}
    others = {name: count for name, count in counts.items() if name not in words}
    if "+" in others:
        words -= _DASHES
    named = any(not is_number(name) and name.casefold() not in _TRUTH for name in others)
    if len(words) == 1 and named:
        word = next(iter(words))
        if counts[word] >= max(2, min(others.values())):
            return frozenset()
    return frozenset(words)


def missing_word(name: str, place: str, column: str) -> DataError:
    """Returns the error for a word that means a missing label."""
    return DataError(
        f"{place}: {name!r} in {column!r} reads as a missing label: expected a name or a number.",
        hint=f"{FILL_IN} --skip-unlabelled leaves such rows out in training. If it is a class, "
        "list it with the others in labels.json beside the data.",
    )
