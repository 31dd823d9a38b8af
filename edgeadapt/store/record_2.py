"""Convert records of versions 1 and 2 to version 3."""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

from edgeadapt.metrics import Score
from edgeadapt.store.conditions import Conditions, Moment
from edgeadapt.store.evaluation import EvaluationInfo
from edgeadapt.store.machine import Machine
from edgeadapt.store.plan import Plan
from edgeadapt.store.provenance import Backbone, Provenance

__all__ = ["upgraded_record"]

_KINDS = {
    "machine": Machine,
    "plan": Plan,
    "evaluation": EvaluationInfo,
    "conditions": Conditions,
}
_PARTS = {"backbone": Backbone, "validation": Score, "test": Score}
"""Objects inside a provenance."""


def upgraded_record(value: Mapping[str, object], path: Path) -> dict[str, object]:
    """Returns the content of a record in the form of version 3.

    Early records contain additional keys of the machine, the plan and the manifests of bundles.
    Only the keys of version 3 are kept. The values are checked afterwards, as in version 3.

    Args:
        value: The content of the record.
        path: Its path, for messages.
    """
    upgraded = {key: _known(_KINDS.get(key), each) for key, each in value.items()}
    if isinstance(conditions := upgraded.get("conditions"), dict):
        upgraded["conditions"] = {
            key: _known(Moment if key in ("before", "after") else None, each)
            for key, each in conditions.items()
        }
    if isinstance(bundles := value.get("bundles"), Mapping):
        upgraded["bundles"] = {name: _origin(bundle) for name, bundle in bundles.items()}
    return upgraded


def _origin(bundle: object) -> object:
    if not isinstance(bundle, Mapping) or not isinstance(made := bundle.get("provenance"), Mapping):
        return bundle
    names = {field.name for field in fields(Provenance)}
    provenance = {key: _known(_PARTS.get(key), made[key]) for key in made if key in names}
    return {**bundle, "provenance": provenance}


def _known(kind: type | None, value: object) -> object:
    """Returns the keys for which the dataclass has a field; a value that is no object unchanged."""
    if kind is None or not isinstance(value, Mapping):
        return value
    names = {field.name for field in fields(kind)}
    return {key: each for key, each in value.items() if key in names}
