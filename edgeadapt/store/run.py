"""A run on disk: what training leaves behind.

NAME/
  run.json             written last: a folder without it is not a run
  weights/             the trained tensors alone, safetensors
  tokenizer.json, tokenizer_config.json
  validation.csv       the held-out text that export's gates see (up to 2,000 examples)
  calibration.csv      some training text, for quantization with fixed scales
  vocabulary.json      how often each word piece occurs in training text
  predictions.csv      test text, label, prediction, confidence (multi-label: of the least
                       certain label)
  mistakes.html        the test texts that it is most surely wrong about, to look at
  history.jsonl        a line per logged step and per epoch
  curves.png
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import ClassVar, NotRequired, Self, TypedDict

from edgeadapt.errors import LayoutError, MissingError, UnfinishedError
from edgeadapt.metrics import Score
from edgeadapt.recipe import Recipe, Task
from edgeadapt.store.files import sha256
from edgeadapt.store.listing import check_file, check_listed, check_names, files_in
from edgeadapt.store.machine import TrainingMachine
from edgeadapt.store.manifests import read_manifest, write_manifest
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
"""Folder in which a training keeps its state until the run is finished."""


class _Apart(TypedDict):
    """What ``run.json`` says that is not read as a field of ``RunInfo``."""

    recipe: RecipeTables
    sizes: NotRequired[Mapping[str, Count]]


@dataclass(frozen=True)
class RunInfo:
    """What ``run.json`` says."""

    recipe: Recipe
    """The effective one: every value that depends on another is filled in."""
    labels: Names
    """Label names in the order of their indices."""
    pad_id: Count
    """Token id that fills up a batch."""
    backbone: Backbone
    """The encoder that it was trained on."""
    frozen_sha256: FrozenHashes
    """Hash of all weights that are not trained, ``before`` and ``after`` training."""
    trainable_parameters: Count
    total_parameters: Count
    data: DataReport
    """What the data set is like."""
    validation: Score | None
    """Of the best epoch on validation text; ``None`` for an imported adapter without data."""
    test: Score | None
    """Of the best epoch on test text; ``None`` for an imported adapter without data."""
    best_epoch: Count
    """Counted from 1; 0 where nothing was trained."""
    seconds: float
    """Wall time of the training loop, validation included."""
    examples_per_second: float
    """Training examples per second of training time, validation not counted."""
    machine: TrainingMachine
    """Device, threads and versions."""
    created: str
    """UTC, ISO 8601."""
    edgeadapt: str
    """Version that wrote the run."""
    task: Task = Task.SINGLE_LABEL
    """How many labels a text has."""
    pairs: bool = False
    """Whether the model takes pairs of texts."""
    imported: Imported | None = None
    """Where it was imported from; ``None`` for a trained one."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Relative path -> sha256 of every other file."""

    def __post_init__(self) -> None:
        check_names(self.files)

    @property
    def method(self) -> str:
        """How it was trained: kinds of adapters joined by ``+``."""
        return self.recipe.adapter.method


@dataclass(frozen=True)
class Run:
    """A finished run."""

    path: Path
    info: RunInfo
    sizes: Mapping[str, int] = field(default_factory=dict)
    """Relative path -> bytes of every file; runs of version 1 do not say them."""

    FORMAT_VERSION: ClassVar[int] = 2
    """Version 2 has a hash of run.json itself, the sizes of files, and ``null`` where version 1 had
    empty scores."""

    @classmethod
    def open(cls, path: Path) -> Self:
        """Opens a run; files are verified when they are used, see ``file``.

        Raises:
            MissingError: There is no such folder.
            UnfinishedError: The folder has no ``run.json``.
            LayoutError: ``run.json`` is newer, damaged, changed or not a run's.
            RecipeError: Its recipe holds what this edgeadapt does not know.
        """
        if not path.is_dir():
            raise MissingError(
                f"There is no run at {path}.", hint="Train one with: edgeadapt train"
            )
        if not (path / "run.json").is_file():
            if (path / "manifest.json").is_file():
                raise LayoutError(
                    f"{path} is a bundle: expected a run.",
                    hint="Name the run that it was made from; `edgeadapt inspect` says which.",
                )
            raise UnfinishedError(
                f"{path} is not a finished run: it has no run.json.",
                hint=f"Go on with: edgeadapt train --resume {path}"
                if (path / UNFINISHED).is_dir()
                else "Train again; a finished run writes run.json last.",
            )
        file = path / "run.json"
        value = read_manifest(
            file, supported=cls.FORMAT_VERSION, hashed_from=2, upgrades={1: upgraded_run}
        )
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
        found = sorted(root.glob("*/run.json"), key=lambda file: file.stat().st_mtime_ns)
        found = [file for file in found if not file.parent.name.startswith(".")]
        if not found:
            raise MissingError(
                f"There is no run under {root}.",
                hint="Train one with `edgeadapt train`, or name the run to use.",
            )
        return cls.open(found[-1].parent)

    @classmethod
    def write(cls, path: Path, info: RunInfo) -> Self:
        """Hashes every file under ``path`` and writes ``run.json``, last and atomically."""
        names = [name for name in files_in(path) if name != "run.json"]
        info = replace(info, files={name: sha256(path / name) for name in names})
        sizes = {name: (path / name).stat().st_size for name in names}
        value = {**asdict(info), "sizes": sizes}
        write_manifest(path / "run.json", value, version=cls.FORMAT_VERSION)
        return cls(path, info, sizes)

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.path.resolve().name

    def file(self, name: str) -> Path:
        """Returns the path of one of the run's files after checking its hash.

        Raises:
            IntegrityError: The file is missing, unknown or changed.
        """
        if name not in self.info.files:
            raise LayoutError(f"{self.path / 'run.json'} lists no file {name!r}.")
        return check_file(self.path, name, sha256=self.info.files[name], size=self.sizes.get(name))

    def verify(self) -> None:
        """Checks the hash of every file, and that there is no other.

        Raises:
            IntegrityError: A file is missing, changed, or not listed.
            LayoutError: The folder holds a link that leaves it, or something that is no file.
        """
        # A training that replaces the run keeps its state there until it is done.
        check_listed(self.path, {*self.info.files, "run.json"}, besides=UNFINISHED)
        for name in self.info.files:
            self.file(name)
