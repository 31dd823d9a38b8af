"""What every folder with a manifest shares: opening, listing, hashing, verifying.

A layout is complete when its manifest is there, because that is written last; the manifest has a
hash of itself and lists every other file with its own. Sizes and depths are bounded before
anything is read.
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
    """What a manifest says of a file."""

    sha256: str
    bytes: Count


@dataclass(frozen=True)
class Layout(ABC):
    """A folder whose manifest lists every other file."""

    path: Path

    KIND: ClassVar[str]
    """What it is called in messages, such as ``run``."""
    MANIFEST: ClassVar[str]
    """Name of its manifest."""
    FORMAT_VERSION: ClassVar[int]
    """The one that is written; older ones are read."""
    HASHED_FROM: ClassVar[int] = 2
    """First format version whose manifest has a hash of itself."""
    UPGRADES: ClassVar[Mapping[int, Upgrade]]
    """Format version -> what makes of its manifest one of the next version."""
    BESIDES: ClassVar[str | None] = None
    """A folder that may be there although nothing lists it."""

    @property
    @abstractmethod
    def names(self) -> Collection[str]:
        """Relative paths of all files but the manifest."""

    @abstractmethod
    def hash_of(self, name: str) -> str:
        """Returns the SHA-256 that the manifest lists for one of ``names``."""

    @abstractmethod
    def size_of(self, name: str) -> int | None:
        """Returns the bytes that it lists; ``None`` where an early manifest lists none."""

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
        """Refuses files that the manifest does not list.

        Args:
            under: Looks at this folder below only: what opens a folder as a whole, such as a
                bundle's ``torch``, reads what is not listed, too.

        Raises:
            IntegrityError: There is one.
            LayoutError: There is a link to a folder, or something that is neither file nor folder.
        """
        listed = {*self.names, self.MANIFEST}
        check_listed(self.path, listed, under=under, besides=self.BESIDES)

    def verify(self) -> None:
        """Checks the hash of every file, and that there is no other.

        Raises:
            IntegrityError: A file is missing, changed, or not listed.
            LayoutError: The folder holds a link that leaves it, or something that is no file.
        """
        self.check_listed()
        for name in self.names:
            self.file(name)

    @classmethod
    def read(
        cls, path: Path, *, missing: str, unfinished: str, others: Mapping[str, tuple[str, str]]
    ) -> dict[str, object]:
        """Reads the manifest in a folder, in the form of today's version.

        Args:
            path: The folder.
            missing: What to do where there is none.
            unfinished: What to do where it has no manifest.
            others: Manifest of another layout -> its kind, and what to do with it.

        Raises:
            MissingError: There is no such folder.
            UnfinishedError: The folder has no manifest.
            LayoutError: It is another layout's, or the manifest is newer, damaged or changed.
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
        """Returns every file below a folder but the manifest, with its hash and size."""
        names = [name for name in files_in(path) if name != cls.MANIFEST]
        return {name: FileInfo(sha256(path / name), (path / name).stat().st_size) for name in names}
