"""The contract of a compression step: it proposes, and makes what is chosen."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from edgeadapt.metrics import Drift, Logits
from edgeadapt.store.compression import Baseline, Setting, TrialReport

__all__ = ["Answers", "Proposal", "Step", "Trial", "closest"]


@dataclass(frozen=True)
class Answers:
    """What a proposed model says, and how large it is."""

    logits: Logits
    """On the reference's texts, shape ``(texts, labels)``."""
    bytes: int
    """Size of the part that the step changes."""


@dataclass(frozen=True)
class Proposal:
    """One way to take a step."""

    name: str
    """What people read."""
    make: Callable[[Path], Any]
    """Makes the model for the next step; what it writes goes into the given, empty folder."""
    judge: Callable[[], Answers] | None = None
    """Answers the reference's texts as the made model would; ``None`` for a step that is exact."""
    settings: Mapping[str, Setting] = field(default_factory=dict)
    """The same as ``name``, for programs."""
    title: str = ""
    """What the gate is called where this is chosen; ``name`` where none is given."""


@dataclass(frozen=True)
class Trial:
    """A proposal and what was measured of it."""

    proposal: Proposal
    drift: Drift | None
    """Against the uncompressed model; ``None`` for a step that is exact."""
    bytes: int
    allowed: bool
    """Whether it meets the budget."""
    latency_ms: float | None = None
    """Mean over real texts at batch 1; ``None`` where it was not measured."""
    peak_bytes: int | None = None
    """Peak memory of a process that loads and runs it; ``None`` also without /proc."""

    @property
    def name(self) -> str:
        """The proposal's."""
        return self.proposal.name

    @property
    def cost(self) -> Drift:
        """The drift of a trial that is not exact."""
        assert self.drift is not None
        return self.drift

    @property
    def report(self) -> TrialReport:
        """What a bundle says of it."""
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

    Models are ``Any`` here because every step has its own: torch modules in memory before the
    export, ONNX files behind it. Whoever composes the chain sees to it that neighbours agree.
    """

    @property
    def name(self) -> str:
        """What reports call it."""

    @property
    def candidates(self) -> str:
        """What is proposed, in the plural, such as ``quantized models``."""

    @property
    def remedy(self) -> str:
        """What to do where none is accurate enough, such as ``try another --scheme``."""

    def rounds(self, model: Any) -> Iterable[Sequence[Proposal]]:
        """Yields proposals, those that win most first; those of a round win about as much.

        A later round is asked for only where no proposal of the earlier ones led to the end of the
        chain.
        """

    def fallbacks(self, model: Any) -> Iterable[Sequence[Proposal]]:
        """Yields what to try where no chain is accurate enough; usually nothing."""

    def ordered(self, model: Any, allowed: Sequence[Trial]) -> Sequence[Trial]:
        """Returns the allowed trials of a round, measured where need be, the best first.

        Trials that nobody would choose while there is a better one may be left out.
        """

    def baseline(self, model: Any) -> Baseline:
        """Returns what was measured of the given model, after some of its trials were."""


def closest(trials: Iterable[Trial]) -> list[Trial]:
    """Returns trials by what they cost, the least first."""
    return sorted(trials, key=lambda t: (t.cost.accuracy_drop, -t.cost.label_agreement))
