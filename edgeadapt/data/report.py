"""Statistics of a data set, and warnings about it before training."""

from collections.abc import Mapping, Sequence

from edgeadapt.data import (
    LABEL_SEPARATOR,
    Dataset,
    count_contradictory,
    count_shared,
    fingerprint,
)
from edgeadapt.errors import DataError
from edgeadapt.metrics import wilson_interval
from edgeadapt.progress import Progress
from edgeadapt.store.training import DataReport
from edgeadapt.text import Coverage, Text, TextEncoder

__all__ = ["report_coverage", "report_data"]

FEW_TEXTS = 300
"""With fewer held-out texts, the interval of an accuracy of 90 % is wider than ±3.5 points."""
FEW_PER_LABEL = 8
MUCH_UNKNOWN = 0.05
"""Share of unknown tokens from which the tokenizer may not suit the texts; for texts in the
model's language it is below 1 %."""
MOST_UNREADABLE = 0.9
"""Share of texts without any known word from which the data is rejected."""


def report_data(
    dataset: Dataset, encoder: TextEncoder, progress: Progress, *, is_fold: bool = False
) -> DataReport:
    """Counts examples, unknown tokens, and texts that are truncated, shared or contradictory.

    Warns of what may make training or its scores unreliable.

    Args:
        dataset: The examples.
        encoder: Provides the tokenizer and the longest input.
        progress: Receives warnings of shared texts, ambiguous labels and too few examples.
        is_fold: Whether it is a fold of a cross-validation, which tests on every text in the end.

    Returns:
        The report for ``run.json``.

    Raises:
        DataError: The tokenizer knows no word of the texts of a split.
    """
    splits = {
        "train": dataset.train,
        "validation": dataset.validation,
        "test": dataset.test,
    }
    coverage = report_coverage(
        {name: split.texts for name, split in splits.items()}, encoder, progress
    )
    shared = {
        f"{right} in {left}": count_shared(splits[left], splits[right])
        for left, right in (("train", "validation"), ("train", "test"), ("validation", "test"))
    }
    for name, number in shared.items():
        if number:
            held_out, _, other = name.partition(" in ")
            progress.warn(
                f"{number} of {len(splits[held_out]):,} {held_out} texts also occur in {other}."
            )
    contradictory = count_contradictory(dataset.train)
    if contradictory:
        progress.warn(f"Train texts that occur with different labels: {contradictory:,}.")
    _warn_of_labels(dataset, progress)
    if not is_fold:
        _warn_of_few(dataset, progress)
    _warn_of_rare(dataset, progress)
    return DataReport(
        examples={name: len(split) for name, split in splits.items()},
        fingerprint=fingerprint(dataset),
        truncated={name: each.truncated for name, each in coverage.items()},
        unknown={name: round(each.unknown_share, 6) for name, each in coverage.items()},
        shared=shared,
        contradictory=contradictory,
    )


def report_coverage(
    splits: Mapping[str, Sequence[Text]], encoder: TextEncoder, progress: Progress
) -> dict[str, Coverage]:
    """Counts what texts lose to the longest input and to the vocabulary, and says so.

    Args:
        splits: Name of each part of the data -> its texts.
        encoder: Its tokenizer cuts them.
        progress: Where to report.

    Raises:
        DataError: The tokenizer knows no word of the texts of a split.
    """
    coverage = {name: encoder.coverage(texts) for name, texts in splits.items()}
    if any(part.truncated for part in coverage.values()):
        counts = ", ".join(
            f"{part.truncated:,} of {part.texts:,} {name}" for name, part in coverage.items()
        )
        progress.say(f"Longer than {encoder.max_length} tokens and cut: {counts} texts.")
    for name, part in coverage.items():
        if part.unreadable and part.unreadable >= MOST_UNREADABLE * part.texts:
            raise DataError(
                f"In {part.unreadable:,} of {part.texts:,} {name} texts no word is in the "
                "tokenizer's vocabulary: the model would see unknown tokens alone.",
                hint="Use a --model of the texts' language and script. Is the tokenizer the "
                "model's own, and does it treat capital letters as the model was trained?",
            )
    if any(part.unknown for part in coverage.values()):
        shares = ", ".join(f"{part.unknown_share:.1%} of {name}" for name, part in coverage.items())
        message = f"Not in the tokenizer's vocabulary: {shares} tokens."
        if any(part.unknown_share > MUCH_UNKNOWN for part in coverage.values()):
            progress.warn(f"{message} The model sees nothing of them: is it of another language?")
        else:
            progress.say(message)
    return coverage


def _warn_of_labels(dataset: Dataset, progress: Progress) -> None:
    alike: dict[str, list[str]] = {}
    for name in dataset.label_names:
        alike.setdefault(" ".join(name.casefold().split()), []).append(name)
    for names in alike.values():
        if len(names) > 1:
            listed = ", ".join(map(repr, names))
            progress.warn(f"Labels that differ in case or spaces alone: {listed}.")
    joined = [name for name in dataset.label_names if LABEL_SEPARATOR in name]
    if joined:
        progress.warn(
            f"Labels with {LABEL_SEPARATOR!r} in their names, such as {joined[0]!r}, are each one "
            "label; --multi-label takes them apart."
        )


def _warn_of_few(dataset: Dataset, progress: Progress) -> None:
    held_out = {"validation": len(dataset.validation), "test": len(dataset.test)}
    few = {name: count for name, count in held_out.items() if count < FEW_TEXTS}
    if few:
        least = min(few.values())
        low, high = wilson_interval(0.9, least)
        listed = " and ".join(f"{count} {name}" for name, count in few.items())
        progress.warn(
            f"{listed} texts are few: one of {least} is {100 / least:.1f} points of accuracy, and "
            f"90 % measured on them may be anything from {low:.0%} to {high:.0%} (95 % interval). "
            "--folds tests on every text."
        )


def _warn_of_rare(dataset: Dataset, progress: Progress) -> None:
    counts = dataset.train.count_labels(len(dataset.label_names))
    rare = [
        f"{name} ({count})"
        for name, count in zip(dataset.label_names, counts, strict=True)
        if count < FEW_PER_LABEL
    ]
    if rare:
        shown = ", ".join(rare[:5]) + (f" and {len(rare) - 5} more" if len(rare) > 5 else "")
        progress.warn(f"Labels with fewer than {FEW_PER_LABEL} training texts: {shown}.")
