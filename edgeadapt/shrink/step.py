"""Remove layers, attention heads and FFN neurons, as a step: chosen on validation text."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from torch import Tensor

from edgeadapt.compress.budget import Budget, Reference
from edgeadapt.compress.climb import Taken
from edgeadapt.compress.costs import LayerCosts
from edgeadapt.compress.step import Answers, Proposal, Trial
from edgeadapt.compress.timing import take_turns
from edgeadapt.data import Examples
from edgeadapt.models.text_model import TextModel
from edgeadapt.progress import SILENT, Progress
from edgeadapt.recipe import EngineName, Objective
from edgeadapt.recipe.reduction import Reduction
from edgeadapt.shrink.candidate import Workshop
from edgeadapt.shrink.search import Goal, Search, Tried
from edgeadapt.store.compression import Baseline, Setting, Shrunk
from edgeadapt.store.structure import Structure
from edgeadapt.text import Tokens

__all__ = ["Shrink"]

_FLOAT_BYTES = 4
_FIRST_TOKEN = 2
"""The first of the token ids that are timed; which ids does not matter."""


class Shrink:
    """The compression step.

    Args:
        wanted: What to remove.
        speedup: How many times as fast the model has to be at least; ``None`` for as fast, or as
            small, as the budget allows.
        objective: What to optimize.
        costs: What the layers cost on the target.
        train: Training examples.
        budget: The accuracy that the whole chain may cost.
        reference: What models are judged by.
        folder: Folder for weights.
        recover: Trains a smaller model on; ``None`` to leave it as it is.
        progress: Receives messages.
    """

    name = "structure"
    candidates = "smaller models"
    remedy = "add --recover 1, or remove less with --compress"

    def __init__(
        self,
        wanted: Reduction,
        *,
        speedup: float | None,
        objective: Objective,
        costs: LayerCosts,
        train: Examples,
        budget: Budget,
        reference: Reference,
        folder: Path,
        recover: Callable[[TextModel], TextModel] | None = None,
        progress: Progress = SILENT,
    ) -> None:
        self.wanted, self.speedup, self.objective = wanted, speedup, objective
        self.costs, self.train = costs, train
        self.budget, self.reference = budget, reference
        self.folder, self.recover, self.progress = folder, recover, progress
        self._names: set[str] = set()
        self._workshop: Workshop | None = None

    def rounds(self, model: TextModel) -> Iterator[Sequence[Proposal]]:
        """Yields all models that the search tried, in one round; then those that cost more."""
        workshop = self._workshop = Workshop(
            model, self.train, folder=self.folder, recover=self.recover
        )
        goal = Goal.speed if self.objective is Objective.LATENCY or self.speedup else Goal.size
        search = Search(
            workshop,
            goal(self.costs),
            budget=self.budget,
            reference=self.reference,
        )
        if not self.wanted.is_search:
            search.given(self.wanted, self.costs)
        elif self.speedup:
            search.at(self.speedup)
        else:
            search.cheapest()
        yield [self._proposal(tried, workshop) for tried in search.tried]
        for tried in search.dearer():
            yield [self._proposal(tried, workshop)]

    def fallbacks(self, model: TextModel) -> Sequence[Sequence[Proposal]]:
        """Returns no proposals."""
        return ()

    def ordered(self, model: TextModel, allowed: Sequence[Trial]) -> Sequence[Trial]:
        """Returns the trials: those that cost least first or, of a given speed, the nearest.

        Of a model before and after it was trained on, the nearer one comes first.
        """
        nearest = sorted(allowed, key=lambda trial: _number(trial, "divergence"))
        if self.speedup:
            return [trial for trial in nearest if _number(trial, "factor") >= self.speedup]
        return sorted(nearest, key=lambda trial: -_number(trial, "factor"))

    def baseline(self, model: TextModel) -> Baseline:
        """Returns the size of the layers before."""
        return Baseline()

    def report(self, taken: Taken, finished: Path, whole: Path, engine: EngineName) -> Shrunk:
        """Returns the report on the chosen model, and measures its speed.

        Args:
            taken: The chosen proposal.
            finished: The finished file.
            whole: The unpruned model in the same form.
            engine: The engine of both.
        """
        assert self._workshop is not None
        before = self._workshop.structure
        after = _structure(taken.chosen)
        importance = self._workshop.shallow(after.depth).importance
        ids = list(range(_FIRST_TOKEN, _FIRST_TOKEN + self.costs.tokens))
        timings = take_turns(
            [(whole, engine), (finished, engine)],
            [Tokens(ids, [0] * len(ids))],
            threads=self.costs.threads,
            progress=self.progress,
        )
        return Shrunk(
            before=before,
            after=after,
            layers=self._workshop.sources(after.depth),
            head_importance=_sums(importance.heads, after.depth),
            neuron_importance=_sums(importance.neurons, after.depth),
            tokens=self.costs.tokens,
            predicted=self.costs.of(before) / self.costs.of(after),
            measured=timings[0].latency_ms / timings[1].latency_ms,
        )

    def _proposal(self, tried: Tried, workshop: Workshop) -> Proposal:
        structure, before = tried.small.structure, workshop.structure
        speedup = self.costs.of(before) / self.costs.of(structure)
        removed = 1 - self.costs.weights(structure) / self.costs.weights(before)
        settings: dict[str, Setting] = {
            "layers": structure.depth,
            "heads": tuple(map(str, structure.heads)),
            "neurons": tuple(map(str, structure.neurons)),
            "removed": removed,
            "speedup": speedup,
            "factor": tried.factor,
            "divergence": tried.divergence,
            "recovered": tried.small.recovered,
        }
        parts = (
            (structure.depth, "layer"),
            (sum(structure.heads), "head"),
            (sum(structure.neurons), "neuron"),
        )
        name = ", ".join(f"{number:,} {noun}{'s' * (number != 1)}" for number, noun in parts)
        name = self._unique(name + ", recovered" * tried.small.recovered)
        size = _FLOAT_BYTES * self.costs.weights(structure)
        make: Callable[[Path], TextModel] = lambda _: workshop.opened(tried.small)  # noqa: E731
        return Proposal(
            name,
            make,
            lambda: Answers(tried.logits, size),
            settings=settings,
            title="pruned against fp32",
        )

    def _unique(self, name: str) -> str:
        """Returns the name, numbered where another distribution over the layers has it already."""
        numbered = (name, *(f"{name} ({number})" for number in range(2, len(self._names) + 3)))
        unique = next(one for one in numbered if one not in self._names)
        self._names.add(unique)
        return unique


def _sums(importance: Sequence[Tensor], depth: int) -> tuple[float, ...]:
    """Returns the importance of each layer; empty where layers share their weights."""
    return tuple(float(parts.sum()) for parts in importance) if len(importance) == depth else ()


def _number(trial: Trial, name: str) -> float:
    return float(str(trial.proposal.settings[name]))


def _structure(trial: Trial) -> Structure:
    settings = trial.proposal.settings
    heads, neurons = settings["heads"], settings["neurons"]
    assert isinstance(heads, tuple)
    assert isinstance(neurons, tuple)
    return Structure(tuple(map(int, heads)), tuple(map(int, neurons)))
