"""Write folders atomically, with a lock so that each name has only one writer."""

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

from edgeadapt.errors import OutputExistsError, UsageError
from edgeadapt.store.files import flush_to_disk, no_space_named

__all__ = ["check_file_free", "check_free", "free_name", "held", "recover", "staged_folder"]


def check_free(target: Path, *, force: bool, known_by: str | None = None) -> None:
    """Checks that a folder may be written at ``target``.

    Args:
        target: The folder to write.
        force: Replace what is there.
        known_by: Replace only an empty folder or one that holds a file of this name, so that a
            mistyped path deletes no other files. Without it, anything is replaced.

    Raises:
        OutputExistsError: Something is there that may not be replaced.
        UsageError: ``target`` has no name of its own, or the name of a temporary file.
    """
    _check_name(target)
    if not os.path.lexists(target):  # lexists: a broken link is in the way, too
        return
    if not force:
        raise OutputExistsError(
            f"{target} exists already.",
            hint="Choose another name for what is written, or replace it with --force.",
        )
    if known_by is not None and not _may_be_replaced(target, known_by):
        raise OutputExistsError(
            f"{target} is not what --force replaces here: expected a folder with {known_by}, or "
            f"an empty one, found {_content(target)}.",
            hint="Choose another name for what is written, or move away what is there.",
        )


def check_file_free(target: Path, *, force: bool) -> None:
    """Checks that a file may be written at ``target``.

    Raises:
        OutputExistsError: Something is there and ``force`` is not given, or it is no regular file.
        UsageError: ``target`` has no name of its own, or the name of a temporary file.
    """
    check_free(target, force=force)
    if target.exists() and not target.is_file():
        raise OutputExistsError(
            f"{target} is not what --force replaces here: expected a file, found "
            f"{'a folder' if target.is_dir() else 'a device or pipe'}.",
            hint="Choose another name for what is written.",
        )


def _check_name(target: Path) -> None:
    if target.name in ("", ".."):
        raise UsageError(
            f"--output: expected the name of what is written, found {str(target)!r}.",
            hint="Give it a name of its own, as in --output ./NAME",
        )
    if _LEFTOVER.fullmatch(target.name):
        raise UsageError(
            f"--output: {target.name!r} is the name of a temporary file, which the next command "
            "would remove.",
            hint="Choose another name.",
        )


def _may_be_replaced(target: Path, known_by: str) -> bool:
    if not target.is_dir():
        return False
    return (target / known_by).is_file() or not any(target.iterdir())


def _content(target: Path) -> str:
    """What is there, in words."""
    if not target.is_dir():
        return "a file" if target.exists() else "a broken link"
    names = sorted(path.name for path in target.iterdir())
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


@contextmanager
def staged_folder(
    target: Path, *, force: bool = False, known_by: str | None = None, lock: bool = True
) -> Iterator[Path]:
    """Yields a temporary folder that is renamed to ``target`` when the block ends.

    The block fills a hidden sibling of ``target``. When the block ends, the sibling is renamed to
    ``target``. If the block fails or is interrupted, the sibling is removed and ``target`` is
    unchanged.

    Args:
        target: The folder to write.
        force: Replace an existing folder. It stays in place until the new one is complete.
        known_by: File that a folder must hold to be replaced, see ``check_free``.
        lock: Keep other processes from writing ``target``; pass ``False`` if the caller holds the
            lock already.

    Raises:
        OutputExistsError: ``target`` exists and ``force`` is not given, or another process is
            writing it.
        EdgeAdaptError: The disk is full.
    """
    check_free(target, force=force, known_by=known_by)
    with held(target) if lock else nullcontext(), no_space_named(target.parent):
        # Another process may have finished it while we waited.
        check_free(target, force=force, known_by=known_by)
        target.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}.partial-"))
        try:
            staging.chmod(0o755)
            yield staging
            check_free(target, force=force, known_by=known_by)  # it may have been created meanwhile
            for path in (*staging.rglob("*"), staging):
                flush_to_disk(path)  # before the old folder is removed
            _replace_folder(staging, target)
        except BaseException:
            shutil.rmtree(staging, ignore_errors=True)
            raise


@contextmanager
def held(target: Path) -> Iterator[None]:
    """Locks ``target`` against other writers during the block; the system releases it after a kill.

    Remains of killed processes in the folder of ``target`` are cleaned up first, see ``recover``.
    On a file system without locks, neither happens.

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
            with suppress(OSError):  # rmdir fails for a folder that is not empty
                for folder in made:
                    folder.rmdir()


def recover(target: Path) -> None:
    """Cleans up what a killed ``staged_folder`` or ``write_file`` left behind.

    Call it only while ``target`` is ``held``, so that no other process is writing it.

    An old folder that was moved aside and not yet replaced is restored; half-written ones are
    removed.
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
"""Pattern of the names of hidden siblings, which contain the name of their target."""
_NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS})


def _recover_others(target: Path) -> None:
    """Cleans up what killed writers of other names left in the folder of ``target``."""
    matches = (_LEFTOVER.fullmatch(path.name) for path in target.parent.iterdir())
    for name in {match[1] for match in matches if match} - {target.name}:
        # Another process may be writing it or cleaning it up, or it belongs to another user.
        with suppress(OSError, OutputExistsError), _locked(target.with_name(name)):
            recover(target.with_name(name))


@contextmanager
def _locked(target: Path) -> Iterator[bool]:
    """Holds the lock of a name during the block; yields whether the file system has locks.

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
                continue  # its last holder has removed the lock file, so this lock has no effect
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
