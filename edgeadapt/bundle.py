"""A bundle on disk: one folder with everything a device needs, and proof that it is intact.

NAME/
  manifest.json        written last: a folder without it is not a bundle
  config.json  tokenizer.json  tokenizer_config.json  special_tokens_map.json
  onnx/model.onnx      fp32
  onnx/model_quantized.onnx
  evaluation.csv       test text, so that accuracy can be measured on the target; it chooses nothing
  validation.csv       validation text, by which compression is judged
  validation_logits.npy
                       the uncompressed fp32 model's logits on it
  calibration.csv      some training text, for quantization with fixed scales
  README.md            model card
  torch/               the merged checkpoint, only with --with-torch
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar, Self

from edgeadapt.config import EngineName, Task
from edgeadapt.errors import LayoutError, MissingError, UnfinishedError, UsageError
from edgeadapt.storage import (
    check_inside,
    check_sha256,
    read_versioned,
    sha256,
    write_json,
)
from edgeadapt.text import TextEncoder

__all__ = [
    "CALIBRATION_FILE",
    "EVALUATION_FILE",
    "LOGITS_FILE",
    "TEXT_FILES",
    "VALIDATION_FILE",
    "Bundle",
    "FileInfo",
    "Manifest",
    "Variant",
]

EVALUATION_FILE = "evaluation.csv"
VALIDATION_FILE = "validation.csv"
LOGITS_FILE = "validation_logits.npy"
CALIBRATION_FILE = "calibration.csv"
TEXT_FILES = (EVALUATION_FILE, VALIDATION_FILE, LOGITS_FILE, CALIBRATION_FILE)
"""Files that come from the data; a bundle without evaluation has none of them."""


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
        """Returns the bundle's tokenizer, verified."""
        return TextEncoder.from_file(
            self.file("tokenizer.json"),
            max_length=self.manifest.max_length,
            pad_id=self.manifest.pad_id,
            pairs=self.manifest.pairs,
        )

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
