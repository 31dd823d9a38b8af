"""Where training is, on disk, so that it goes on bit for bit after a kill at any moment."""

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from edgeadapt.errors import IntegrityError, LayoutError, MissingError
from edgeadapt.parsing import parse_json
from edgeadapt.store.files import check_sha256, read_versioned, sha256, write_file, write_json
from edgeadapt.store.folders import free_name
from edgeadapt.store.manifests import read_manifest, write_manifest
from edgeadapt.typed import from_json

__all__ = ["Checkpoint", "Checkpoints"]

_ABOUT_VERSION = 2
"""Version 2 has a hash of about.json itself."""
_LATEST_VERSION = 1
"""latest.json needs no hash of itself: it is one file name and the hash of that file."""
_ABOUT, _LATEST, _STEPS = "about.json", "latest.json", "step-*.safetensors"


class _About(TypedDict, total=False):
    """The keys of ``about.json`` that are read; a command adds the hashes that it compares."""

    command: str
    recipe: Mapping[str, Any]
    text: str
    column: str


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
    values: Mapping[str, Any]
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
    def kept(self, about: Mapping[str, Any], *, anew: bool) -> Iterator[None]:
        """Makes the folder for the block; it stays after a failure where a state was saved.

        A folder that cannot be written to is noticed here, before the first step.

        Args:
            about: What is trained, in plain values.
            anew: Forget the states of whatever was trained here before.

        Raises:
            EdgeAdaptError: The disk is full.
        """
        ours = not self.folder.parent.exists() or self.begun()
        if anew:
            self.forget()
        write_manifest(self.folder / _ABOUT, dict(about), version=_ABOUT_VERSION)
        try:
            yield
        except BaseException:
            if not self.exist():
                shutil.rmtree(self.folder)
                if ours:
                    with suppress(OSError):  # it holds something else
                        self.folder.parent.rmdir()
            raise

    def begun(self) -> bool:
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

    def about(self) -> dict[str, Any]:
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
        return dict(from_json(_About, value, where=str(path)))

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
