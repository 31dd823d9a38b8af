"""Save and load the training state, so that a killed training resumes with identical results."""

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
"""Version 2 added a hash of about.json itself."""
_LATEST_VERSION = 1
"""latest.json holds no hash of itself: its content is a file name and the hash of that file."""
_ABOUT, _LATEST, _STEPS = "about.json", "latest.json", "step-*.safetensors"


@dataclass(frozen=True)
class Begun:
    """The inputs of a training, which must be the same when it is resumed."""

    command: str
    """The command that started it, such as ``edgeadapt train``."""
    recipe: Recipe
    sha256: Mapping[str, str]
    """Input -> its hash: ``data`` or ``texts``, ``backbone``, ``tokenizer``."""
    text: TextFile | None = None
    """The text file of ``edgeadapt pretrain``; ``None`` where the recipe's data set is read."""

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
        """Converts the result of ``to_dict``, of this or an earlier edgeadapt.

        Raises:
            LayoutError: A key is missing or has another type.
            RecipeError: The recipe holds a setting that this edgeadapt does not support.
        """
        hashes = dict(value)
        begun_keys, text_keys = (
            {key: hashes.pop(key) for key in _names(kind) if key in hashes}
            for kind in (_Begun, _Text)
        )
        begun = from_json(_Begun, begun_keys, where=where)
        text = from_json(_Text, text_keys, where=where) if text_keys else None
        return cls(
            begun.command,
            Recipe.from_recorded(begun.recipe, origin=where),
            from_json(dict[str, str], hashes, where=where),
            None if text is None else TextFile(Path(text.text), text.column, text.skip_empty),
        )


@dataclass(frozen=True)
class _Begun:
    """The keys in every ``about.json``; the keys of the hashes depend on the command."""

    command: str
    recipe: RecipeTables


@dataclass(frozen=True)
class _Text:
    """``TextFile``, in the keys of ``about.json``."""

    text: str
    column: str = "text"
    skip_empty: bool = False


def _names(kind: type) -> list[str]:
    return [field.name for field in fields(kind)]


@dataclass(frozen=True)
class _Latest:
    """The content of ``latest.json``."""

    file: str
    sha256: str


@dataclass(frozen=True)
class Checkpoint:
    """The state of a training after some step."""

    tensors: Mapping[str, Tensor]
    """Weights, optimizer moments and random states, on the CPU."""
    values: Mapping[str, object]
    """The rest of the state, as values that JSON can hold."""


@dataclass(frozen=True)
class Checkpoints:
    """A folder that holds the latest checkpoint and the inputs of the training.

        about.json                 the inputs, which must be the same on resuming
        step-00000200.safetensors  tensors; its metadata holds the other values
        latest.json                the name of that file and its hash

    ``latest.json`` is written last, so that it always names a complete file: the previous
    checkpoint, until the next one is on the disk.
    """

    folder: Path
    every: int
    """Steps between two checkpoints, besides those after each epoch and on an interruption; 0 for
    these only."""

    @contextmanager
    def kept(self, begun: Begun, *, anew: bool) -> Iterator[None]:
        """Creates the folder for the block, and removes it if the block fails before a checkpoint.

        Since ``about.json`` is written here, an error on writing occurs before the first step.

        Args:
            begun: The inputs of the training.
            anew: Whether to remove the checkpoints of an earlier training in this folder.

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
                    with suppress(OSError):  # not empty: it holds other files
                        self.folder.parent.rmdir()
            raise

    def has_begun(self) -> bool:
        """Returns whether the inputs of a training are recorded here."""
        return (self.folder / _ABOUT).is_file()

    def exist(self) -> bool:
        """Returns whether a checkpoint has been saved."""
        return (self.folder / _LATEST).is_file()

    def forget(self) -> None:
        """Removes every checkpoint."""
        (self.folder / _LATEST).unlink(missing_ok=True)
        for file in self.folder.glob(_STEPS):
            file.unlink()

    def begun(self) -> Begun:
        """Returns the inputs of the training.

        Raises:
            MissingError: No training was begun here.
            LayoutError: The file is damaged, or newer than this edgeadapt.
        """
        if not (self.folder / _ABOUT).is_file():
            raise MissingError(
                f"{self.folder.parent} holds no unfinished training: nothing to resume.",
                hint="Name the folder of a training that was stopped, or train without --resume.",
            )
        path = self.folder / _ABOUT
        value = read_manifest(path, supported=_ABOUT_VERSION, hashed_from=2)
        return Begun.from_dict(value, where=str(path))

    def save(self, step: int, checkpoint: Checkpoint) -> None:
        """Writes a checkpoint, then removes the previous one.

        Raises:
            EdgeAdaptError: The disk is full. The previous checkpoint is kept.
        """
        # A new name even for the same step, as when an epoch ends right after a checkpoint: the
        # file that latest.json names must not change before latest.json does.
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
        """Reads the latest checkpoint; ``None`` if none has been saved yet.

        Raises:
            LayoutError: The checkpoint is damaged, or newer than this edgeadapt.
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
