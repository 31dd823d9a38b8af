"""The compression report of a bundle: one format for all kinds of steps."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from edgeadapt.metrics import Drift
from edgeadapt.recipe import EngineName, Objective, Platform
from edgeadapt.store.structure import Structure
from edgeadapt.typed import Count

__all__ = ["Baseline", "Compression", "Setting", "Shrunk", "StepReport", "TrialReport"]

Setting = str | int | float | bool | tuple[str, ...]
"""A JSON value."""


@dataclass(frozen=True)
class Baseline:
    """The input model of a step, measured like its trials."""

    bytes: Count | None = None
    """Bytes of the part that the step changes; ``None`` where not measured."""
    latency_ms: float | None = None
    """Mean over real texts at batch 1; ``None`` where it was not measured."""
    noise: float | None = None
    """Noise of timing: how much slower a second process was than the fastest, as a share."""
    sensitivity: Mapping[str, float] = field(default_factory=dict)
    """Part of the model -> root mean squared logit shift if only this part is changed, largest
    first; empty where it was not needed."""


@dataclass(frozen=True)
class TrialReport:
    """A candidate of a step, and its measurements."""

    name: str
    """Name for people."""
    settings: Mapping[str, Setting]
    """The settings behind ``name``, for programs."""
    drift: Drift
    """Drift against the uncompressed model; it includes the cost of earlier steps."""
    bytes: Count | None
    """Bytes of the part that the step changes; ``None`` in early bundles."""
    allowed: bool
    """Whether it is within the budget."""
    latency_ms: float | None = None
    """Mean over real texts at batch 1; ``None`` where it was not measured."""
    peak_bytes: Count | None = None
    """Peak memory of a process that loads and runs it; ``None`` where it was not measured."""


@dataclass(frozen=True)
class StepReport:
    """A compression step: its trials and the one that was chosen."""

    name: str
    """Name of the step, such as ``quantize``."""
    candidates: str
    """Plural noun for the trials, such as ``quantized models``."""
    title: str
    """Name of the gate of the step."""
    trials: tuple[TrialReport, ...]
    """In the order in which they were tried."""
    chosen: str
    """Name of the chosen trial."""
    baseline: Baseline = field(default_factory=Baseline)

    def __post_init__(self) -> None:
        if sum(trial.name == self.chosen for trial in self.trials) != 1:
            raise ValueError(f"chosen: expected the name of one trial, found {self.chosen!r}")

    @property
    def taken(self) -> TrialReport:
        """The trial that was chosen."""
        return next(trial for trial in self.trials if trial.name == self.chosen)


@dataclass(frozen=True)
class Shrunk:
    """What was removed from the layers of a model, and what that saves."""

    before: Structure
    """The layers of the uncompressed model."""
    after: Structure
    """The layers that are left."""
    layers: tuple[Count, ...]
    """Their numbers in ``before``, from 0, ascending."""
    head_importance: tuple[float, ...]
    """Of the heads of each layer together, before any was removed: what removing them adds to the
    error of the sublayer's output. Of the layers that are left; empty where layers share their
    weights."""
    neuron_importance: tuple[float, ...]
    """The same of the FFN neurons of each layer together."""
    tokens: Count
    """Length of text at which speeds are compared."""
    predicted: float
    """How many times as fast as the unpruned model in the same form, predicted before export."""
    measured: float | None
    """The same, measured on the finished file at batch 1, in interleaved fresh processes; ``None``
    after the bundle was quantized again, since that file was not compared."""

    def __post_init__(self) -> None:
        depth = self.after.depth
        if depth > self.before.depth:
            raise ValueError(
                f"after: expected at most {self.before.depth} layers, as before, found {depth}"
            )
        ascending = list(self.layers) == sorted(set(self.layers))
        if len(self.layers) != depth or not ascending or self.layers[-1] >= self.before.depth:
            raise ValueError(
                f"layers: expected the numbers of {depth} layers, ascending, from 0 to below "
                f"{self.before.depth}, found {list(self.layers)}"
            )
        for name in ("head_importance", "neuron_importance"):
            if len(getattr(self, name)) not in (0, depth):
                raise ValueError(
                    f"{name}: expected {depth} values, one for each layer of after, found "
                    f"{len(getattr(self, name))}"
                )


@dataclass(frozen=True)
class Compression:
    """All compression steps, with their common budget and what they cost together."""

    max_drop: float
    """Largest accuracy drop against the uncompressed fp32 model, 0 to 1."""
    texts: Count
    """Number of validation texts used for judging."""
    deciding_texts: Count
    """Number of texts from which on the interval of the drop is checked too."""
    slack: float
    """How far the interval may exceed the budget, 0 to 1."""
    steps: tuple[StepReport, ...]
    """In the order in which they were taken."""
    spent: Drift
    """Drift of the finished file against the uncompressed model."""
    shrunk: Shrunk | None = None
    """What was removed from the layers; ``None`` if nothing."""
    objective: Objective | None = None
    """Criterion for the quantized model; ``None`` without quantization."""
    platform: Platform | None = None
    """Platform that it was quantized for."""
    engine: EngineName | None = None
    """Engine that runs it."""

    def __post_init__(self) -> None:
        if not self.steps:
            raise ValueError("steps: expected at least one, found none")

    def step(self, name: str) -> StepReport | None:
        """Returns a step by name; ``None`` where it was not taken."""
        return next((step for step in self.steps if step.name == name), None)

    @property
    def of_structure(self) -> "Compression | None":
        """The report on the removal of layers, heads and neurons alone; ``None`` without it."""
        step = self.step("structure")
        return replace(self, steps=(step,)) if step and self.shrunk else None

    @property
    def costs(self) -> tuple[tuple[StepReport, Drift], ...]:
        """Each step with the drift of the model after it; after the last step it is ``spent``."""
        costs = [step.taken.drift for step in self.steps[:-1]]
        return tuple(zip(self.steps, (*costs, self.spent), strict=True))
