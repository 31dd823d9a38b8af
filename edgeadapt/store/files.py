"""Write files atomically, and verify them by hash and format version."""

import errno
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from edgeadapt.errors import (
    EdgeAdaptError,
    FormatVersionError,
    IntegrityError,
    LayoutError,
)
from edgeadapt.parsing import CONFIG_BYTES, Refusal, check_downloaded, parse_json, read_bounded

__all__ = [
    "check_format_version",
    "check_sha256",
    "flush_to_disk",
    "no_space_named",
    "read_json",
    "read_versioned",
    "sha256",
    "to_json",
    "write_file",
    "write_json",
    "write_text",
]


def sha256(path: Path) -> str:
    """Returns the SHA-256 of a file as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_sha256(path: Path, expected: str) -> None:
    """Compares a file with the hash that was recorded when it was written.

    Raises:
        IntegrityError: The file is missing or has another hash.
    """
    if not path.is_file():
        raise IntegrityError(
            f"{path} is missing (expected a file with sha256 {expected}).",
            hint="Copy or write the whole folder again.",
        )
    actual = sha256(path)
    if actual != expected:
        check_downloaded(path)
        raise IntegrityError(
            f"{path} is not the file that was written: expected sha256 {expected}, found {actual}.",
            hint="It was changed or damaged. Copy or write it again.",
        )


def check_format_version(found: object, *, supported: int, path: Path) -> None:
    """Compares the format version of a file with the newest that this edgeadapt reads.

    Raises:
        FormatVersionError: The file is newer.
        LayoutError: It has no usable format version.
    """
    if type(found) is not int or found < 1:  # isinstance would accept True
        raise LayoutError(
            f"{path} has no usable format version: expected a whole number from 1 to "
            f"{supported}, found {found!r}.",
            hint="Check that the file was written by edgeadapt.",
        )
    if found > supported:
        raise FormatVersionError(
            f"{path} has format version {found}; this edgeadapt reads up to {supported}.",
            hint="Upgrade with: pip install --upgrade edgeadapt",
        )


def read_json(
    path: Path, *, limit: int = CONFIG_BYTES, refusal: Refusal = LayoutError
) -> dict[str, object]:
    """Reads one JSON object of at most ``limit`` bytes.

    Args:
        path: The file.
        limit: Largest size in bytes.
        refusal: Class of the error for other content.

    Raises:
        MissingError: There is no such file.
        IntegrityError: It is a git-lfs pointer, or the remains of a failed download.
        EdgeAdaptError: It is not a JSON object, or ``parse_json`` rejects it.
    """
    content = read_bounded(path, limit=limit, refusal=refusal)
    check_downloaded(path)
    value = parse_json(content, where=str(path), refusal=refusal)
    if not isinstance(value, dict):
        raise refusal(f"{path}: expected a JSON object, found a {type(value).__name__}.")
    return value


def read_versioned(path: Path, *, supported: int) -> dict[str, object]:
    """Reads a JSON object with a format version, and returns it without the version.

    Raises:
        MissingError: There is no such file.
        LayoutError: It is not a JSON object, has no format version, or is newer than ``supported``.
    """
    value = read_json(path)
    check_format_version(value.pop("format_version", None), supported=supported, path=path)
    return value


def write_json(path: Path, value: Mapping[str, object]) -> None:
    """Writes one JSON object atomically: a crash leaves either the old or the new file."""
    write_text(path, to_json(value))


def to_json(value: Mapping[str, object]) -> str:
    """Returns a JSON object as text, indented, without escaping non-ASCII characters.

    Raises:
        ValueError: A number is not finite.
    """
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def write_text(path: Path, text: str) -> None:
    """Writes a text file atomically: a crash leaves either the old or the new file."""
    write_file(path, lambda partial: partial.write_bytes(text.encode("utf-8")))


def write_file(path: Path, write: Callable[[Path], object]) -> None:
    """Writes a file atomically, and flushes it to disk.

    Args:
        path: The file. An old one stays in place until the new one is complete.
        write: Writes the content; it is called with a temporary path in the same folder.

    Raises:
        EdgeAdaptError: The disk is full.
    """
    with no_space_named(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.partial-")
        os.close(handle)
        partial = Path(name)
        try:
            write(partial)
            flush_to_disk(partial)
            partial.chmod(0o644)
            partial.replace(path)
            flush_to_disk(path.parent)  # makes the rename durable
        except BaseException:
            partial.unlink(missing_ok=True)
            raise


def flush_to_disk(path: Path) -> None:
    """Flushes the content of a file, or the entries of a folder, to disk."""
    if path.is_dir() and os.name == "nt":
        return  # Windows cannot open folders, and flushes only files opened for writing
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def no_space_named(folder: Path) -> Iterator[None]:
    """Turns a full disk into an error that names the folder.

    Libraries that write from native code report it with their own exception types and the
    operating system's error text, so the message is searched.
    """
    try:
        yield
    except EdgeAdaptError:
        raise
    except Exception as error:
        number = error.errno if isinstance(error, OSError) else None
        full = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
        words = ("No space left on device", "Disk quota exceeded", "File too large")
        if number in full or any(word in str(error) for word in words):
            raise EdgeAdaptError(
                f"No space left while writing to {folder}: {error}",
                hint="Free some disk space or write to another folder. "
                "Nothing was left half-written.",
            ) from error
        raise
