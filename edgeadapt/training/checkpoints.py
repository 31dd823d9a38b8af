"""Where training is, on disk, so that it goes on bit for bit after a kill at any moment."""

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Self

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from edgeadapt.data.text_file import TextFile
from edgeadapt.errors import IntegrityError, LayoutError, MissingError
from edgeadapt.parsing import parse_json
from edgeadapt.recipe import Recipe
from edgeadapt.store.files import check_sha256, read_versioned, sha256, write_file, write_json
from edgeadapt.store.folders import free_name
from edgeadapt.store.manifests import read_manifest, write_manifest
from edgeadapt.store.provenance import RecipeTables
from edgeadapt.typed import from_json

__all__ = ["Begun", "Checkpoint", "Checkpoints"]

_ABOUT_VERSION = 2
"""Version 2 has a hash of about.json itself."""
_LATEST_VERSION = 1
"""latest.json needs no hash of itself: it is one file name and the hash of that file."""
_ABOUT, _LATEST, _STEPS = "about.json", "latest.json", "step-*.safetensors"


@dataclass(frozen=True)
class Begun:
    """What a training was begun with: whoever resumes it has to train the same."""

    command: str
    """Such as ``edgeadapt train``."""
    recipe: Recipe
    sha256: Mapping[str, str]
    """What has to be the same -> its hash: ``data`` or ``texts``, ``backbone``, ``tokenizer``."""
    text: TextFile | None = None
    """What is read, where that is not the recipe's data set."""

    def to_dict(self) -> dict[str, object]:
        """Returns plain values for JSON."""
        text = self.text
        return {
            "command": self.command,
            "recipe": self.recipe.to_dict(),
            **(asdict(_Text(str(text.path), text.column, text.skip_empty)) if text else {}),
            **self.sha256,
        }

    @classmethod
    def from_dict(cls, value: Mapping[str, object], *, where: str) -> Self:
        """Reads what ``to_dict`` returned, also by an earlier edgeadapt.

        Raises:
            LayoutError: A key is missing or has another type.
            RecipeError: The recipe holds what this edgeadapt does not know.
        """
        left = dict(value)
        apart = [
            {key: left.pop(key) for key in _names(kind) if key in left} for kind in (_Begun, _Text)
        ]
        given = from_json(_Begun, apart[0], where=where)
        text = from_json(_Text, apart[1], where=where) if apart[1] else None
        return cls(
            given.command,
            Recipe.from_recorded(given.recipe, origin=where),
            from_json(dict[str, str], left, where=where),
            None if text is None else TextFile(Path(text.text), text.column, text.skip_empty),
        )


@dataclass(frozen=True)
class _Begun:
    """The keys of every ``about.json``; the hashes beside them depend on the command."""

    command: str
    recipe: RecipeTables


@dataclass(frozen=True)
class _Text:
    """``TextFile`` in the keys of ``about.json``."""

    text: str
    column: str = "text"
    skip_empty: bool = False


def _names(kind: type) -> list[str]:
    return [field.name for field in fields(kind)]


@dataclass(frozen=True)
class _Latest:
    """What ``latest.json`` says."""

    file: str
    sha256: str


@dataclass(frozen=True)
class Checkpoint:
    """One state of training."""

    tensors: Mapping[str, Tensor]
    """Weights, moments and random states, on the CPU."""
    values: Mapping[str, object]
    """The rest: plain values that JSON can hold."""


@dataclass(frozen=True)
class Checkpoints:
    """A folder that holds the latest state, and what is being trained.

        about.json                 what is trained: whoever goes on has to train the same
        step-00000200.safetensors  tensors, and the plain values in its metadata
        latest.json                names that file and its hash

    ``latest.json`` is written last, so that it always names a whole file: the one before, until
    the next is on the disk.
    """

    folder: Path
    every: int
    """Steps between two of them; at an epoch's end and an interruption there is one anyhow, and
    no other where this is 0."""

    @contextmanager
    def kept(self, begun: Begun, *, anew: bool) -> Iterator[None]:
        """Makes the folder for the block; it stays after a failure where a state was saved.

        A folder that cannot be written to is noticed here, before the first step.

        Args:
            begun: What is trained.
            anew: Forget the states of whatever was trained here before.

        Raises:
            EdgeAdaptError: The disk is full.
        """
        ours = not self.folder.parent.exists() or self.has_begun()
        if anew:
            self.forget()
        write_manifest(self.folder / _ABOUT, begun.to_dict(), version=_ABOUT_VERSION)
        try:
            yield
        except BaseException:
            if not self.exist():
                shutil.rmtree(self.folder)
                if ours:
                    with suppress(OSError):  # it holds something else
                        self.folder.parent.rmdir()
            raise

    def has_begun(self) -> bool:
        """Returns whether it is known what is trained here."""
        return (self.folder / _ABOUT).is_file()

    def exist(self) -> bool:
        """Returns whether a state has been saved."""
        return (self.folder / _LATEST).is_file()

    def forget(self) -> None:
        """Removes every state."""
        (self.folder / _LATEST).unlink(missing_ok=True)
        for file in self.folder.glob(_STEPS):
            file.unlink()

    def begun(self) -> Begun:
        """Returns what is trained.

        Raises:
            MissingError: There is nothing to go on with.
            LayoutError: It is damaged, or newer than this edgeadapt.
        """
        if not (self.folder / _ABOUT).is_file():
            raise MissingError(
                f"{self.folder.parent} holds no unfinished training: nothing to go on with.",
                hint="Name the folder of a training that was stopped, or train without --resume.",
            )
        path = self.folder / _ABOUT
        value = read_manifest(path, supported=_ABOUT_VERSION, hashed_from=2)
        return Begun.from_dict(value, where=str(path))

    def save(self, step: int, checkpoint: Checkpoint) -> None:
        """Writes a state, then removes the one before.

        Raises:
            EdgeAdaptError: The disk is full. The state before is still there.
        """
        # Never the file that latest.json names: an epoch may end where a state was just saved.
        name = free_name(self.folder, f"step-{step:08d}", suffix=".safetensors").name
        tensors = {key: tensor.contiguous() for key, tensor in checkpoint.tensors.items()}
        metadata = {"values": json.dumps(dict(checkpoint.values))}
        write_file(self.folder / name, lambda path: save_file(tensors, path, metadata=metadata))
        latest = {"file": name, "sha256": sha256(self.folder / name)}
        write_json(self.folder / _LATEST, {"format_version": _LATEST_VERSION, **latest})
        for file in self.folder.glob(_STEPS):
            if file.name != name:
                file.unlink()

    def load(self) -> Checkpoint | None:
        """Reads the latest state; ``None`` where none has been saved yet.

        Raises:
            LayoutError: It is damaged, or newer than this edgeadapt.
        """
        if not self.exist():
            return None
        marker = self.folder / _LATEST
        value = read_versioned(marker, supported=_LATEST_VERSION)
        latest = from_json(_Latest, value, where=f"{marker} is not a checkpoint's")
        path = self.folder / Path(latest.file).name
        check_sha256(path, latest.sha256)
        try:
            with safe_open(path, framework="pt") as file:
                tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
                content = (file.metadata() or {}).get("values", "")
        except SafetensorError as error:
            raise IntegrityError(f"{path} cannot be read: {error}.") from None
        values = parse_json(content, where=f"{path}, values")
        if not isinstance(values, dict):
            raise LayoutError(f"{path}, values: expected an object, found {values!r:.40}.")
        return Checkpoint(tensors, values)
