"""The interface of a compression step: it proposes candidates and makes the chosen one."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from edgeadapt.metrics import Drift, Logits
from edgeadapt.store.compression import Baseline, Setting, TrialReport

__all__ = ["Answers", "Proposal", "Step", "Trial", "closest"]


@dataclass(frozen=True)
class Answers:
    """The logits of a proposed model, and its size."""

    logits: Logits
    """Logits on the reference's texts, shape ``(texts, labels)``."""
    bytes: int
    """Size in bytes of the part that the step changes."""


@dataclass(frozen=True)
class Proposal:
    """One candidate of a step."""

    name: str
    """Description for people."""
    make: Callable[[Path], Any]
    """Makes the model for the next step; it may write files into the given, empty folder."""
    judge: Callable[[], Answers] | None = None
    """Computes the model's logits on the reference's texts; ``None`` for an exact step."""
    settings: Mapping[str, Setting] = field(default_factory=dict)
    """Description for programs, with the same content as ``name``."""
    title: str = ""
    """Name of the gate if this candidate is chosen; ``name`` if empty."""


@dataclass(frozen=True)
class Trial:
    """A proposal and its measurements."""

    proposal: Proposal
    drift: Drift | None
    """Drift against the uncompressed model; ``None`` for an exact step."""
    bytes: int
    allowed: bool
    """Whether it meets the budget."""
    latency_ms: float | None = None
    """Mean latency over real texts at batch size 1; ``None`` if not measured."""
    peak_bytes: int | None = None
    """Peak memory of a process that loads and runs it; ``None`` if not measured, or without
    /proc."""

    @property
    def name(self) -> str:
        """The proposal's name."""
        return self.proposal.name

    @property
    def cost(self) -> Drift:
        """The drift of a trial that is not exact."""
        assert self.drift is not None
        return self.drift

    @property
    def report(self) -> TrialReport:
        """The trial's report in a bundle."""
        return TrialReport(
            name=self.name,
            settings=dict(self.proposal.settings),
            drift=self.cost,
            bytes=self.bytes,
            allowed=self.allowed,
            latency_ms=self.latency_ms,
            peak_bytes=self.peak_bytes,
        )


class Step(Protocol):
    """One step of a chain.

    Models are ``Any`` because each step has its own type: torch modules in memory before the
    export, ONNX files after it. The code that composes a chain must ensure that consecutive steps
    agree.
    """

    @property
    def name(self) -> str:
        """Name of the step in reports."""

    @property
    def candidates(self) -> str:
        """The kind of its proposals, in the plural, such as ``quantized models``."""

    @property
    def remedy(self) -> str:
        """Advice if no proposal is accurate enough, such as ``try another --scheme``."""

    def rounds(self, model: Any) -> Iterable[Sequence[Proposal]]:
        """Yields rounds of proposals, those that save most first.

        The proposals of one round save about the same. The next round is requested only if no
        proposal of the earlier rounds leads to a complete chain.
        """

    def fallbacks(self, model: Any) -> Iterable[Sequence[Proposal]]:
        """Yields rounds of proposals to try if no chain is accurate enough; usually none."""

    def ordered(self, model: Any, allowed: Sequence[Trial]) -> Sequence[Trial]:
        """Measures the allowed trials of a round, if necessary, and returns them, best first.

        Trials that are worse than another one in every respect may be left out.
        """

    def baseline(self, model: Any) -> Baseline:
        """Returns measurements of the given model; called after ``ordered``."""


def closest(trials: Iterable[Trial]) -> list[Trial]:
    """Returns trials sorted by accuracy drop, smallest first; ties by label agreement."""
    return sorted(trials, key=lambda t: (t.cost.accuracy_drop, -t.cost.label_agreement))
