"""A bundle on disk: one folder with everything a device needs, and hashes of all files.

NAME/
  manifest.json        written last: a folder without it is not a bundle
  config.json  tokenizer.json  tokenizer_config.json  special_tokens_map.json
  onnx/model.onnx      fp32
  onnx/model_quantized.onnx
  evaluation.csv       test text, to measure accuracy on the target; never used to choose anything
  validation.csv       validation text, on which compression is judged
  validation_logits.npy
                       logits of the uncompressed fp32 model on it
  calibration.csv      some training text, for quantization with fixed scales
  README.md            model card
  torch/               the merged checkpoint, only with --with-torch
"""

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Annotated, ClassVar, Self

from edgeadapt.errors import LayoutError, UsageError
from edgeadapt.recipe import EngineName, Platform, Scheme, Task
from edgeadapt.store.bundle_1 import upgraded_bundle
from edgeadapt.store.compression import Compression
from edgeadapt.store.files import read_json
from edgeadapt.store.gates import Gates
from edgeadapt.store.layout import FileInfo, Layout
from edgeadapt.store.listing import check_names
from edgeadapt.store.manifests import Upgrade, write_manifest
from edgeadapt.store.provenance import Provenance
from edgeadapt.store.structure import Structure
from edgeadapt.text import TextEncoder
from edgeadapt.typed import Check, Count, Names, from_json

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
"""Files with texts of the data set; a bundle without evaluation has none of them."""

_TOKENIZER = "tokenizer.json"


@dataclass(frozen=True)
class Variant:
    """One runnable form of the model."""

    file: str
    """Path of the model file, relative to the bundle."""
    engine: EngineName
    """Its engine."""
    scheme: str | None = None
    """Quantization scheme; ``None`` for fp32."""
    platform: Platform | None = None
    """Platform that it was quantized for; ``None`` for fp32, and in bundles of earlier versions."""

    @property
    def is_batchable(self) -> bool:
        """Whether a text has the same logits alone and in a batch, up to float32 rounding.

        True for full precision and for weight-only quantization, with activations in float32 or
        rounded block by block. Dynamic int8 computes one scale per activation tensor, over all
        texts and their padding. Static int8 has fixed scales, but float32 rounding errors, which
        depend on the shape of the batch, can move an activation to the next 8-bit level.
        """
        if self.scheme is not None:
            return self.scheme in _BATCHABLE_SCHEMES
        return PurePosixPath(self.file).name in _FULL_PRECISION_FILES


_BATCHABLE_SCHEMES = frozenset({Scheme.INT8_WEIGHTS, Scheme.INT4_WEIGHTS})
_FULL_PRECISION_FILES = frozenset({"model.onnx", "model.safetensors"})
"""Files of unquantized variants, which need no scheme."""


@dataclass(frozen=True)
class Manifest:
    """Content of ``manifest.json``."""

    labels: Names
    """Label names in the order of their indices."""
    max_length: Annotated[int, Check("at least 1", lambda length: length >= 1)]
    """Longest input in tokens."""
    pad_id: Count
    """Token id for padding."""
    variants: Mapping[str, Variant]
    """Name (``fp32``, ``int8``, ``torch``) -> variant."""
    provenance: Provenance
    """Where the model comes from."""
    gates: Gates
    """Parity between the forms of the model that must not differ."""
    created: str
    """UTC, ISO 8601."""
    edgeadapt: str
    """Version of edgeadapt that wrote the bundle."""
    task: Task = Task.SINGLE_LABEL
    """How many labels a text has."""
    pairs: bool = False
    """Whether the model takes pairs of texts."""
    compression: Compression | None = None
    """Report on all compression steps; ``None`` for a bundle with fp32 only."""
    structure: Structure | None = None
    """Widths of the layers of a pruned model; ``None`` where config.json describes them."""
    files: Mapping[str, FileInfo] = field(default_factory=dict)
    """Relative path -> hash and size of every other file."""

    def __post_init__(self) -> None:
        check_names(self.files)


@dataclass(frozen=True)
class Bundle(Layout):
    """A bundle whose manifest was read and checked."""

    manifest: Manifest

    KIND: ClassVar[str] = "bundle"
    MANIFEST: ClassVar[str] = "manifest.json"
    FORMAT_VERSION: ClassVar[int] = 3
    """Version 2 added a hash of manifest.json itself, and one report on all compression steps.
    Version 3 added the structure of pruned models; a manifest of version 2 is one without."""
    UPGRADES: ClassVar[Mapping[int, Upgrade]] = MappingProxyType({1: upgraded_bundle})

    @classmethod
    def open(cls, path: Path) -> Self:
        """Opens a bundle; files are verified when they are used, see ``file``.

        Raises:
            MissingError: There is no such folder.
            UnfinishedError: The folder has no manifest.
            LayoutError: The manifest is newer, damaged, changed or not that of a bundle.
        """
        export = f"Make a bundle of it with: edgeadapt export {path} --quantize"
        value = cls.read(
            path,
            missing="Name an existing one, or write one with: edgeadapt export --quantize",
            unfinished="Export it again; a finished bundle has its manifest written last.",
            others={
                "run.json": ("run", export),
                # An unfinished bundle has the weights of one in a folder below, if at all.
                "model.safetensors": (
                    "checkpoint",
                    f"Make a bundle of it with: edgeadapt export {path} --dataset DATA",
                ),
            },
        )
        file = path / cls.MANIFEST
        manifest = from_json(Manifest, value, where=f"{file} is not a bundle's")
        for name in (_TOKENIZER, *(variant.file for variant in manifest.variants.values())):
            if name not in manifest.files:
                raise LayoutError(f"{file} is not a bundle's: files: {name!r} is missing.")
        return cls(path, manifest)

    @classmethod
    def all_under(cls, root: Path) -> list[Self]:
        """Opens every bundle under ``root``, sorted by name."""
        manifests = sorted(root.glob("*/manifest.json"))
        return [cls.open(file.parent) for file in manifests if file.parent.name[0] != "."]

    @classmethod
    def write(cls, path: Path, manifest: Manifest) -> Self:
        """Hashes every file under ``path`` and writes the manifest, last and atomically."""
        manifest = replace(manifest, files=cls.hashed(path))
        write_manifest(path / cls.MANIFEST, asdict(manifest), version=cls.FORMAT_VERSION)
        return cls(path, manifest)

    @property
    def names(self) -> Collection[str]:
        """Relative paths of all files but the manifest."""
        return self.manifest.files.keys()

    def hash_of(self, name: str) -> str:
        """Returns the SHA-256 that the manifest lists for one of ``names``."""
        return self.manifest.files[name].sha256

    def size_of(self, name: str) -> int:
        """Returns the size in bytes from the manifest."""
        return self.manifest.files[name].bytes

    def folder_of(self, variant: str) -> Path:
        """Returns the folder of a variant's file after checking all files in it.

        For libraries that open more files of the folder than the one they are given.

        Raises:
            UsageError: The bundle has no such variant.
            IntegrityError: A file is missing, changed, or not listed in the manifest.
            LayoutError: The manifest does not list the variant's file.
        """
        folder = self.file(self.variant(variant).file).parent
        inside = folder.relative_to(self.path).as_posix()
        self.check_listed(under=inside)
        for name in self.manifest.files:
            if PurePosixPath(name).is_relative_to(inside):
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
        """Returns the name of the quantized variant, or ``fp32`` where there is none."""
        quantized = (name for name, each in self.manifest.variants.items() if each.scheme)
        return next(quantized, "fp32")

    def text_encoder(self) -> TextEncoder:
        """Returns the bundle's tokenizer, verified.

        Raises:
            IntegrityError: The file is missing or changed.
            LayoutError: It has tokens for which the model has no embedding.
        """
        encoder = TextEncoder.from_file(
            self.file(_TOKENIZER),
            max_length=self.manifest.max_length,
            pad_id=self.manifest.pad_id,
            pairs=self.manifest.pairs,
        )
        rows = self._embeddings()
        if rows is not None and encoder.largest_id() >= rows:
            # ONNX Runtime would fail on the first such token; OpenVINO would return wrong logits.
            number = encoder.largest_id()
            raise LayoutError(
                f"{self.path}: the tokenizer has the token {number} "
                f"({encoder.tokenizer.id_to_token(number)!r}), and the model has no embedding for "
                f"it: expected ids below {rows}, the vocab_size of config.json.",
                hint="Resize the embeddings of the backbone, then train and export again.",
            )
        return encoder

    def _embeddings(self) -> int | None:
        """``vocab_size`` of the bundle's config.json; ``None`` where it is missing."""
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
