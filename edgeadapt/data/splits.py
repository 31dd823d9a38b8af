"""Split examples: stratified, seeded, with equal texts in the same part."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgeadapt.data.examples import Examples, normalized
from edgeadapt.errors import DataError

__all__ = ["hold_out", "split_folds"]


def hold_out(examples: Examples, fraction: float, *, seed: int) -> tuple[Examples, Examples]:
    """Holds out a share of the examples: stratified, seeded, duplicates in the same part.

    Returns:
        ``(kept, held_out)``, both in their original order. Every label with at least two different
        texts is in both parts; a text that occurs with two labels counts for its first.
        Multi-label, examples are stratified by label set; sets with too few texts are combined.

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
    """Returns the rows of ``count`` folds: stratified, seeded, duplicates in the same fold.

    Every row is in one fold. The folds have as equal numbers of each label as duplicates allow.

    Raises:
        DataError: There are fewer different texts than folds.
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
            # The fold with the fewest rows of this label, then with the fewest rows.
            smallest = min(range(count), key=lambda part: (taken[part], len(parts[part])))
            parts[smallest] += rows
            taken[smallest] += len(rows)
    return [sorted(part) for part in parts]


def _same_texts(examples: Examples) -> list[list[int]]:
    """Rows grouped by text, ignoring case and spaces, in the order of first occurrence."""
    groups: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for row, text in enumerate(examples.texts):
        groups[normalized(text)].append(row)
    return list(groups.values())


def _strata(
    labels: NDArray[np.int64], groups: Sequence[list[int]], fraction: float
) -> list[list[list[int]]]:
    """Groups of rows by the label or label set of their first row; rare sets are combined."""
    strata: dict[tuple[int, ...], list[list[int]]] = defaultdict(list)
    for rows in groups:
        strata[tuple(np.atleast_1d(labels[rows[0]]).tolist())].append(rows)
    rare = [key for key in strata if len(key) > 1 and fraction * len(strata[key]) < 1]
    shared = [rows for key in sorted(rare) for rows in strata.pop(key)]
    return [strata[key] for key in sorted(strata)] + [shared] * bool(shared)
