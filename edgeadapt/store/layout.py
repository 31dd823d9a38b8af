"""Base class of folders with a manifest: opening, listing, hashing, verifying.

The manifest is written last, so a folder without one is incomplete. It contains a hash of itself
and lists all other files with their hashes. Limits on size and depth are checked before content
is used.
"""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from edgeadapt.errors import LayoutError, MissingError, UnfinishedError
from edgeadapt.store.files import sha256
from edgeadapt.store.listing import check_file, check_listed, files_in
from edgeadapt.store.manifests import Upgrade, read_manifest
from edgeadapt.typed import Count

__all__ = ["FileInfo", "Layout"]


@dataclass(frozen=True)
class FileInfo:
    """Size and hash of a file."""

    sha256: str
    bytes: Count


@dataclass(frozen=True)
class Layout(ABC):
    """A folder whose manifest lists every other file."""

    path: Path

    KIND: ClassVar[str]
    """Name of the layout in messages, such as ``run``."""
    MANIFEST: ClassVar[str]
    """File name of the manifest."""
    FORMAT_VERSION: ClassVar[int]
    """Format version to write; older ones can be read."""
    HASHED_FROM: ClassVar[int] = 2
    """First format version whose manifest has a hash of itself."""
    UPGRADES: ClassVar[Mapping[int, Upgrade]]
    """Format version -> function that converts its manifest to the next version."""
    BESIDES: ClassVar[str | None] = None
    """A subfolder that may exist without being listed."""

    @property
    @abstractmethod
    def names(self) -> Collection[str]:
        """Relative paths of all files except the manifest."""

    @abstractmethod
    def hash_of(self, name: str) -> str:
        """Returns the SHA-256 from the manifest for one of ``names``."""

    @abstractmethod
    def size_of(self, name: str) -> int | None:
        """Returns the size in bytes from the manifest; ``None`` where an early one has none."""

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.path.resolve().name

    def file(self, name: str) -> Path:
        """Returns the path of a file after checking its hash.

        Raises:
            IntegrityError: The file is missing or changed.
            LayoutError: The manifest lists no such file.
        """
        if name not in self.names:
            raise LayoutError(f"{self.path / self.MANIFEST} lists no file {name!r}.")
        return check_file(self.path, name, sha256=self.hash_of(name), size=self.size_of(name))

    def check_listed(self, *, under: str = "") -> None:
        """Rejects files that the manifest does not list.

        Args:
            under: Check only this subfolder. A library that opens a whole folder, such as
                ``torch`` in a bundle, also reads unlisted files.

        Raises:
            IntegrityError: There is an unlisted file.
            LayoutError: There is a link to a folder, or something that is neither file nor folder.
        """
        listed = {*self.names, self.MANIFEST}
        check_listed(self.path, listed, under=under, besides=self.BESIDES)

    def verify(self) -> None:
        """Checks the hash of every file, and that there are no unlisted files.

        Raises:
            IntegrityError: A file is missing, changed, or not listed.
            LayoutError: The folder contains a link that leaves it, or an irregular file.
        """
        self.check_listed()
        for name in self.names:
            self.file(name)

    @classmethod
    def read(
        cls, path: Path, *, missing: str, unfinished: str, others: Mapping[str, tuple[str, str]]
    ) -> dict[str, object]:
        """Reads the manifest in a folder and converts it to the current version.

        Args:
            path: The folder.
            missing: Hint for a missing folder.
            unfinished: Hint for a folder without a manifest.
            others: Manifest of another layout -> its kind, and a hint.

        Raises:
            MissingError: There is no such folder.
            UnfinishedError: The folder has no manifest.
            LayoutError: It has another layout, or the manifest is newer, damaged or changed.
        """
        if not path.is_dir():
            found = "a file" if path.exists() else "nothing"
            raise MissingError(
                f"There is no {cls.KIND} at {path}: expected a folder, found {found}.",
                hint=missing,
            )
        file = path / cls.MANIFEST
        if not file.is_file():
            for manifest, (kind, hint) in others.items():
                if (path / manifest).is_file():
                    raise LayoutError(f"{path} is a {kind}: expected a {cls.KIND}.", hint=hint)
            raise UnfinishedError(
                f"{path} is not a finished {cls.KIND}: it has no {cls.MANIFEST}.", hint=unfinished
            )
        return read_manifest(
            file,
            supported=cls.FORMAT_VERSION,
            hashed_from=cls.HASHED_FROM,
            upgrades=cls.UPGRADES,
        )

    @classmethod
    def hashed(cls, path: Path) -> dict[str, FileInfo]:
        """Returns hash and size of all files below a folder except the manifest."""
        names = [name for name in files_in(path) if name != cls.MANIFEST]
        return {name: FileInfo(sha256(path / name), (path / name).stat().st_size) for name in names}
