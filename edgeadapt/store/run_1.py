"""Convert ``run.json`` of version 1 to version 2."""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import TypedDict

from edgeadapt.metrics import Score
from edgeadapt.store.machine import TrainingMachine
from edgeadapt.store.provenance import Backbone
from edgeadapt.store.training import DataReport
from edgeadapt.typed import from_json

__all__ = ["upgraded_run"]


class _Run(TypedDict):
    """The keys whose values may have more or fewer keys than in version 2."""

    backbone: Mapping[str, object]
    data: Mapping[str, object]
    machine: Mapping[str, object]
    validation: Mapping[str, object]  # empty where nothing was measured
    test: Mapping[str, object]


def upgraded_run(value: Mapping[str, object], path: Path) -> dict[str, object]:
    """Returns the content of ``run.json`` in the form of version 2.

    Args:
        value: Its content.
        path: Its path, for messages.

    Raises:
        LayoutError: It is not the ``run.json`` of a run.
    """
    where = f"{path} is not a run's"
    old = from_json(dict[str, object], dict(value), where=where)
    parts = from_json(_Run, old, where=where)
    return old | {
        "backbone": _known(Backbone, parts["backbone"]),
        "data": _known(DataReport, parts["data"]),
        "machine": {"cpu": "unknown"} | _known(TrainingMachine, parts["machine"]),
        "validation": _known(Score, parts["validation"]) or None,
        "test": _known(Score, parts["test"]) or None,
    }


def _known(kind: type, value: Mapping[str, object]) -> dict[str, object]:
    """The keys of an older object for which the dataclass has a field."""
    names = {field.name for field in fields(kind)}
    return {key: each for key, each in value.items() if key in names}
