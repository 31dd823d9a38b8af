"""Origin of the model of a measured bundle, copied from its manifest into the record."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType

from edgeadapt.store.compression import Compression
from edgeadapt.store.provenance import Provenance

__all__ = ["Origin"]

_PER_LABEL: Mapping[str, object] = MappingProxyType(
    {"precision": (), "recall": (), "confusion": None}
)
"""Fields of a score that are left out of records: their size grows with the number of labels, and
no report uses them."""
_SPLITS = ("validation", "test")


@dataclass(frozen=True)
class Origin:
    """The part of a bundle's manifest about the origin of its model."""

    created: str
    """When the bundle was made; UTC, ISO 8601."""
    edgeadapt: str
    """Version of edgeadapt that exported it."""
    provenance: Provenance
    """Provenance of the model; in a record on disk its scores have no values per label."""
    schemes: Mapping[str, str | None]
    """Variant -> quantization scheme; ``None`` for fp32."""
    structure: Compression | None = None
    """The step that removed layers, heads and neurons, and what was removed; ``None`` if nothing
    was."""

    def to_json(self) -> dict[str, object]:
        """Returns the JSON for a record, without unknown values and values per label."""
        made = asdict(self.provenance)
        known = {name: value for name, value in made.items() if value not in (None, ())}
        for split in _SPLITS:
            scores = known.get(split, {}).items()
            known[split] = {name: value for name, value in scores if name not in _PER_LABEL}
        return {**asdict(self), "provenance": known}

    @staticmethod
    def completed(value: Mapping[str, object]) -> dict[str, object]:
        """Returns the output of ``to_json`` with the omitted fields filled in."""
        made = value.get("provenance")
        if not isinstance(made, Mapping):
            return dict(value)
        scores = {
            split: {**_PER_LABEL, **made[split]} if made[split] else None
            for split in _SPLITS
            if split in made
        }
        return {**value, "provenance": {**made, **scores}}
