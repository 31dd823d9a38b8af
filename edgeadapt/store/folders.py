"""Folders that appear whole under their names, and one writer for each name."""

import errno
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

try:
    import fcntl
except ModuleNotFoundError:  # Windows
    fcntl = None  # type: ignore[assignment]

from edgeadapt.errors import OutputExistsError
from edgeadapt.store.files import flush_to_disk, no_space_named

__all__ = ["check_free", "free_name", "held", "recover", "staged_folder"]


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
    with held(target) if lock else nullcontext(), no_space_named(target.parent):
        check_free(target, force=force)  # another process may just have finished it
        target.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}.partial-"))
        try:
            staging.chmod(0o755)
            yield staging
            check_free(target, force=force)  # it may have appeared meanwhile
            for path in (*staging.rglob("*"), staging):
                flush_to_disk(path)  # before anything that it replaces goes
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
    with no_space_named(target.parent):
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


def _replace_folder(staging: Path, target: Path) -> None:
    """Renames ``staging`` to ``target``; an old ``target`` is moved aside first."""
    if not target.exists():
        staging.replace(target)
        flush_to_disk(target.parent)
        return
    aside = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}.old-"))
    try:
        target.replace(aside / target.name)
        staging.replace(target)
        flush_to_disk(target.parent)
    except BaseException:
        if not target.exists():
            (aside / target.name).replace(target)
        raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)
