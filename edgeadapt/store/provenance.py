"""What a bundle says of where its model comes from."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from edgeadapt.metrics import Score
from edgeadapt.store.compression import Setting
from edgeadapt.typed import Count

__all__ = ["Backbone", "Provenance", "RecipeTables", "Requantized"]

RecipeTables = Mapping[str, Mapping[str, Setting | None]]
"""A recipe as it was recorded, which is not checked again: ``Recipe.from_recorded`` takes it back,
and a newer version's table is no reason to refuse a model."""


@dataclass(frozen=True)
class Backbone:
    """The encoder that a model was trained on."""

    id: str
    """A hub id, or a folder: its name alone in a bundle."""
    model_type: str | None = None
    commit: str | None = None
    """Of a hub id."""
    config_sha256: str | None = None
    """Hash of the settings that decide what the weights compute."""


@dataclass(frozen=True)
class Requantized:
    """A time that a bundle was quantized again: from which one, and on what machine."""

    bundle: str
    """Name of the bundle."""
    manifest_sha256: str
    created: str
    """When the bundle was made; UTC, ISO 8601."""
    edgeadapt: str
    """Version that made it."""
    cpu: str
    architecture: str
    cores: Count
    versions: Mapping[str, str]
    threads: Count
    """CPU threads while latency was measured."""


@dataclass(frozen=True)
class Provenance:
    """Where a model comes from; ``None`` for what is not known."""

    run: str | None = None
    """Name of the run."""
    method: str | None = None
    """How it was trained: kinds of adapters joined by ``+``."""
    recipe: RecipeTables = field(default_factory=dict)
    """Absolute paths are cut to their last part."""
    backbone: Backbone | None = None
    frozen_sha256: str | None = None
    """Hash of all weights that were not trained."""
    data_fingerprint: str | None = None
    trainable_parameters: Count | None = None
    total_parameters: Count | None = None
    validation: Score | None = None
    """Before the export."""
    test: Score | None = None
    """Before the export."""
    exporter: str | None = None
    passes: tuple[str, ...] = ()
    """Exact rewritings of the graph."""
    versions: Mapping[str, str] = field(default_factory=dict)
    """Of the libraries that exported it."""
    quantized_again: tuple[Requantized, ...] = ()
    """By ``edgeadapt export BUNDLE --quantize``, the first time first."""
