"""Where a measured bundle's model comes from, as the bundle's manifest says it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType

from edgeadapt.store.provenance import Provenance

__all__ = ["Origin"]

_PER_LABEL: Mapping[str, object] = MappingProxyType(
    {"precision": (), "recall": (), "confusion": None}
)
"""What a record leaves out of a score: it grows with the labels, and nothing shows it."""
_SPLITS = ("validation", "test")


@dataclass(frozen=True)
class Origin:
    """What a bundle's manifest says of its model."""

    created: str
    """When the bundle was made; UTC, ISO 8601."""
    edgeadapt: str
    """Version that exported it."""
    provenance: Provenance
    """Where the model comes from; a record on disk has no figures per label of its scores."""
    schemes: Mapping[str, str | None]
    """Variant -> how it was quantized; ``None`` for fp32."""

    def to_json(self) -> dict[str, object]:
        """Returns it as a record says it: without what is not known, nor figures per label."""
        made = asdict(self.provenance)
        known = {name: value for name, value in made.items() if value not in (None, ())}
        for split in _SPLITS:
            scores = known.get(split, {}).items()
            known[split] = {name: value for name, value in scores if name not in _PER_LABEL}
        return {**asdict(self), "provenance": known}

    @staticmethod
    def completed(value: Mapping[str, object]) -> dict[str, object]:
        """Returns what ``to_json`` gave, after its way through JSON, in the form of the fields."""
        made = value.get("provenance")
        if not isinstance(made, Mapping):
            return dict(value)
        scores = {
            split: {**_PER_LABEL, **made[split]} if made[split] else None
            for split in _SPLITS
            if split in made
        }
        return {**value, "provenance": {**made, **scores}}
