"""A bundle on disk: one folder with everything a device needs, and proof that it is intact.

NAME/
  manifest.json        written last: a folder without it is not a bundle
  config.json  tokenizer.json  tokenizer_config.json  special_tokens_map.json
  onnx/model.onnx      fp32
  onnx/model_quantized.onnx
  evaluation.csv       test text, so that accuracy can be measured on the target
  README.md            model card
  torch/               the merged checkpoint, only with --with-torch
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar, Self

from edgeadapt.config import EngineName, Scheme, Task
from edgeadapt.errors import IntegrityError, LayoutError, MissingError, UnfinishedError, UsageError
from edgeadapt.storage import (
    check_inside,
    check_sha256,
    read_json,
    read_versioned,
    sha256,
    write_json,
)
from edgeadapt.text import TextEncoder

__all__ = ["Bundle", "FileInfo", "Manifest", "Variant"]

_MANIFEST = "manifest.json"


@dataclass(frozen=True)
class FileInfo:
    """What the manifest knows of a file."""

    sha256: str
    bytes: int


@dataclass(frozen=True)
class Variant:
    """One runnable form of the model."""

    file: str
    """Path of the model file, relative to the bundle."""
    engine: str
    """Name of the engine that runs it."""
    scheme: str | None = None
    """How it was quantized; ``None`` for fp32."""
    platform: str | None = None
    """What it was quantized for; ``None`` for fp32, and in bundles of earlier versions."""

    @property
    def is_batchable(self) -> bool:
        """Whether a text is answered alike alone and in a batch, up to float32's rounding.

        True of what is known to be so: full precision, and weights that alone are quantized, with
        activations in float32 or rounded block by block. Dynamic int8 takes one scale per
        activation tensor, of all texts and their padding. Static int8 has fixed scales, but the
        last digits of float32, which depend on the shape of a batch, decide on levels of 8 bits.
        """
        if self.scheme is not None:
            return self.scheme in _BATCHABLE_SCHEMES
        return PurePosixPath(self.file).name in _FULL_PRECISION_FILES


_BATCHABLE_SCHEMES = frozenset({Scheme.INT8_WEIGHTS, Scheme.INT4_WEIGHTS})
_FULL_PRECISION_FILES = frozenset({"model.onnx", "model.safetensors"})
"""Files of variants without a scheme that are not quantized."""


@dataclass(frozen=True)
class Manifest:
    """What ``manifest.json`` says."""

    labels: tuple[str, ...]
    """Label names in the order of their indices."""
    max_length: int
    """Longest input in tokens."""
    pad_id: int
    """Token id that fills up a batch."""
    variants: Mapping[str, Variant]
    """``fp32``, ``int8``, ``torch`` -> what to run."""
    provenance: Mapping[str, Any]
    """Where the model comes from: run, method, backbone, data, scores, versions."""
    parity: Mapping[str, Any]
    """Reports of the gates: ``merge``, ``onnx``, ``int8``."""
    created: str
    """UTC, ISO 8601."""
    edgeadapt: str
    """Version that wrote the bundle."""
    task: Task = Task.SINGLE_LABEL
    """How many labels a text has."""
    pairs: bool = False
    """Whether the model takes pairs of texts."""
    quantization: Mapping[str, Any] | None = None
    """What was tried to quantize it, each with its figures, and what was chosen of it."""
    files: Mapping[str, FileInfo] = field(default_factory=dict)
    """Relative path -> hash and size of every other file."""


@dataclass(frozen=True)
class Bundle:
    """A complete bundle."""

    path: Path
    manifest: Manifest

    FORMAT_VERSION: ClassVar[int] = 1

    @classmethod
    def open(cls, path: Path) -> Self:
        """Opens a bundle; files are verified when they are used, see ``file``.

        Raises:
            MissingError: There is no such folder.
            UnfinishedError: The folder has no manifest.
            LayoutError: The manifest is newer, damaged or not a bundle's.
        """
        if not path.is_dir():
            found = "a file" if path.exists() else "nothing"
            raise MissingError(
                f"There is no bundle at {path}: expected a folder, found {found}.",
                hint="Name an existing one, or write one with: edgeadapt export --quantize",
            )
        file = path / "manifest.json"
        if not file.is_file():
            if (path / "run.json").is_file():
                raise LayoutError(
                    f"{path} is a run: expected a bundle.",
                    hint=f"Make a bundle of it with: edgeadapt export {path} --quantize",
                )
            raise UnfinishedError(
                f"{path} is not a bundle: it has no manifest.json.",
                hint="Export it again; a finished bundle has its manifest written last.",
            )
        value = read_versioned(file, supported=cls.FORMAT_VERSION)
        try:
            manifest = _manifest(value)
        except (TypeError, KeyError, ValueError, AttributeError) as error:
            raise LayoutError(f"{file} is not a bundle's: {error}.") from None
        return cls(path, manifest)

    @classmethod
    def all_under(cls, root: Path) -> list[Self]:
        """Opens every bundle under ``root``, sorted by name."""
        manifests = sorted(root.glob("*/manifest.json"))
        return [cls.open(file.parent) for file in manifests if file.parent.name[0] != "."]

    @classmethod
    def write(cls, path: Path, manifest: Manifest) -> Self:
        """Hashes every file under ``path`` and writes the manifest, last and atomically."""
        files = {
            file.relative_to(path).as_posix(): FileInfo(sha256(file), file.stat().st_size)
            for file in sorted(path.rglob("*"))
            if file.is_file() and file.name != "manifest.json"
        }
        manifest = Manifest(**{**manifest.__dict__, "files": files})
        write_json(
            path / "manifest.json", {"format_version": cls.FORMAT_VERSION, **asdict(manifest)}
        )
        return cls(path, manifest)

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.path.resolve().name

    def file(self, name: str) -> Path:
        """Returns the path of one of the bundle's files after checking its hash.

        Raises:
            IntegrityError: The file is missing or changed.
            LayoutError: The manifest lists no such file.
        """
        if name not in self.manifest.files:
            raise LayoutError(f"{self.path / 'manifest.json'} lists no file {name!r}.")
        check_sha256(self.path / name, self.manifest.files[name].sha256)
        return self.path / name

    def folder_of(self, variant: str) -> Path:
        """Returns the folder of a variant's file after checking everything in it.

        For libraries that open other files of the folder than the one they are given.

        Raises:
            UsageError: The bundle has no such variant.
            IntegrityError: A file is missing, changed, or not listed in the manifest.
            LayoutError: The manifest does not list the variant's file.
        """
        folder = self.file(self.variant(variant).file).parent
        inside = folder.relative_to(self.path)
        for path in sorted(folder.rglob("*")):
            name = path.relative_to(self.path).as_posix()
            is_plain_folder = path.is_dir() and not path.is_symlink()
            if not is_plain_folder and name not in {*self.manifest.files, _MANIFEST}:
                raise IntegrityError(
                    f"{path} is not listed in {self.path / _MANIFEST}: expected the files that "
                    "were written and no others.",
                    hint="Remove the file, or copy the whole bundle again.",
                )
        for name in self.manifest.files:
            if PurePosixPath(name).is_relative_to(inside.as_posix()):
                self.file(name)
        return folder

    def variant(self, name: str) -> Variant:
        """Returns a variant by name.

        Raises:
            UsageError: The bundle has no such variant.
        """
        if name not in self.manifest.variants:
            raise UsageError(
                f"{self.path} has no variant {name!r}: found {', '.join(self.manifest.variants)}.",
                hint="`edgeadapt export RUN --quantize` adds int8, --with-torch adds torch.",
            )
        return self.manifest.variants[name]

    def default_variant(self) -> str:
        """Returns the quantized one where the bundle has it, else ``fp32``."""
        quantized = (name for name, each in self.manifest.variants.items() if each.scheme)
        return next(quantized, "fp32")

    def text_encoder(self) -> TextEncoder:
        """Returns the bundle's tokenizer, verified.

        Raises:
            IntegrityError: The file is missing or changed.
            LayoutError: It has tokens that the model has no embedding for.
        """
        encoder = TextEncoder.from_file(
            self.file("tokenizer.json"),
            max_length=self.manifest.max_length,
            pad_id=self.manifest.pad_id,
            pairs=self.manifest.pairs,
        )
        rows = self._embeddings()
        if rows is not None and encoder.largest_id() >= rows:
            # ONNX Runtime would fail on the first text that holds one, OpenVINO would answer.
            number = encoder.largest_id()
            raise LayoutError(
                f"{self.path}: the tokenizer has the token {number} "
                f"({encoder.tokenizer.id_to_token(number)!r}), and the model has no embedding for "
                f"it: expected ids below {rows}, the vocab_size of config.json.",
                hint="Resize the model that it was trained on, train and export again.",
            )
        return encoder

    def _embeddings(self) -> int | None:
        """``vocab_size`` of the bundle's config.json; ``None`` where it holds none."""
        if "config.json" not in self.manifest.files:
            return None
        rows = read_json(self.file("config.json")).get("vocab_size")
        return rows if isinstance(rows, int) else None

    def variant_bytes(self, name: str) -> int:
        """Returns the size in bytes of the model files that a variant needs."""
        folder = PurePosixPath(self.variant(name).file).parent
        if self.variant(name).engine != EngineName.TORCH:
            return self.manifest.files[self.variant(name).file].bytes
        return sum(
            info.bytes
            for file, info in self.manifest.files.items()
            if PurePosixPath(file).parent == folder
        )

    def verify(self) -> None:
        """Checks the hash of every file.

        Raises:
            IntegrityError: A file is missing or changed.
        """
        for name in self.manifest.files:
            self.file(name)


def _manifest(value: dict[str, Any]) -> Manifest:
    value["labels"] = tuple(value["labels"])
    value["task"] = Task(value.get("task", Task.SINGLE_LABEL))
    value["variants"] = {name: Variant(**v) for name, v in value["variants"].items()}
    value["files"] = {name: FileInfo(**info) for name, info in value["files"].items()}
    check_inside(value["files"])
    return Manifest(**value)
