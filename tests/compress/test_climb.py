"""The search over chains: the budget is spent once, and the largest gain is tried first."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeadapt.compress.budget import Budget, Reference
from edgeadapt.compress.climb import Taken, climb
from edgeadapt.compress.step import Answers, Proposal, Trial, closest
from edgeadapt.errors import GateError
from edgeadapt.metrics import Logits
from edgeadapt.recipe import Task
from edgeadapt.store.compression import Baseline
from tests.compress.drifts import a_drift

TEXTS = 100
RIGHT = np.eye(2, dtype=np.float32)[np.zeros(TEXTS, dtype=int)]
REFERENCE = Reference(("",) * TEXTS, np.zeros(TEXTS, dtype=np.int64), Task.SINGLE_LABEL, RIGHT)

Model = frozenset[int]
"""Texts that it gets wrong."""


def answers(wrong: Model) -> Logits:
    logits = RIGHT.copy()
    logits[sorted(wrong)] = (0, 1)
    return logits


@dataclass
class Losing:
    """A step whose proposals each cost some texts more; they write what they made."""

    name: str
    costs: Sequence[Sequence[Model]]
    """Rounds of proposals."""
    later: Sequence[Model] = ()
    """Fallbacks."""
    judged: list[Model] = field(default_factory=list)
    candidates: str = "models"
    remedy: str = "try another"

    def rounds(self, model: Model) -> Iterator[Sequence[Proposal]]:
        for costs in self.costs:
            yield [self.proposal(model, cost) for cost in costs]

    def fallbacks(self, model: Model) -> Iterator[Sequence[Proposal]]:
        for cost in self.later:
            yield [self.proposal(model, cost)]

    def ordered(self, model: Model, allowed: Sequence[Trial]) -> Sequence[Trial]:
        return closest(allowed)

    def baseline(self, model: Model) -> Baseline:
        return Baseline(bytes=100 + len(model))

    def proposal(self, model: Model, cost: Model) -> Proposal:
        def judge() -> Answers:
            self.judged.append(model | cost)
            return Answers(answers(model | cost), 1)

        def make(folder: Path) -> Model:
            (folder / "made").write_text(str(sorted(cost)))
            return model | cost

        return Proposal(f"{self.name} {sorted(cost)}", make, judge)


class Exact(Losing):
    def ordered(self, model: Model, allowed: Sequence[Trial]) -> Sequence[Trial]:
        return allowed

    def proposal(self, model: Model, cost: Model) -> Proposal:
        return Proposal(self.name, lambda folder: model)


def wrong(*texts: int) -> Model:
    return frozenset(texts)


def climbed(folder: Path, *steps: Losing, max_drop: float = 0.02) -> tuple[Taken, ...]:
    return climb(frozenset(), steps, budget=Budget(max_drop), reference=REFERENCE, folder=folder)


def test_the_first_chain_within_the_budget_is_taken(tmp_path: Path) -> None:
    first = Losing("a", [[wrong(1)], [wrong()]])
    second = Losing("b", [[wrong(2)]])

    found = climbed(tmp_path, first, second)

    assert [taken.chosen.name for taken in found] == ["a [1]", "b [2]"]
    assert found[-1].model == wrong(1, 2)
    assert found[-1].chosen.cost.accuracy_drop == 0.02


def test_what_wins_most_is_given_up_where_nothing_behind_it_meets_the_budget(
    tmp_path: Path,
) -> None:
    first = Losing("a", [[wrong(1, 2)], [wrong(3)], [wrong()]])
    second = Losing("b", [[wrong(4, 5), wrong(4)]])

    found = climbed(tmp_path, first, second)

    assert [taken.chosen.name for taken in found] == ["a [3]", "b [4]"]
    assert wrong(4) not in second.judged  # nobody asked for the third


def test_a_proposal_that_is_over_the_budget_alone_is_never_built_on(tmp_path: Path) -> None:
    first, second = Losing("a", [[wrong(1, 2, 3)], [wrong()]]), Losing("b", [[wrong()]])

    found = climbed(tmp_path, first, second)

    assert second.judged == [wrong()]
    assert [trial.allowed for trial in found[0].trials] == [False, True]


def test_of_a_round_the_next_best_is_tried_where_the_best_leads_nowhere(tmp_path: Path) -> None:
    first = Losing("a", [[wrong(1), wrong(2, 3)]])
    second = Losing("b", [[wrong(2, 3)]])

    found = climbed(tmp_path, first, second)

    assert [taken.chosen.name for taken in found] == ["a [2, 3]", "b [2, 3]"]


def test_two_steps_each_within_the_budget_are_refused_where_together_they_are_not(
    tmp_path: Path,
) -> None:
    first, second = Losing("a", [[wrong(1, 2)]]), Losing("b", [[wrong(3, 4)]])
    assert climbed(tmp_path, first)
    assert climbed(tmp_path, second)

    with pytest.raises(GateError) as caught:
        climbed(tmp_path, first, second)
    for words in (
        "None of 1 models is good enough. The best, b [3, 4] after a [1, 2]: accuracy",
        "100.00% -> 96.00% on 100 held-out texts, a drop of 4.00 points (95 % interval",
        "allowed are 2.00.",
        "96.00% of the labels are the same",
    ):
        assert words in caught.value.message
    assert "--max-drop, train longer, try another, or try another." in caught.value.hint


def test_fallbacks_are_tried_last_and_behind_the_chain_that_cost_least(tmp_path: Path) -> None:
    first = Losing("a", [[wrong(1, 2)], [wrong(1)], [wrong(2, 3)]])
    second = Losing("b", [[wrong(4, 5, 6)]], later=[wrong(5, 6), wrong(5), wrong()])

    found = climbed(tmp_path, first, second)

    assert [taken.chosen.name for taken in found] == ["a [1]", "b [5]"]
    assert [trial.name for trial in found[-1].trials] == ["b [4, 5, 6]", "b [5, 6]", "b [5]"]


def test_a_step_that_is_exact_is_not_judged_and_costs_nothing(tmp_path: Path) -> None:
    found = climbed(
        tmp_path, Losing("a", [[wrong(1)]]), Exact("lower", [[wrong()]]), Losing("b", [[wrong(2)]])
    )

    assert [taken.step for taken in found] == ["a", "lower", "b"]
    assert found[1].chosen.drift is None
    assert found[1].model == wrong(1)


@pytest.mark.parametrize("later", [(), (wrong(),)])
def test_of_chains_that_were_given_up_nothing_stays_on_disk(
    tmp_path: Path, later: tuple[Model, ...]
) -> None:
    first = Losing("a", [[wrong(1)], [wrong(2)], [wrong()]])
    middle = Losing("b", [[wrong(3), wrong()]])
    last = Losing("c", [[wrong(4, 5, 6)]], later=later)

    if later:
        climbed(tmp_path, first, middle, last)
    else:
        with pytest.raises(GateError):
            climbed(tmp_path, first, middle, last)

    assert sum(file.is_file() for file in tmp_path.rglob("*")) <= (3 if later else 2)


COSTS = st.frozensets(st.integers(0, TEXTS - 1), max_size=6)
STEPS = st.lists(
    st.tuples(
        st.lists(st.lists(COSTS, min_size=1, max_size=2), min_size=1, max_size=3),
        st.lists(COSTS, max_size=2),
    ),
    min_size=1,
    max_size=3,
)


@settings(deadline=None, max_examples=50)  # every cost is resampled
@given(steps=STEPS, allowed=st.integers(0, 8))
def test_no_chain_ever_costs_more_than_the_budget_and_one_is_found_where_there_is_one(
    tmp_path_factory: pytest.TempPathFactory,
    steps: list[tuple[list[list[Model]], list[Model]]],
    allowed: int,
) -> None:
    chain = [Losing(str(n), rounds, later) for n, (rounds, later) in enumerate(steps)]
    folder = tmp_path_factory.mktemp("climb")
    reachable = {frozenset[int]()}
    for rounds, _ in steps:
        options = [cost for costs in rounds for cost in costs]
        reachable = {model | cost for model in reachable for cost in options}
        reachable = {model for model in reachable if len(model) <= allowed}

    try:
        found = climbed(folder, *chain, max_drop=allowed / TEXTS)
    except GateError:
        assert not reachable
        return
    assert len(found[-1].model) <= allowed
    assert [taken.step for taken in found] == [step.name for step in chain]
    assert found[-1].chosen.cost.accuracy_drop == pytest.approx(len(found[-1].model) / TEXTS)


def climbed_and_judged(folder: Path, *steps: Losing, wrong_later: Sequence[int]) -> list[str]:
    """The names of what was chosen, where the n-th complete chain has n-th errors later."""
    errors = iter(wrong_later)
    found = climb(
        frozenset(),
        steps,
        budget=Budget(0.02),
        reference=REFERENCE,
        folder=folder,
        verdict=lambda _: a_drift(next(errors), TEXTS),
    )
    return [taken.chosen.name for taken in found]


def test_a_chain_that_other_texts_refuse_is_given_up_for_the_next(tmp_path: Path) -> None:
    first = Losing("a", [[wrong(1)], [wrong(2)], [wrong(3)]])
    second = Losing("b", [[wrong()]])

    assert climbed_and_judged(tmp_path, first, second, wrong_later=[5, 3, 2]) == ["a [3]", "b []"]


def test_the_last_step_has_one_try_before_other_texts(tmp_path: Path) -> None:
    first = Losing("a", [[wrong(1)], [wrong(2)]])
    second = Losing("b", [[wrong(), wrong(9)]])

    assert climbed_and_judged(tmp_path, first, second, wrong_later=[5, 0]) == ["a [2]", "b []"]


def test_where_other_texts_refuse_every_chain_the_best_is_named(tmp_path: Path) -> None:
    first, second = Losing("a", [[wrong(1)], [wrong(2)]]), Losing("b", [[wrong()]])

    expected = r"The best, b \[\] after a \[2\]: .* a drop of 3.00 points"
    with pytest.raises(GateError, match=expected):
        climbed_and_judged(tmp_path, first, second, wrong_later=[5, 3])
