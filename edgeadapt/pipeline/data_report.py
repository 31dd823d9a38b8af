"""What a data set is like, and what the user should know of it before training."""

from typing import Any

from edgeadapt.data import Dataset, count_shared, fingerprint
from edgeadapt.metrics import wilson_interval
from edgeadapt.progress import Progress
from edgeadapt.text import TextEncoder

__all__ = ["report_data"]

FEW_TEXTS = 300
"""With fewer held-out texts, an accuracy of 90 % is known to no better than about 3.5 points."""
FEW_PER_LABEL = 8


def report_data(dataset: Dataset, encoder: TextEncoder, progress: Progress) -> dict[str, Any]:
    """Counts examples, texts that are cut and texts that two splits share; says what is odd.

    Args:
        dataset: The examples.
        encoder: Its tokenizer cuts texts.
        progress: Where to warn of shared texts and of too few examples.

    Returns:
        What ``run.json`` says of the data.
    """
    splits = {
        "train": dataset.train,
        "validation": dataset.validation,
        "test": dataset.test,
    }
    cut = {name: encoder.count_truncated(split.texts) for name, split in splits.items()}
    shared = {
        f"{right} in {left}": count_shared(splits[left], splits[right])
        for left, right in (("train", "validation"), ("train", "test"), ("validation", "test"))
    }
    if sum(cut.values()):
        counts = ", ".join(f"{n:,} of {len(splits[name]):,} {name}" for name, n in cut.items())
        progress.say(f"Longer than {encoder.max_length} tokens and cut: {counts} texts.")
    for name, number in shared.items():
        if number:
            held_out, _, other = name.partition(" in ")
            progress.warn(
                f"{number} of {len(splits[held_out]):,} {held_out} texts also occur in {other}."
            )
    _warn_of_few(dataset, progress)
    return {
        "fingerprint": fingerprint(dataset),
        "examples": {name: len(split) for name, split in splits.items()},
        "truncated": cut,
        "shared": shared,
    }


def _warn_of_few(dataset: Dataset, progress: Progress) -> None:
    for name, split in (("validation", dataset.validation), ("test", dataset.test)):
        if len(split) < FEW_TEXTS:
            low, high = wilson_interval(0.9, len(split))
            progress.warn(
                f"{len(split)} {name} texts: an accuracy of 90 % measured on so few lies between "
                f"{low:.0%} and {high:.0%} (95 % interval). --folds uses every text."
            )
    counts = dataset.train.count_labels(len(dataset.label_names))
    rare = [
        f"{name} ({count})"
        for name, count in zip(dataset.label_names, counts, strict=True)
        if count < FEW_PER_LABEL
    ]
    if rare:
        shown = ", ".join(rare[:5]) + (f" and {len(rare) - 5} more" if len(rare) > 5 else "")
        progress.warn(f"Labels with fewer than {FEW_PER_LABEL} training texts: {shown}.")
