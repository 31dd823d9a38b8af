"""Writing to disk so that nothing is ever half there, and knowing later that it is unchanged."""

import errno
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

try:
    import fcntl
except ModuleNotFoundError:  # Windows
    fcntl = None  # type: ignore[assignment]

from edgeadapt.errors import (
    EdgeAdaptError,
    FormatVersionError,
    IntegrityError,
    LayoutError,
    OutputExistsError,
)
from edgeadapt.parsing import CONFIG_BYTES, Refusal, check_fetched, parse_json, read_bounded

__all__ = [
    "check_format_version",
    "check_free",
    "check_sha256",
    "free_name",
    "held",
    "read_json",
    "read_versioned",
    "recover",
    "sha256",
    "staged_folder",
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
        IntegrityError: The file is missing or is another one.
    """
    if not path.is_file():
        raise IntegrityError(
            f"{path} is missing (expected a file with sha256 {expected}).",
            hint="Copy or write the whole folder again.",
        )
    found = sha256(path)
    if found != expected:
        check_fetched(path)
        raise IntegrityError(
            f"{path} is not the file that was written: expected sha256 {expected}, found {found}.",
            hint="It was changed or damaged. Copy or write it again.",
        )


def check_format_version(found: object, *, supported: int, path: Path) -> None:
    """Compares the format version of a file with the newest that this edgeadapt reads.

    Raises:
        FormatVersionError: The file is newer.
        LayoutError: It has no usable format version.
    """
    if type(found) is not int or found < 1:  # True is an int, too
        raise LayoutError(
            f"{path} has no usable format version: expected a whole number from 1 to "
            f"{supported}, found {found!r}.",
            hint="Was it written by edgeadapt?",
        )
    if found > supported:
        raise FormatVersionError(
            f"{path} has format version {found}; this edgeadapt reads up to {supported}.",
            hint="Upgrade with: pip install --upgrade edgeadapt",
        )


def read_json(
    path: Path, *, limit: int = CONFIG_BYTES, refusal: Refusal = LayoutError
) -> dict[str, Any]:
    """Reads one JSON object of at most ``limit`` bytes.

    Args:
        path: The file.
        limit: Largest size in bytes.
        refusal: Kind of the error where it holds something else.

    Raises:
        MissingError: There is no such file.
        IntegrityError: It is a git-lfs pointer.
        EdgeAdaptError: It does not hold a JSON object, or not one that ``parse_json`` takes.
    """
    content = read_bounded(path, limit=limit, refusal=refusal)
    value = parse_json(content, where=str(path), refusal=refusal)
    if not isinstance(value, dict):
        raise refusal(f"{path}: expected a JSON object, found a {type(value).__name__}.")
    return value


def read_versioned(path: Path, *, supported: int) -> dict[str, Any]:
    """Reads one JSON object that says its format version, and returns the rest of it.

    Raises:
        MissingError: There is no such file.
        LayoutError: It is not a JSON object, has no format version, or is newer than ``supported``.
    """
    value = read_json(path)
    check_format_version(value.pop("format_version", None), supported=supported, path=path)
    return value


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Writes one JSON object atomically: the old file or the new one, never a part."""
    write_text(path, to_json(value))


def to_json(value: dict[str, Any]) -> str:
    """Returns a JSON object as it is written: indented, characters as they are.

    Raises:
        ValueError: A number is not finite.
    """
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def write_text(path: Path, text: str) -> None:
    """Writes a text file atomically: the old file or the new one, never a part."""
    write_file(path, lambda partial: partial.write_bytes(text.encode("utf-8")))


def write_file(path: Path, write: Callable[[Path], object]) -> None:
    """Writes a file atomically, and waits until it is on the disk.

    Args:
        path: The file. The old one stays until the new one is complete.
        write: Called with a path beside it, to be written.

    Raises:
        EdgeAdaptError: The disk is full.
    """
    with _no_space_named(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.partial-")
        os.close(handle)
        partial = Path(name)
        try:
            write(partial)
            _flush_to_disk(partial)
            partial.chmod(0o644)
            partial.replace(path)
            _flush_to_disk(path.parent)  # the name, too
        except BaseException:
            partial.unlink(missing_ok=True)
            raise


def check_free(target: Path, *, force: bool) -> None:
    """Raises ``OutputExistsError`` when something is at ``target`` that may not be replaced."""
    if target.exists() and not force:
        raise OutputExistsError(
            f"{target} exists already.",
            hint="Choose another name for what is written, or replace it with --force.",
        )


@contextmanager
def staged_folder(target: Path, *, force: bool = False, lock: bool = True) -> Iterator[Path]:
    """A folder that appears under its name only when it is complete.

    The block fills a hidden sibling of ``target``. When the block ends, the sibling takes
    ``target``'s name; when it fails or is interrupted, the sibling is removed and ``target``
    is as it was.

    Args:
        target: The folder to write.
        force: Replace an existing folder. It stays in place until the new one is complete.
        lock: Keep other processes from writing ``target``; not where the caller holds it already.

    Raises:
        OutputExistsError: ``target`` exists and ``force`` is not given, or another process is
            writing it.
        EdgeAdaptError: The disk is full.
    """
    check_free(target, force=force)
    with held(target) if lock else nullcontext(), _no_space_named(target.parent):
        check_free(target, force=force)  # another process may just have finished it
        target.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}.partial-"))
        try:
            staging.chmod(0o755)
            yield staging
            check_free(target, force=force)  # it may have appeared meanwhile
            for path in (*staging.rglob("*"), staging):
                _flush_to_disk(path)  # before anything that it replaces goes
            _replace_folder(staging, target)
        except BaseException:
            shutil.rmtree(staging, ignore_errors=True)
            raise


@contextmanager
def held(target: Path) -> Iterator[None]:
    """Keeps other processes from writing ``target`` for the block; a kill ends it too.

    What killed processes left in the folder of ``target`` is put right first, see ``recover``.
    Where the file system has no locks, nothing is kept out and nothing is removed.

    Raises:
        OutputExistsError: Another process is writing it.
    """
    made = [folder for folder in target.parents if not folder.exists()]
    with _no_space_named(target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with _locked(target) as has_locks:
                if has_locks:
                    recover(target)
                    _recover_others(target)
                yield
        finally:
            with suppress(OSError):  # what has come to hold something stays
                for folder in made:
                    folder.rmdir()


def recover(target: Path) -> None:
    """Puts right what a kill left of ``staged_folder`` or ``write_file``.

    Nobody may be writing ``target`` now: call it where ``target`` is ``held``.

    A folder that was moved aside and not yet replaced comes back; half-written ones go.
    """
    parts = list(target.parent.iterdir())
    for aside in (part for part in parts if part.name.startswith(f".{target.name}.old-")):
        if not target.exists() and (aside / target.name).exists():
            (aside / target.name).replace(target)
        shutil.rmtree(aside, ignore_errors=True)
    for partial in (part for part in parts if part.name.startswith(f".{target.name}.partial-")):
        if partial.is_dir():
            shutil.rmtree(partial, ignore_errors=True)
        else:
            partial.unlink(missing_ok=True)


_LEFTOVER = re.compile(r"\.(.+)\.(?:(?:partial|old)-[a-z0-9_]{8}|edgeadapt-lock)")
"""Hidden siblings of what is written, with its name."""
_NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS})


def _recover_others(target: Path) -> None:
    """Puts right what killed writers of other names left beside ``target``."""
    found = (_LEFTOVER.fullmatch(path.name) for path in target.parent.iterdir())
    for name in {match[1] for match in found if match} - {target.name}:
        # Another process may be writing it, or be putting it right, or own it.
        with suppress(OSError, OutputExistsError), _locked(target.with_name(name)):
            recover(target.with_name(name))


@contextmanager
def _locked(target: Path) -> Iterator[bool]:
    """Holds the lock of a name for the block, and says whether there are locks here.

    Raises:
        OutputExistsError: Another process holds it.
    """
    path = target.with_name(f".{target.name}.edgeadapt-lock")
    while True:
        with path.open("w") as file:
            try:
                if fcntl is None:
                    raise OSError(errno.ENOSYS, "no locks")
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise OutputExistsError(
                    f"Another process is writing {target}.",
                    hint="Wait until it is done, or stop it first.",
                ) from None
            except OSError as error:
                path.unlink(missing_ok=True)
                if error.errno not in _NO_LOCKS:
                    raise
                yield False
                return
            if not _is_at(path, file.fileno()):
                continue  # whoever held it has just removed it: it keeps nobody out any more
            try:
                yield True
            finally:
                path.unlink(missing_ok=True)
            return


def _is_at(path: Path, handle: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(handle))
    except FileNotFoundError:
        return False


def free_name(folder: Path, stem: str, *, suffix: str = "") -> Path:
    """Returns ``folder/stem`` or, if that is taken, ``folder/stem-2``, ``-3`` and so on."""
    candidate, number = folder / f"{stem}{suffix}", 1
    while candidate.exists():
        number += 1
        candidate = folder / f"{stem}-{number}{suffix}"
    return candidate


def _flush_to_disk(path: Path) -> None:
    if path.is_dir() and os.name == "nt":
        return  # Windows has no handles of folders, and flushes only what is open for writing
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _replace_folder(staging: Path, target: Path) -> None:
    """Renames ``staging`` to ``target``; an old ``target`` is moved aside first."""
    if not target.exists():
        staging.replace(target)
        _flush_to_disk(target.parent)
        return
    aside = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}.old-"))
    try:
        target.replace(aside / target.name)
        staging.replace(target)
        _flush_to_disk(target.parent)
    except BaseException:
        if not target.exists():
            (aside / target.name).replace(target)
        raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)


@contextmanager
def _no_space_named(folder: Path) -> Iterator[None]:
    """Turns a full disk into an error that names the folder.

    Libraries that write from native code report it in their own exception types, with the
    operating system's words in the message; hence the look at the text.
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
