"""A record on disk: what a benchmark measured, raw samples first.

Every statistic that is shown can be recomputed from the samples in the record. What a record holds
is laid down in ``record.schema.json``, for other programs too.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any, ClassVar, Self

from edgeadapt.errors import LayoutError, MissingError
from edgeadapt.parsing import RECORD_BYTES
from edgeadapt.store.manifests import read_manifest, write_manifest

__all__ = ["Record", "Sample", "scenario_title"]


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
    tokenizer_bytes: int | None = None
    """Size of the tokenizer's file. This and what follows is not in records of version 1."""
    bundle_bytes: int | None = None
    """Size of the whole bundle."""
    runtime_bytes: int | None = None
    """What the engine's library takes on disk with the others of the base install."""
    memory: Mapping[str, Sequence[Mapping[str, int | None]]] = field(default_factory=dict)
    """``"loaded"``, then scenarios in their order -> resident bytes after it, one value per child:
    ``rss``, ``pss`` (shared pages divided among those who share them) and ``peak`` so far."""
    starts: Sequence[Mapping[str, int]] = field(default_factory=list)
    """From process start until everything was imported (``imported_ns``) and until the model was
    loaded (``loaded_ns``), one value per child of ``first_label_ns``."""
    pace_ns: Sequence[int] = field(default_factory=list)
    """What a fixed computation took at the end of each measuring child."""
    signal_ns: Sequence[int | None] = field(default_factory=list)
    """What a signal from one core to another and back took at the beginning of each; ``None`` where
    that cannot be measured."""
    throughput: Mapping[str, Sequence[Sequence[Mapping[str, float | None]]]] = field(
        default_factory=dict
    )
    """Batch size -> per child its passes: ``texts`` answered, ``ns``, ``joules`` where known."""
    bulk_memory: Mapping[str, Sequence[Mapping[str, int | None]]] = field(default_factory=dict)
    """``"loaded"``, then batch sizes -> resident bytes as in ``memory``."""
    gauge: str | None = None
    """What counted the energy."""
    leak: Sequence[Sequence[Sequence[int | None]]] = field(default_factory=list)
    """Per child the number of texts answered and the resident bytes then."""
    threads_ns: Mapping[str, Sequence[Sequence[int]]] = field(default_factory=dict)
    """Number of threads -> latencies at one length, one list per child."""

    def __str__(self) -> str:
        return f"{self.bundle}:{self.variant}"


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
    conditions: Mapping[str, Any] = field(default_factory=dict)
    """What the machine was up to ``before`` and ``after``, and how many cores ``others`` took."""
    bundles: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Name of each bundle -> what its manifest says of where the model comes from."""

    FORMAT_VERSION: ClassVar[int] = 3
    """Version 2 has what a sample of version 1 lacks; version 3 has a hash of the record itself."""

    @classmethod
    def open(cls, path: Path) -> Self:
        """Reads a record.

        Raises:
            MissingError: There is no such file.
            LayoutError: It is newer, damaged, changed or not a record.
        """
        if not path.exists():
            raise MissingError(f"There is no record at {path}.", hint="Measure: edgeadapt bench")
        value: dict[str, Any] = read_manifest(
            path, supported=cls.FORMAT_VERSION, hashed_from=3, limit=RECORD_BYTES
        )
        _check(value, path)
        samples = tuple(Sample(**sample) for sample in value.pop("samples"))
        return cls(**value, samples=samples)

    def write(self, path: Path) -> None:
        """Writes the record atomically."""
        write_manifest(path, asdict(self), version=self.FORMAT_VERSION, limit=RECORD_BYTES)


def scenario_title(name: str) -> str:
    """Returns what a key of ``Sample.latency_ns`` stands for."""
    titles = {"text": "real texts", "text-model": "real texts, model alone"}
    return titles.get(name, f"{name} tokens")


def _check(value: Mapping[str, Any], path: Path) -> None:
    """Compares what a file says with the schema.

    Raises:
        LayoutError: Something is missing, unknown or of another type.
    """
    import fastjsonschema

    schema = files("edgeadapt.store").joinpath("record.schema.json").read_text(encoding="utf-8")
    try:
        fastjsonschema.compile(json.loads(schema))(dict(value))
    except fastjsonschema.JsonSchemaValueException as error:
        raise LayoutError(
            f"{path} is not a benchmark record: {error.message.removeprefix('data.')}.",
            hint="Was it changed after edgeadapt bench had written it?",
        ) from None
