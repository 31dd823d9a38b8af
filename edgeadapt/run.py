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
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

from edgeadapt.config import Task
from edgeadapt.errors import LayoutError, MissingError, UnfinishedError
from edgeadapt.storage import (
    check_inside,
    check_sha256,
    read_versioned,
    sha256,
    write_json,
)

__all__ = ["UNFINISHED", "Run", "RunInfo"]

UNFINISHED = "checkpoint"
"""Folder in which a training keeps its state until the run is finished."""


@dataclass(frozen=True)
class RunInfo:
    """What ``run.json`` says."""

    recipe: Mapping[str, Any]
    """The effective recipe; ``Recipe.from_dict`` takes it back."""
    labels: tuple[str, ...]
    """Label names in the order of their indices."""
    pad_id: int
    """Token id that fills up a batch."""
    backbone: Mapping[str, Any]
    """``id``, ``model_type``, ``config_sha256`` and, for a hub id, the ``commit``."""
    frozen_sha256: Mapping[str, str]
    """Hash of all weights that are not trained, ``before`` and ``after`` training."""
    trainable_parameters: int
    total_parameters: int
    data: Mapping[str, Any]
    """``fingerprint``, examples per split, texts cut, texts shared between splits."""
    validation: Mapping[str, Any]
    """Scores of the best epoch on validation text; empty for an imported adapter without data."""
    test: Mapping[str, Any]
    """Scores of the best epoch on test text; empty for an imported adapter without data."""
    best_epoch: int
    """Counted from 1; 0 where nothing was trained."""
    seconds: float
    """Wall time of the training loop, validation included."""
    examples_per_second: float
    """Training examples per second of training time, validation not counted."""
    machine: Mapping[str, Any]
    """Device, threads and versions."""
    created: str
    """UTC, ISO 8601."""
    edgeadapt: str
    """Version that wrote the run."""
    task: Task = Task.SINGLE_LABEL
    """How many labels a text has."""
    pairs: bool = False
    """Whether the model takes pairs of texts."""
    imported: Mapping[str, Any] | None = None
    """``format`` and ``folder`` of the adapter that was imported; ``None`` for a trained one."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Relative path -> sha256 of every other file."""


@dataclass(frozen=True)
class Run:
    """A finished run."""

    path: Path
    info: RunInfo

    FORMAT_VERSION: ClassVar[int] = 1

    @classmethod
    def open(cls, path: Path) -> Self:
        """Opens a run; files are verified when they are used, see ``file``.

        Raises:
            MissingError: There is no such folder.
            UnfinishedError: The folder has no ``run.json``.
            LayoutError: ``run.json`` is newer, damaged or not a run's.
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
        value = read_versioned(path / "run.json", supported=cls.FORMAT_VERSION)
        try:
            task = Task(value.get("task", Task.SINGLE_LABEL))
            info = RunInfo(**{**value, "labels": tuple(value["labels"]), "task": task})
            check_inside(info.files)
        except (TypeError, KeyError, ValueError, AttributeError) as error:
            raise LayoutError(f"{path / 'run.json'} is not a run's: {error}.") from None
        return cls(path, info)

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
        files = {
            file.relative_to(path).as_posix(): sha256(file)
            for file in sorted(path.rglob("*"))
            if file.is_file() and file.name != "run.json"
        }
        info = RunInfo(**{**info.__dict__, "files": files})
        write_json(path / "run.json", {"format_version": cls.FORMAT_VERSION, **asdict(info)})
        return cls(path, info)

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
        check_sha256(self.path / name, self.info.files[name])
        return self.path / name

    def verify(self) -> None:
        """Checks the hash of every file.

        Raises:
            IntegrityError: A file is missing or changed.
        """
        for name in self.info.files:
            self.file(name)
