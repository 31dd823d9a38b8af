"""Folders of examples: which file is which split, and which files are left."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edgeadapt.errors import DataError

__all__ = ["READ", "SplitFiles", "other_splits", "split_files", "split_of"]

READ = (".csv", ".jsonl", ".parquet")
"""Suffixes of the files that are read."""

_ALIASES: Mapping[str, tuple[str, ...]] = {
    "train": ("train", "training"),
    "validation": (
        *("validation", "valid", "dev", "val", "validate", "development"),
        *("eval", "evaluation"),
    ),
    "test": ("test", "testing", "holdout", "hold-out", "hold_out", "held-out", "held_out"),
}
"""What each split is called, whatever the case."""
_TABLES = (".tsv", ".ndjson", ".arrow", ".feather", ".xls", ".xlsx", ".ods")
_COMPRESSED = (".gz", ".bz2", ".xz", ".zst", ".zip")
_OTHERS = (*_TABLES, *_COMPRESSED, ".json", ".txt")
"""Suffixes of files that may hold a split and are not read."""


@dataclass(frozen=True)
class SplitFiles:
    """What a folder holds."""

    files: Mapping[str, Path]
    """Split -> its file."""
    unread: tuple[str, ...]
    """Names of data files beside them."""


def split_of(name: str) -> str | None:
    """Returns the split that a name stands for, such as ``validation`` for ``Dev``."""
    return next((split for split, names in _ALIASES.items() if name.casefold() in names), None)


def split_files(folder: Path) -> SplitFiles:
    """Finds the files of a folder's splits.

    Raises:
        DataError: Two files are there for one split, or one in a format that is not read.
    """
    found: dict[str, list[Path]] = defaultdict(list)
    not_read: dict[str, list[str]] = defaultdict(list)
    unread: list[str] = []
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        is_read = path.suffix.lower() in READ and not path.is_dir()
        split = split_of(path.stem if is_read else path.name.partition(".")[0])
        if is_read and split is not None:
            found[split].append(path)
        elif split is not None and (path.is_dir() or path.suffix.lower() in _OTHERS):
            not_read[split].append(path.name)
        elif is_read or path.suffix.lower() in (*_TABLES, *_COMPRESSED):
            unread.append(path.name)
    _check_one_each(folder, found, not_read)
    unread += [name for names in not_read.values() for name in names]
    return SplitFiles(
        {split: found[split][0] for split in _ALIASES if split in found}, tuple(unread)
    )


def other_splits(path: Path) -> tuple[str, ...]:
    """Returns the names of files beside a file of training examples that hold other splits."""
    if split_of(path.stem) != "train":
        return ()
    return tuple(
        other.name
        for other in sorted(path.parent.iterdir())
        if other.suffix.lower() in READ and split_of(other.stem) in ("validation", "test")
    )


def _check_one_each(
    folder: Path, found: Mapping[str, list[Path]], not_read: Mapping[str, list[str]]
) -> None:
    for split, paths in found.items():
        if len(paths) > 1:
            listed = ", ".join(path.name for path in paths)
            raise DataError(
                f"{folder}: expected one file for {split}, found {listed}.",
                hint="Move the others elsewhere.",
            )
    for split, names in not_read.items():
        if split not in found:
            raise DataError(
                f"{folder}: expected a {', '.join(READ)} file for {split}, found "
                f"{', '.join(names)}.",
                hint="Convert it, or move it elsewhere to hold texts out of train.",
            )
