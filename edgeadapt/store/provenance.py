"""Provenance of the model in a bundle."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from edgeadapt.metrics import Score
from edgeadapt.store.compression import Setting
from edgeadapt.typed import Count

__all__ = ["Backbone", "Provenance", "RecipeTables", "Requantized"]

RecipeTables = Mapping[str, Mapping[str, Setting | None]]
"""The recorded tables of a recipe. They are not checked, because an unknown key of a newer version
must not make a model unusable; ``Recipe.from_recorded`` reads them."""


@dataclass(frozen=True)
class Backbone:
    """The encoder that a model was trained on."""

    id: str
    """A hub id, or a folder; in a bundle, only the name of the folder."""
    model_type: str | None = None
    commit: str | None = None
    """Commit of the hub repository."""
    config_sha256: str | None = None
    """Hash of the settings that determine the computation."""


@dataclass(frozen=True)
class Requantized:
    """Record of quantizing a bundle again: the source bundle and the machine."""

    bundle: str
    """Name of the bundle."""
    manifest_sha256: str
    created: str
    """When the bundle was made; UTC, ISO 8601."""
    edgeadapt: str
    """Version of edgeadapt that wrote it."""
    cpu: str
    architecture: str
    cores: Count
    versions: Mapping[str, str]
    threads: Count
    """CPU threads for measuring latency."""


@dataclass(frozen=True)
class Provenance:
    """Origin of a model; ``None`` for unknown values."""

    run: str | None = None
    """Name of the run."""
    method: str | None = None
    """Training method: kinds of adapters joined by ``+``."""
    recipe: RecipeTables = field(default_factory=dict)
    """Absolute paths are reduced to their last component."""
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
    """Graph passes that were applied."""
    versions: Mapping[str, str] = field(default_factory=dict)
    """Versions of the libraries used for the export."""
    quantized_again: tuple[Requantized, ...] = ()
    """Each ``edgeadapt export BUNDLE --quantize``, in order."""
