"""Runs of version 1: what ``run.json`` says, in the form of version 2."""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, TypedDict

from edgeadapt.metrics import Score
from edgeadapt.store.machine import TrainingMachine
from edgeadapt.store.provenance import Backbone
from edgeadapt.store.training import DataReport
from edgeadapt.typed import from_json

__all__ = ["upgraded_run"]

_KINDS: Mapping[str, type] = {
    "backbone": Backbone,
    "data": DataReport,
    "machine": TrainingMachine,
    "validation": Score,
    "test": Score,
}
_UNKNOWN = {"machine": {"cpu": "unknown"}}


class _Run(TypedDict):
    """The keys whose values may hold more, or less, than those of version 2."""

    backbone: Mapping[str, Any]
    data: Mapping[str, Any]
    machine: Mapping[str, Any]
    validation: Mapping[str, Any]  # empty where nothing was measured
    test: Mapping[str, Any]


def upgraded_run(value: Mapping[str, object], path: Path) -> dict[str, Any]:
    """Returns ``run.json`` as one of version 2 says it.

    Args:
        value: Its content.
        path: Its path, for messages.

    Raises:
        LayoutError: It is not a run's.
    """
    old: Mapping[str, Any] = from_json(_Run, dict(value), where=f"{path} is not a run's")
    return {**old, **{name: _known(name, old[name]) for name in _KINDS}}


def _known(name: str, value: Mapping[str, Any]) -> dict[str, Any] | None:
    if _KINDS[name] is Score and not value:
        return None
    names = {field.name for field in fields(_KINDS[name])}
    return _UNKNOWN.get(name, {}) | {key: each for key, each in value.items() if key in names}
