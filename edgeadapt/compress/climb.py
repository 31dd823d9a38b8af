"""The search over chains of compression steps.

Depth first: what wins most in the first step is tried first, and is given up only where nothing
that follows is accurate enough with it. Everything is judged against the same reference by the same
budget, so that no step can spend what an earlier one has spent already.
"""

import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np

from edgeadapt.compress.budget import DECIDING_TEXTS, SLACK, Budget, Reference
from edgeadapt.compress.step import Proposal, Step, Trial, closest
from edgeadapt.errors import GateError
from edgeadapt.progress import SILENT, Progress
from edgeadapt.store.compression import Baseline, StepReport

__all__ = ["Taken", "climb"]


@dataclass(frozen=True)
class Taken:
    """A step of the chain that was found."""

    step: str
    """Its name."""
    candidates: str
    """What it proposes, in the plural."""
    trials: tuple[Trial, ...]
    """All that was tried of it behind the steps before, in the order of trying."""
    chosen: Trial
    model: Any
    """What it made."""
    baseline: Baseline
    """What was measured of the model that it was given."""

    @property
    def report(self) -> StepReport:
        """What a bundle says of it."""
        return StepReport(
            name=self.step,
            candidates=self.candidates,
            title=self.chosen.proposal.title or self.chosen.name,
            trials=tuple(trial.report for trial in self.trials),
            chosen=self.chosen.name,
            baseline=self.baseline,
        )


def climb(
    model: Any,
    steps: Sequence[Step],
    *,
    budget: Budget,
    reference: Reference,
    folder: Path,
    progress: Progress = SILENT,
) -> tuple[Taken, ...]:
    """Finds the first chain of proposals, one of each step, that meets the budget.

    Args:
        model: What the first step is given.
        steps: In the order in which they are taken.
        budget: What all of them may cost together.
        reference: What they are judged against.
        folder: Where steps write, made where it is missing. Nothing stays there of chains that were
            given up.
        progress: Where to report.

    Raises:
        GateError: No chain meets the budget.
    """
    folder.mkdir(exist_ok=True)
    search = _Search(budget, reference, folder, progress)
    found = search.below(_Place((), model, ()), tuple(steps))
    if found is None:
        found = search.fallen_back(steps[-1])
    if found is None:
        raise search.refusal(steps)
    return found


@dataclass(frozen=True)
class _Place:
    """Where the search stands: the steps taken so far, what they made, and where."""

    taken: tuple[Taken, ...]
    model: Any
    folders: tuple[Path, ...]

    @property
    def drop(self) -> float:
        """What the steps so far cost."""
        drifts = [taken.chosen.drift for taken in self.taken if taken.chosen.drift]
        return drifts[-1].accuracy_drop if drifts else 0.0

    @property
    def words(self) -> str:
        """What was chosen so far, for messages."""
        chosen = [taken.chosen.name for taken in self.taken if taken.chosen.drift]
        return f" after {', '.join(chosen)}" if chosen else ""


@dataclass(frozen=True)
class _Refused:
    trial: Trial
    step: Step
    behind: str
    """What had been chosen before, in words: the models themselves would fill the memory."""


class _Search:
    def __init__(
        self, budget: Budget, reference: Reference, folder: Path, progress: Progress
    ) -> None:
        self.budget, self.reference = budget, reference
        self.folder, self.progress = folder, progress
        self.refused: list[_Refused] = []
        self.nearest: _Place | None = None
        """Before the last step, where nothing of it was accurate enough: the least costly place."""
        self.tried_there: list[Trial] = []

    def below(self, place: _Place, steps: tuple[Step, ...]) -> tuple[Taken, ...] | None:
        """Returns the chain that goes on from a place, or nothing."""
        step, *rest = steps
        trials: list[Trial] = []
        for further in self._further(step, place, step.rounds(place.model), trials):
            found = self.below(further, tuple(rest)) if rest else further.taken
            if found is not None:
                return found
            self._remove(further.folders[-1:])
        if not rest and (self.nearest is None or place.drop < self.nearest.drop):
            former, self.nearest, self.tried_there = self.nearest, place, trials
            self._remove(former.folders if former else ())
        return None

    def fallen_back(self, step: Step) -> tuple[Taken, ...] | None:
        """Returns the chain that ends in a fallback of the last step, or nothing."""
        place = self.nearest
        if place is None:
            return None
        fallbacks = step.fallbacks(place.model)
        further = next(self._further(step, place, fallbacks, self.tried_there), None)
        return further.taken if further else None

    def _further(
        self,
        step: Step,
        place: _Place,
        rounds: Iterable[Sequence[Proposal]],
        trials: list[Trial],
    ) -> Iterator[_Place]:
        """Yields where a step leads to that may be taken, and collects all trials."""
        for proposals in rounds:
            judged = [self._judged(proposal) for proposal in proposals]
            self.refused += [_Refused(t, step, place.words) for t in judged if not t.allowed]
            allowed = [trial for trial in judged if trial.allowed]
            ordered = step.ordered(place.model, allowed) if allowed else ()
            measured = {id(trial.proposal): trial for trial in ordered}
            trials += [measured.get(id(trial.proposal), trial) for trial in judged]
            for trial in ordered:
                folder = Path(mkdtemp(dir=self.folder))
                model = trial.proposal.make(folder)
                taken = Taken(
                    step.name,
                    step.candidates,
                    tuple(trials),
                    trial,
                    model,
                    step.baseline(place.model),
                )
                yield _Place((*place.taken, taken), model, (*place.folders, folder))

    def _judged(self, proposal: Proposal) -> Trial:
        if proposal.judge is None:
            return Trial(proposal, None, 0, allowed=True)
        answers = proposal.judge()
        cost = self.reference.cost_of(answers.logits)
        self.progress.say(
            f"{proposal.name}: accuracy {cost.accuracy_before:.2%} -> {cost.accuracy_after:.2%}"
        )
        return Trial(proposal, cost, answers.bytes, self.budget.met_by(cost))

    def _remove(self, folders: Iterable[Path]) -> None:
        """Removes what chains that were given up hold on disk, but for the nearest place's."""
        for folder in set(folders) - set(self.nearest.folders if self.nearest else ()):
            shutil.rmtree(folder, ignore_errors=True)

    def refusal(self, steps: Sequence[Step]) -> GateError:
        """Returns the error that says how far the best chain is from what is allowed."""
        remedies = [step.remedy for step in steps if step.remedy]
        hint = (
            "No bundle was written. Allow more with --max-drop, train longer"
            f"{''.join(f', {remedy}' for remedy in remedies[:-1])}, or {remedies[-1]}."
        )
        # The last step that was reached: its trials hold what all before it cost.
        last = max((each.step for each in self.refused), key=list(steps).index)
        refused = [each for each in self.refused if each.step is last]
        numbers = [each.trial for each in refused if np.isfinite(each.trial.cost.largest_shift)]
        if not numbers:
            name = refused[0].trial.name
            return GateError(f"{name}: some logits are not numbers on held-out texts.", hint=hint)
        nearest = closest(numbers)[0]
        behind = next(each.behind for each in refused if each.trial is nearest)
        cost = nearest.cost
        low, high = cost.drop_interval
        likely = f" and an interval below {100 * (self.budget.max_drop + SLACK):.2f}"
        return GateError(
            f"None of {len(refused)} {last.candidates} is good enough. The best, "
            f"{nearest.name}{behind}: accuracy {cost.accuracy_before:.2%} -> "
            f"{cost.accuracy_after:.2%} on {cost.texts:,} held-out texts, a drop of "
            f"{100 * cost.accuracy_drop:.2f} points (95 % interval {100 * low:.2f} to "
            f"{100 * high:.2f}); allowed are {100 * self.budget.max_drop:.2f}"
            f"{likely if cost.texts >= DECIDING_TEXTS else ''}. {cost.label_agreement:.2%} of the "
            "labels are the same.",
            hint=hint,
        )
