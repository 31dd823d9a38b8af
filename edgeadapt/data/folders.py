"""Find the files of each split in a folder of examples."""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgeadapt.data.files import TABLES
from edgeadapt.errors import DataError

__all__ = ["READ", "SplitFiles", "listed_content", "other_splits", "split_files", "split_of"]

READ = (*TABLES, ".parquet")
"""Suffixes of supported files."""

_ALIASES: Mapping[str, tuple[str, ...]] = {
    "train": ("train", "training"),
    "validation": (
        *("validation", "valid", "dev", "val", "validate", "development"),
        *("eval", "evaluation"),
    ),
    "test": ("test", "testing", "holdout", "hold-out", "hold_out", "held-out", "held_out"),
}
"""Split -> names for it, in lower case."""
_TABLES = (".arrow", ".feather", ".xls", ".xlsx", ".ods")
_COMPRESSED = (".gz", ".bz2", ".xz", ".zst", ".zip")
_OTHERS = (*_TABLES, *_COMPRESSED, ".txt")
"""Suffixes of files that may hold a split and are not supported."""
_UNREAD = frozenset([*READ, *_TABLES, *_COMPRESSED]) - {".json"}
"""Suffixes of files that are reported when they are not used; ``.json`` is usually settings."""
_SHARD = re.compile(r"(.+?)-(\d{5})-of-(\d{5})(?:-[0-9a-f]{16})?", re.ASCII)
"""Names of shards, as the hub and ``datasets`` write them."""
_INNER = "data"
"""Name of the subfolder in which hub repositories keep their data files."""
_MOST_SHOWN = 10


@dataclass(frozen=True)
class SplitFiles:
    """The data files of a folder."""

    folder: Path
    """The folder with the files: the given one, or ``data`` in it."""
    files: Mapping[str, tuple[Path, ...]]
    """Split -> its file, or its shards in order."""
    unread: tuple[str, ...]
    """Names of the other data files in the folder."""


@dataclass(frozen=True)
class _Shard:
    """A shard of a split, parsed from its file name."""

    split: str
    prefix: str
    """Name of the split in the file name."""
    number: int
    """Index, from 0."""
    count: int


def split_of(name: str) -> str | None:
    """Returns the split that a name means, such as ``validation`` for ``Dev``."""
    return next((split for split, names in _ALIASES.items() if name.casefold() in names), None)


def split_files(folder: Path) -> SplitFiles:
    """Finds the files of a folder's splits, or of its subfolder ``data`` where it has none itself.

    Raises:
        DataError: There are two files for one split, a shard is missing, or a file is in an
            unsupported format.
    """
    found: dict[str, list[Path]] = defaultdict(list)
    not_read: dict[str, list[str]] = defaultdict(list)
    unread: list[str] = []
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        is_read = path.suffix.lower() in READ and not path.is_dir()
        split = _split_in(path) if is_read else split_of(path.name.partition(".")[0])
        if is_read and split is not None:
            found[split].append(path)
        elif split is not None and (path.is_dir() or path.suffix.lower() in _OTHERS):
            not_read[split].append(path.name)
        elif path.suffix.lower() in _UNREAD:
            unread.append(path.name)
    is_empty = not found and not not_read and not unread
    if is_empty and folder.name != _INNER and (folder / _INNER).is_dir():
        return split_files(folder / _INNER)
    _check_not_read(folder, found, not_read)
    unread += [name for names in not_read.values() for name in names]
    return SplitFiles(
        folder,
        {split: _of_one_split(folder, split, found[split]) for split in _ALIASES if split in found},
        tuple(unread),
    )


def other_splits(path: Path) -> tuple[str, ...]:
    """Returns the names of files beside a file of training examples that belong to the same data.

    These are the files of other splits, and other shards of the same split.
    """
    if _split_in(path) != "train":
        return ()
    wanted = ("train", "validation", "test") if _shard_of(path) else ("validation", "test")
    return tuple(
        other.name
        for other in sorted(path.parent.iterdir())
        if other.suffix.lower() in READ and other.name != path.name and _split_in(other) in wanted
    )


def listed_content(folder: Path) -> str:
    """Returns the names in a folder for a message; names of folders end with a slash."""
    names = [
        f"{path.name}/" if path.is_dir() else path.name
        for path in sorted(folder.iterdir())
        if not path.name.startswith(".")
    ]
    more = f" and {len(names) - _MOST_SHOWN} more" if len(names) > _MOST_SHOWN else ""
    return ", ".join(names[:_MOST_SHOWN]) + more or "nothing"


def _split_in(path: Path) -> str | None:
    shard = _shard_of(path)
    return shard.split if shard else split_of(path.stem)


def _shard_of(path: Path) -> _Shard | None:
    """Reads a name such as ``train-00000-of-00002.parquet``; ``None`` for any other."""
    match = _SHARD.fullmatch(path.stem)
    split = split_of(match[1]) if match else None
    return _Shard(split, match[1], int(match[2]), int(match[3])) if match and split else None


def _of_one_split(folder: Path, split: str, paths: Sequence[Path]) -> tuple[Path, ...]:
    """Returns the one file of a split, or all its shards.

    Raises:
        DataError: There is more than one file or set of shards, or a shard is missing.
    """
    shards = {path: shard for path in paths if (shard := _shard_of(path))}
    counts = {shard.count for shard in shards.values()}
    numbers = sorted(shard.number for shard in shards.values())
    if len(paths) > 1 and (
        len(shards) < len(paths)
        or len(counts) > 1
        or len(set(numbers)) < len(numbers)
        or len({path.suffix.lower() for path in paths}) > 1
    ):
        listed = ", ".join(path.name for path in paths)
        raise DataError(
            f"{folder}: expected one file for {split}, or one set of shards, found {listed}.",
            hint="Move the others elsewhere.",
        )
    if not shards:
        return tuple(paths)
    count = counts.pop()
    if numbers[-1] >= count:
        listed = ", ".join(path.name for path in paths)
        raise DataError(
            f"{folder}: expected the shards of {split} to be numbered from 0 to {count - 1}, found "
            f"{listed}.",
            hint="Fetch the files again, or give them names such as train.csv.",
        )
    missing = [number for number in range(count) if number not in numbers]
    if missing:
        prefix = shards[paths[0]].prefix
        names = [
            f"{prefix}-{number:05}-of-{count:05}{paths[0].suffix}"
            for number in missing[:_MOST_SHOWN]
        ]
        raise DataError(
            f"{folder}: expected {count} shards for {split}, found {len(numbers)}: missing "
            f"{', '.join(names)}{', …' if len(missing) > _MOST_SHOWN else ''}.",
            hint="Fetch the missing files, or give the ones that are there another name.",
        )
    return tuple(sorted(paths, key=lambda path: shards[path].number))


def _check_not_read(
    folder: Path, found: Mapping[str, list[Path]], not_read: Mapping[str, list[str]]
) -> None:
    for split, names in not_read.items():
        if split not in found:
            raise DataError(
                f"{folder}: expected a {', '.join(READ)} file for {split}, found "
                f"{', '.join(names)}.",
                hint="Convert it, or move it elsewhere to hold texts out of train.",
            )
