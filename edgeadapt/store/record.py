"""A record on disk: the results of a benchmark, as raw samples.

All reported statistics are computed from the samples in the record. ``record.schema.json``
specifies the format, also for other programs.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from importlib.resources import files
from pathlib import Path
from typing import ClassVar, NotRequired, Self, TypedDict

from edgeadapt.errors import LayoutError, MissingError
from edgeadapt.parsing import RECORD_BYTES
from edgeadapt.store.conditions import Conditions
from edgeadapt.store.evaluation import EvaluationInfo
from edgeadapt.store.machine import Machine
from edgeadapt.store.manifests import read_manifest, write_manifest
from edgeadapt.store.origin import Origin
from edgeadapt.store.plan import Plan
from edgeadapt.store.record_2 import upgraded_record
from edgeadapt.store.sample import Sample
from edgeadapt.typed import from_json

__all__ = ["Record"]

_UNPLANNED = {each.name: () if isinstance(each.default, tuple) else 0 for each in fields(Plan)}
"""Defaults for counts that the plan of a record lacks: nothing of the kind was measured."""


class _Apart(TypedDict):
    """The fields of ``Record`` whose JSON has a different form."""

    plan: Mapping[str, object]
    bundles: NotRequired[Mapping[str, Mapping[str, object]]]


@dataclass(frozen=True)
class Record:
    """One benchmark."""

    created: str
    """UTC, ISO 8601."""
    edgeadapt: str
    """Version of edgeadapt that measured."""
    machine: Machine
    """CPU, memory, system and library versions."""
    threads: int
    """CPU threads of every engine."""
    plan: Plan
    """Numbers of processes, runs and texts."""
    evaluation: EvaluationInfo
    """Origin, sha256 and number of the texts, their labels where known, and the task."""
    baseline: str
    """``BUNDLE:VARIANT`` that ratios refer to."""
    samples: tuple[Sample, ...]
    conditions: Conditions = field(default_factory=Conditions)
    """State of the machine before and after, and the load by others in between."""
    bundles: Mapping[str, Origin] = field(default_factory=dict)
    """Name of each bundle -> origin of its model."""

    FORMAT_VERSION: ClassVar[int] = 4
    """Version 2 added fields to samples; version 3 added a hash of the record itself. Version 4
    added what was removed from the layers of a bundle; a record of version 3 is one without."""

    @classmethod
    def open(cls, path: Path) -> Self:
        """Reads a record.

        Raises:
            MissingError: There is no such file.
            LayoutError: It is newer, damaged, changed or not a record.
        """
        if not path.exists():
            raise MissingError(f"There is no record at {path}.", hint="Measure: edgeadapt bench")
        value = read_manifest(
            path,
            supported=cls.FORMAT_VERSION,
            hashed_from=3,
            limit=RECORD_BYTES,
            upgrades={2: upgraded_record},
        )
        _check(value, path)
        where = f"{path} is not a benchmark record"
        apart = from_json(_Apart, value, where=where)
        bundles = apart.get("bundles", {}).items()
        value["plan"] = {**_UNPLANNED, **apart["plan"]}
        value["bundles"] = {name: Origin.completed(origin) for name, origin in bundles}
        return from_json(cls, value, where=where)

    def write(self, path: Path) -> None:
        """Writes the record atomically."""
        bundles = {name: origin.to_json() for name, origin in self.bundles.items()}
        value = {**asdict(self), "bundles": bundles}
        write_manifest(path, value, version=self.FORMAT_VERSION, limit=RECORD_BYTES)


def _check(value: Mapping[str, object], path: Path) -> None:
    """Validates the content of a file against the schema.

    Raises:
        LayoutError: A key is missing, unknown or has another type.
    """
    import fastjsonschema

    schema = files("edgeadapt.store").joinpath("record.schema.json").read_text(encoding="utf-8")
    try:
        fastjsonschema.compile(json.loads(schema))(dict(value))
    except fastjsonschema.JsonSchemaValueException as error:
        raise LayoutError(
            f"{path} is not a benchmark record: {error.message.removeprefix('data.')}.",
            hint="Check whether it was changed after edgeadapt bench wrote it.",
        ) from None
