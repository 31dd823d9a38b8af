"""Compare the files of a folder with the list in its manifest.

A manifest is untrusted, so the names in it are checked before they are joined to a path, and the
size of a file before the file is hashed. Unlisted files are rejected, because a library that opens
the whole folder would read them too.
"""

import os
import stat
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import NoReturn

from edgeadapt.errors import IntegrityError, LayoutError
from edgeadapt.store.files import check_sha256

__all__ = ["check_file", "check_listed", "check_names", "files_in"]

_HARMLESS: Mapping[str, str] = {
    ".DS_Store": "macOS, Finder",
    "._*": "macOS, on file systems without resource forks",
    "Thumbs.db": "Windows Explorer",
    "desktop.ini": "Windows Explorer",
    ".gitattributes": "a repository of the Hugging Face Hub",
    ".git/*": "git",
    ".cache/*": "huggingface_hub, download to a folder",
}
"""Unlisted files and top-level folders that are accepted -> the program that creates them. Neither
edgeadapt nor the libraries that open the folder read them."""

_COPY_AGAIN = "Copy or write the whole folder again."


def check_names(names: Iterable[str]) -> None:
    """Rejects file names that are not plain relative paths inside their folder.

    Raises:
        ValueError: A name is empty or absolute, contains ``..``, a backslash, a colon or a control
            character, is not normalized, or differs from another only in case.
    """
    seen: dict[str, str] = {}
    for name in names:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts:
            raise ValueError(f"the file name {name!r} leaves its folder")
        plain = name == path.as_posix() and name != "."
        # On Windows, C:x and \\x are paths outside of the folder.
        if not plain or not name.isprintable() or set(name) & {"\\", ":"}:
            raise ValueError(f"the file name {name!r} is not a plain relative path")
        folded = unicodedata.normalize("NFC", name).casefold()
        if seen.get(folded, name) != name:
            raise ValueError(f"the file names {seen[folded]!r} and {name!r} differ only in case")
        seen[folded] = name


def files_in(folder: Path) -> list[str]:
    """Returns the sorted relative paths of all files in a folder, except harmless ones.

    Raises:
        LayoutError: It holds a link to a folder, or something that is neither file nor folder.
    """
    return sorted(name for name in _walk(folder) if not _is_harmless(name))


def check_listed(
    folder: Path, names: Collection[str], *, under: str = "", besides: str | None = None
) -> None:
    """Rejects a folder that contains an unlisted file.

    Args:
        folder: The folder.
        names: Every file that the manifest lists, and the manifest itself.
        under: Check only this subfolder.
        besides: A top-level subfolder that is ignored.

    Raises:
        IntegrityError: There is an unlisted file.
        LayoutError: It holds a link to a folder, or something that is neither file nor folder.
    """
    inside = f"{under}/" if under else ""
    paths = (f"{inside}{name}" for name in _walk(folder / under, besides))
    extra = sorted(name for name in paths if name not in names and not _is_harmless(name))
    if extra:
        more = f" and {len(extra) - 1} more" if len(extra) > 1 else ""
        raise IntegrityError(
            f"{folder} holds a file that its manifest does not list: {extra[0]!r}{more}.",
            hint="It was put there after the folder was written. Remove it, or copy the folder "
            "again.",
        )


def check_file(folder: Path, name: str, *, sha256: str, size: int | None) -> Path:
    """Returns the path of a listed file after checking its size and hash.

    Args:
        folder: The folder.
        name: Relative path of the file, already checked by ``check_names``.
        sha256: Hash from the manifest.
        size: Size in bytes from the manifest; ``None`` where it has none.

    Raises:
        IntegrityError: The file is missing or differs. At most ``size`` bytes of it are read.
        LayoutError: A link leads out of the folder.
    """
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise LayoutError(
            f"{path} is a link that leaves its folder: found {path.resolve()}.",
            hint="Copy the folder with the files that its links lead to: cp -rL",
        )
    # The size is compared first, because a replaced file may be too large to hash.
    if size is not None and path.is_file() and path.stat().st_size > size:
        raise IntegrityError(
            f"{path} is not the file that was written: expected sha256 {sha256} and {size:,} "
            f"bytes, found {path.stat().st_size:,} bytes.",
            hint=f"It was changed or damaged. {_COPY_AGAIN}",
        )
    check_sha256(path, sha256)
    return path


def _walk(folder: Path, besides: str | None = None) -> Iterator[str]:
    for parent, folders, files in os.walk(folder, onerror=_unreadable):
        if Path(parent) == folder:
            folders[:] = [
                name for name in folders if name != besides and f"{name}/*" not in _HARMLESS
            ]
        for name in folders:
            if (Path(parent) / name).is_symlink():
                raise LayoutError(
                    f"{Path(parent) / name} is a link to a folder: expected a folder.",
                    hint="Copy the folder with the files that its links lead to: cp -rL",
                )
        for name in files:
            path = Path(parent) / name
            if not path.is_symlink() and not stat.S_ISREG(path.lstat().st_mode):
                raise LayoutError(f"{path}: expected a regular file, found something else.")
            yield path.relative_to(folder).as_posix()


def _unreadable(error: OSError) -> NoReturn:
    raise LayoutError(f"A folder cannot be read: {error}.") from None


def _is_harmless(name: str) -> bool:
    return any(fnmatchcase(PurePosixPath(name).name, pattern) for pattern in _HARMLESS)
