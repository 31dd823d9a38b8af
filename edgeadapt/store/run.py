"""A run on disk: the result of training.

NAME/
  run.json             written last: a folder without it is not a run
  weights/             only the trained tensors, safetensors
  tokenizer.json, tokenizer_config.json
  validation.csv       held-out text for the gates of export (up to 2,000 examples)
  calibration.csv      some training text, for quantization with fixed scales
  vocabulary.json      frequency of each word piece in training text
  predictions.csv      test text, label, prediction, confidence (multi-label: of the least
                       certain label)
  mistakes.html        the wrong predictions on test text with the highest confidence
  history.jsonl        a line per logged step and per epoch
  curves.png
"""

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar, NotRequired, Self, TypedDict

from edgeadapt.errors import MissingError
from edgeadapt.metrics import Score
from edgeadapt.recipe import Recipe, Task
from edgeadapt.store.layout import Layout
from edgeadapt.store.listing import check_names
from edgeadapt.store.machine import TrainingMachine
from edgeadapt.store.manifests import Upgrade, write_manifest
from edgeadapt.store.provenance import Backbone, RecipeTables
from edgeadapt.store.run_1 import upgraded_run
from edgeadapt.store.training import DataReport, FrozenHashes, Imported
from edgeadapt.typed import Count, Names, from_json

__all__ = [
    "CALIBRATION_FILE",
    "PREDICTIONS_FILE",
    "UNFINISHED",
    "VALIDATION_FILE",
    "VOCABULARY_FILE",
    "Run",
    "RunInfo",
]

VALIDATION_FILE = "validation.csv"
CALIBRATION_FILE = "calibration.csv"
VOCABULARY_FILE = "vocabulary.json"
PREDICTIONS_FILE = "predictions.csv"

UNFINISHED = "checkpoint"
"""Subfolder for the checkpoints of a training until the run is finished."""


_RUN_OF_A_BUNDLE = "Name the run that it was exported from; `edgeadapt inspect` shows it."


class _Apart(TypedDict):
    """The keys of ``run.json`` that are not fields of ``RunInfo``."""

    recipe: RecipeTables
    sizes: NotRequired[Mapping[str, Count]]


@dataclass(frozen=True)
class RunInfo:
    """Content of ``run.json``."""

    recipe: Recipe
    """The effective recipe: defaults that depend on other values are filled in."""
    labels: Names
    """Label names in the order of their indices."""
    pad_id: Count
    """Token id for padding."""
    backbone: Backbone
    """The encoder that it was trained on."""
    frozen_sha256: FrozenHashes
    """Hash of all frozen weights, ``before`` and ``after`` training."""
    trainable_parameters: Count
    total_parameters: Count
    data: DataReport
    """Statistics of the data set."""
    validation: Score | None
    """Score of the best epoch on validation text; ``None`` for an imported adapter without data."""
    test: Score | None
    """Score of the best epoch on test text; ``None`` for an imported adapter without data."""
    best_epoch: Count
    """Epoch with the best validation score, from 1; 0 where nothing was trained."""
    seconds: float
    """Wall time of the training loop in seconds, including validation."""
    examples_per_second: float
    """Training examples per second, excluding validation."""
    machine: TrainingMachine
    """Device, threads and versions."""
    created: str
    """UTC, ISO 8601."""
    edgeadapt: str
    """Version of edgeadapt that wrote the run."""
    task: Task = Task.SINGLE_LABEL
    """How many labels a text has."""
    pairs: bool = False
    """Whether the model takes pairs of texts."""
    imported: Imported | None = None
    """Source of an imported run; ``None`` for a trained one."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Relative path -> sha256 of every other file."""

    def __post_init__(self) -> None:
        check_names(self.files)

    @property
    def method(self) -> str:
        """Training method: kinds of adapters joined by ``+``."""
        return self.recipe.adapter.method


@dataclass(frozen=True)
class Run(Layout):
    """A finished run."""

    info: RunInfo
    sizes: Mapping[str, int] = field(default_factory=dict)
    """Relative path -> size in bytes of every file; empty for runs of version 1."""

    KIND: ClassVar[str] = "run"
    MANIFEST: ClassVar[str] = "run.json"
    FORMAT_VERSION: ClassVar[int] = 2
    """Version 2 added a hash of run.json itself and the sizes of files, and has ``null`` where
    version 1 had empty scores."""
    UPGRADES: ClassVar[Mapping[int, Upgrade]] = MappingProxyType({1: upgraded_run})
    BESIDES: ClassVar[str | None] = UNFINISHED
    """The subfolder belongs to a running training that will replace the run."""

    @classmethod
    def open(cls, path: Path) -> Self:
        """Opens a run; files are verified when they are used, see ``file``.

        Raises:
            MissingError: There is no such folder.
            UnfinishedError: The folder has no ``run.json``.
            LayoutError: ``run.json`` is newer, damaged, changed or not that of a run.
            RecipeError: Its recipe has keys or values that this edgeadapt does not support.
        """
        value = cls.read(
            path,
            missing="Train one with: edgeadapt train",
            unfinished=f"Resume it with: edgeadapt train --resume {path}"
            if (path / UNFINISHED).is_dir()
            else "Train again; a finished run writes run.json last.",
            others={
                "manifest.json": ("bundle", _RUN_OF_A_BUNDLE),
                "model.safetensors": (
                    "checkpoint",
                    "Train on it with: edgeadapt train --model "
                    f"{path} --dataset DATA, or export it as it is: edgeadapt export {path}",
                ),
            },
        )
        file = path / cls.MANIFEST
        where = f"{file} is not a run's"
        apart = from_json(_Apart, value, where=where)
        value.pop("sizes", None)
        value["recipe"] = Recipe.from_recorded(apart["recipe"], origin=str(file))
        return cls(path, from_json(RunInfo, value, where=where), apart.get("sizes", {}))

    @classmethod
    def latest(cls, root: Path) -> Self:
        """Opens the newest run under ``root``.

        Raises:
            MissingError: There is none.
        """
        files = sorted(root.glob("*/run.json"), key=lambda file: file.stat().st_mtime_ns)
        files = [file for file in files if not file.parent.name.startswith(".")]
        if not files:
            raise MissingError(
                f"There is no run under {root}.",
                hint="Train one with `edgeadapt train`, or name the run to use.",
            )
        return cls.open(files[-1].parent)

    @classmethod
    def write(cls, path: Path, info: RunInfo) -> Self:
        """Hashes every file under ``path`` and writes ``run.json``, last and atomically."""
        files = cls.hashed(path)
        info = replace(info, files={name: each.sha256 for name, each in files.items()})
        sizes = {name: each.bytes for name, each in files.items()}
        value = {**asdict(info), "sizes": sizes}
        write_manifest(path / cls.MANIFEST, value, version=cls.FORMAT_VERSION)
        return cls(path, info, sizes)

    @property
    def names(self) -> Collection[str]:
        """Relative paths of all files but the manifest."""
        return self.info.files.keys()

    def hash_of(self, name: str) -> str:
        """Returns the SHA-256 that the manifest lists for one of ``names``."""
        return self.info.files[name]

    def size_of(self, name: str) -> int | None:
        """Returns the size in bytes from run.json; ``None`` for a run of version 1."""
        return self.sizes.get(name)
