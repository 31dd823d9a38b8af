"""What a bundle says of its compression: one report over all steps, whatever the steps are."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from edgeadapt.metrics import Drift
from edgeadapt.recipe import EngineName, Objective, Platform
from edgeadapt.typed import Count

__all__ = ["Baseline", "Compression", "Setting", "StepReport", "TrialReport"]

Setting = str | int | float | bool | tuple[str, ...]
"""A value that JSON can hold."""


@dataclass(frozen=True)
class Baseline:
    """The model that a step was given, measured like its trials."""

    bytes: Count | None = None
    """Size of the part that the step changes; ``None`` where it was not measured."""
    latency_ms: float | None = None
    """Mean over real texts at batch 1; ``None`` where it was not measured."""
    noise: float | None = None
    """How much slower, as a share, a second process was than the fastest of the same model."""
    sensitivity: Mapping[str, float] = field(default_factory=dict)
    """Part of the model -> root of the mean squared logit shift where it alone is changed, the
    largest first; empty where nobody had to know."""


@dataclass(frozen=True)
class TrialReport:
    """A way to take a step, and what was measured of it."""

    name: str
    """What people read."""
    settings: Mapping[str, Setting]
    """The same as ``name``, for programs."""
    drift: Drift
    """Against the uncompressed model: what the steps before cost is in it."""
    bytes: Count | None
    """Size of the part that the step changes; ``None`` where an early bundle does not say."""
    allowed: bool
    """Whether it meets the budget."""
    latency_ms: float | None = None
    """Mean over real texts at batch 1; ``None`` where it was not measured."""
    peak_bytes: Count | None = None
    """Peak memory of a process that loads and runs it; ``None`` where it was not measured."""


@dataclass(frozen=True)
class StepReport:
    """A step that was taken: what was tried, what was chosen of it, what that cost and won."""

    name: str
    """The step's, such as ``quantize``."""
    candidates: str
    """What was proposed, in the plural, such as ``quantized models``."""
    title: str
    """What the gate of the step is called."""
    trials: tuple[TrialReport, ...]
    """In the order of trying."""
    chosen: str
    """Name of the trial that was taken."""
    baseline: Baseline = field(default_factory=Baseline)

    def __post_init__(self) -> None:
        if sum(trial.name == self.chosen for trial in self.trials) != 1:
            raise ValueError(f"chosen: expected the name of one trial, found {self.chosen!r}")

    @property
    def taken(self) -> TrialReport:
        """The trial that was chosen."""
        return next(trial for trial in self.trials if trial.name == self.chosen)


@dataclass(frozen=True)
class Compression:
    """What all steps together were allowed to cost, and what they did cost."""

    max_drop: float
    """Largest accuracy drop against the uncompressed fp32 model, 0 to 1."""
    texts: Count
    """Number of validation texts that judged."""
    deciding_texts: Count
    """Texts from which on the interval of the drop had to meet the budget too."""
    slack: float
    """How far beyond the budget the interval may reach, 0 to 1."""
    steps: tuple[StepReport, ...]
    """In the order in which they were taken."""
    spent: Drift
    """Of the finished file, against the uncompressed model."""
    objective: Objective | None = None
    """What the quantized model is best at; ``None`` where nothing was quantized."""
    platform: Platform | None = None
    """What it was made for."""
    engine: EngineName | None = None
    """What runs it."""

    def __post_init__(self) -> None:
        if not self.steps:
            raise ValueError("steps: expected at least one, found none")

    def step(self, name: str) -> StepReport | None:
        """Returns a step by name; ``None`` where it was not taken."""
        return next((step for step in self.steps if step.name == name), None)

    @property
    def costs(self) -> tuple[tuple[StepReport, Drift], ...]:
        """Each step with what the model costs after it; the last one's is ``spent``."""
        costs = [step.taken.drift for step in self.steps[:-1]]
        return tuple(zip(self.steps, (*costs, self.spent), strict=True))
