"""A record on disk: what a benchmark measured, raw samples first.

Every statistic that is shown can be recomputed from the samples in the record.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

from edgeadapt.errors import LayoutError, MissingError
from edgeadapt.storage import read_versioned, write_json

__all__ = ["Record", "Sample"]


@dataclass(frozen=True)
class Sample:
    """Everything measured of one variant on one engine, before any statistics."""

    bundle: str
    """Name of the bundle."""
    variant: str
    """``fp32``, ``int8`` or ``torch``."""
    engine: str
    """What the engine says of itself: name, version, threads."""
    method: str
    """How the model was trained."""
    bytes: int
    """Size of the model files."""
    sha256: str
    """Hash of the model file."""
    latency_ns: Mapping[str, Sequence[Sequence[int]]]
    """Tokens per text, or ``"text"`` for real texts -> one list of nanoseconds per child."""
    load_ns: Sequence[int]
    """Model load, one value per child."""
    first_label_ns: Sequence[int]
    """Process start to first label, one value per child."""
    peak_bytes: Sequence[int | None]
    """Peak resident memory (VmHWM), one value per child; ``None`` where /proc has none."""
    import_bytes: Sequence[int | None]
    """Peak resident memory before the model was loaded, one value per child."""
    logits: Sequence[Sequence[float]]
    """One row per evaluation text; empty without texts."""


@dataclass(frozen=True)
class Record:
    """One benchmark."""

    created: str
    """UTC, ISO 8601."""
    edgeadapt: str
    """Version that measured."""
    machine: Mapping[str, Any]
    """CPU, memory, system and library versions."""
    threads: int
    """Threads that every engine was given."""
    plan: Mapping[str, Any]
    """What was measured how often."""
    evaluation: Mapping[str, Any]
    """Origin, sha256 and number of the texts, their labels where known, and the task."""
    baseline: str
    """``BUNDLE:VARIANT`` that ratios refer to."""
    samples: Sequence[Sample]

    FORMAT_VERSION: ClassVar[int] = 1

    @classmethod
    def open(cls, path: Path) -> Self:
        """Reads a record.

        Raises:
            MissingError: There is no such file.
            LayoutError: It is newer, damaged or not a record.
        """
        if not path.is_file():
            raise MissingError(f"There is no record at {path}.", hint="Measure: edgeadapt bench")
        value = read_versioned(path, supported=cls.FORMAT_VERSION)
        try:
            samples = tuple(Sample(**sample) for sample in value.pop("samples"))
            return cls(**value, samples=samples)
        except (TypeError, KeyError) as error:
            raise LayoutError(f"{path} is not a benchmark record: {error}.") from None

    def write(self, path: Path) -> None:
        """Writes the record atomically."""
        write_json(path, {"format_version": self.FORMAT_VERSION, **asdict(self)})
