"""The search over chains of compression steps.

Depth first: the proposal that saves most in the first step is tried first, and dropped only if no
continuation is accurate enough. All models are compared with the same reference under the same
budget, so that the budget cannot be spent twice.
"""

import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np

from edgeadapt.compress.budget import DECIDING_TEXTS, SLACK, Budget, Reference
from edgeadapt.compress.step import Proposal, Step, Trial, closest
from edgeadapt.errors import GateError
from edgeadapt.metrics import Drift
from edgeadapt.progress import SILENT, Progress
from edgeadapt.store.compression import Baseline, StepReport

__all__ = ["Taken", "climb"]


@dataclass(frozen=True)
class Taken:
    """A step of the chosen chain."""

    step: str
    """Name of the step."""
    candidates: str
    """Its kind of proposals, in the plural."""
    trials: tuple[Trial, ...]
    """All trials of this step on the result of the previous steps, in order of time."""
    chosen: Trial
    model: Any
    """The model that the step made."""
    baseline: Baseline
    """Measurements of the model before the step."""

    @property
    def report(self) -> StepReport:
        """The step's report in a bundle."""
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
    verdict: Callable[[tuple[Taken, ...]], Drift] | None = None,
    progress: Progress = SILENT,
) -> tuple[Taken, ...]:
    """Finds the first chain of proposals, one of each step, that meets the budget.

    Args:
        model: The input of the first step.
        steps: The steps, in order.
        budget: The accuracy that all steps together may cost.
        reference: The logits that candidates are compared with.
        folder: Folder for the steps' files, created if missing. Files of discarded chains are
            removed.
        verdict: Judges a complete chain by texts that chose none of its steps. If it exceeds the
            budget on them, the search goes on. ``None`` accepts the first complete chain.
        progress: Receives messages.

    Raises:
        GateError: No chain meets the budget.
    """
    folder.mkdir(exist_ok=True)
    search = _Search(budget, reference, folder, verdict, progress)
    chain = search.below(_Place((), model, ()), tuple(steps))
    if chain is None:
        chain = search.fallen_back(steps[-1])
    if chain is None:
        raise search.refusal(steps)
    return chain


@dataclass(frozen=True)
class _Place:
    """A node of the search: the steps taken so far, their model and their folders."""

    taken: tuple[Taken, ...]
    model: Any
    folders: tuple[Path, ...]

    @property
    def drop(self) -> float:
        """Accuracy drop of the steps so far."""
        drifts = [taken.chosen.drift for taken in self.taken if taken.chosen.drift]
        return drifts[-1].accuracy_drop if drifts else 0.0

    @property
    def words(self) -> str:
        """The chosen proposals so far, for messages."""
        return _after(self.taken)

    @property
    def words_before(self) -> str:
        """The chosen proposals before the last one, for messages."""
        return _after(self.taken[:-1])


def _after(steps: Iterable[Taken]) -> str:
    chosen = [taken.chosen.name for taken in steps if taken.chosen.drift]
    return f" after {', '.join(chosen)}" if chosen else ""


@dataclass(frozen=True)
class _Refused:
    """A trial that exceeded the budget, kept for the error message."""

    trial: Trial
    step: Step
    behind: str
    """The proposals chosen before it, in words: keeping the models would fill the memory."""


class _Search:
    """The state of one search."""

    def __init__(
        self,
        budget: Budget,
        reference: Reference,
        folder: Path,
        verdict: Callable[[tuple[Taken, ...]], Drift] | None,
        progress: Progress,
    ) -> None:
        self.budget, self.reference = budget, reference
        self.folder, self.verdict, self.progress = folder, verdict, progress
        self.refused: list[_Refused] = []
        self.nearest: _Place | None = None
        """Of the places before the last step, the one with the smallest drop: where fallbacks
        start."""
        self.tried_there: list[Trial] = []

    def below(self, place: _Place, steps: tuple[Step, ...]) -> tuple[Taken, ...] | None:
        """Returns the first chain from a place that meets the budget; ``None`` if there is none."""
        step, *rest = steps
        trials: list[Trial] = []
        for further in self._further(step, place, step.rounds(place.model), trials):
            chain = self.below(further, tuple(rest)) if rest else self._accepted(further, step)
            if chain is not None:
                return chain
            self._remove(further.folders[-1:])
            if not rest:  # one try: among enough of them some are good on any texts by luck
                break
        if not rest and (self.nearest is None or place.drop < self.nearest.drop):
            former, self.nearest, self.tried_there = self.nearest, place, trials
            self._remove(former.folders if former else ())
        return None

    def fallen_back(self, step: Step) -> tuple[Taken, ...] | None:
        """Returns a chain that ends in a fallback of the last step; ``None`` if there is none."""
        place = self.nearest
        if place is None:
            return None
        fallbacks = step.fallbacks(place.model)
        for further in self._further(step, place, fallbacks, self.tried_there):
            chain = self._accepted(further, step)
            if chain is not None:
                return chain
        return None

    def _accepted(self, place: _Place, step: Step) -> tuple[Taken, ...] | None:
        """Returns a complete chain if it is within the budget on texts that did not choose it."""
        if self.verdict is None:
            return place.taken
        cost = self.verdict(place.taken)
        if self.budget.met_by(cost):
            return place.taken
        chosen = place.taken[-1].chosen
        self.progress.say(
            f"{chosen.name}: on {cost.texts:,} other texts accuracy {cost.accuracy_before:.2%} -> "
            f"{cost.accuracy_after:.2%}: too low, the search goes on."
        )
        refused = replace(chosen, drift=cost, allowed=False)
        self.refused.append(_Refused(refused, step, place.words_before))
        return None

    def _further(
        self,
        step: Step,
        place: _Place,
        rounds: Iterable[Sequence[Proposal]],
        trials: list[Trial],
    ) -> Iterator[_Place]:
        """Yields the places that a step leads to within the budget; appends to ``trials``."""
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
        """Removes the folders of discarded chains, except those of the nearest place."""
        for folder in set(folders) - set(self.nearest.folders if self.nearest else ()):
            shutil.rmtree(folder, ignore_errors=True)

    def refusal(self, steps: Sequence[Step]) -> GateError:
        """Returns the error for a failed search, which names the best chain and its drop."""
        remedies = [step.remedy for step in steps if step.remedy]
        hint = (
            "No bundle was written. Allow more with --max-drop, train longer"
            f"{''.join(f', {remedy}' for remedy in remedies[:-1])}, or {remedies[-1]}."
        )
        # The last step that was reached: its trials include the cost of all steps before it.
        last = max((entry.step for entry in self.refused), key=list(steps).index)
        refused = [entry for entry in self.refused if entry.step is last]
        numbers = [entry.trial for entry in refused if np.isfinite(entry.trial.cost.largest_shift)]
        if not numbers:
            name = refused[0].trial.name
            return GateError(f"{name}: some logits are not numbers on held-out texts.", hint=hint)
        nearest = closest(numbers)[0]
        behind = next(entry.behind for entry in refused if entry.trial is nearest)
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
