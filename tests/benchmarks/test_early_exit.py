"""Layer and threshold of an early exit: the cheapest within the budget."""

import sys
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
sys.path.append(str(BENCHMARKS))  # scripts, no package

from early_exit import Compressed, Costs, Exits, choose, wins, work_of  # noqa: E402

from edgeadapt.store.structure import Structure  # noqa: E402

RIGHT, WRONG = 0, 1
SURE, UNSURE = 4.0, 0.1
COSTS = (0.2, 0.6)


def logits(*answers: tuple[int, float]) -> np.ndarray:
    """Returns logits of two labels with the given answers, sure of them or not."""
    rows = [[margin, 0.0] if label == 0 else [0.0, margin] for label, margin in answers]
    return np.array(rows, dtype=np.float32)


@pytest.fixture
def exits() -> Exits:
    """All four texts have label 0. The first head is wrong where it is not sure."""
    first = logits((RIGHT, SURE), (RIGHT, SURE), (WRONG, UNSURE), (WRONG, UNSURE))
    second = logits((RIGHT, SURE), (RIGHT, SURE), (RIGHT, SURE), (WRONG, UNSURE))
    return Exits([first, second], logits(*[(RIGHT, SURE)] * 4), np.zeros(4, dtype=np.int64))


def test_texts_that_are_not_sure_get_the_answer_and_the_cost_of_the_complete_model(
    exits: Exits,
) -> None:
    outcome = exits.outcome(1, 0.9, COSTS[0])

    assert (outcome.leaving, outcome.drop, outcome.agreement) == (0.5, 0.0, 1.0)
    assert outcome.cost == pytest.approx((0.2 + 0.2 + 1 + 1) / 4)
    assert outcome.cost_p90 == 1


def test_agreement_is_with_the_complete_model_not_with_the_labels(exits: Exits) -> None:
    mislabelled = Exits(exits.early, exits.full, 1 - exits.labels)

    outcome = mislabelled.outcome(2, 0.0, COSTS[1])

    assert (outcome.agreement, outcome.accuracy, outcome.drop) == (0.75, 0.25, -0.25)


def test_at_threshold_0_every_text_leaves(exits: Exits) -> None:
    outcome = exits.outcome(1, 0.0, COSTS[0])

    assert (outcome.leaving, outcome.drop, outcome.agreement) == (1.0, 0.5, 0.5)
    assert outcome.cost == outcome.cost_p90 == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("budget", "layer", "threshold"),
    [(0.0, 1, 0.9), (0.25, 1, 0.9), (0.5, 1, 0.0)],
)
def test_the_cheapest_within_the_budget_is_chosen(
    exits: Exits, budget: float, layer: int, threshold: float
) -> None:
    chosen = choose(exits.outcomes((0.0, 0.9), COSTS), budget)

    assert chosen is not None
    assert (chosen.layer, chosen.threshold) == (layer, threshold)


def test_a_deeper_exit_is_chosen_where_more_texts_leave_for_less(exits: Exits) -> None:
    chosen = choose(exits.outcomes((0.0, 0.9), (0.5, 0.6)), 0.25)

    assert chosen is not None
    assert (chosen.layer, chosen.threshold) == (2, 0.0)


def test_nothing_is_chosen_where_nothing_costs_less(exits: Exits) -> None:
    assert choose(exits.outcomes((0.9,), (1.0, 1.0)), 0.5) is None
    assert choose(exits.outcomes((0.0,), COSTS), 0.0) is None


def test_choices_see_only_the_rows_that_they_are_given(exits: Exits) -> None:
    half = exits.rows(slice(0, None, 2))

    assert half.outcome(2, 0.0, 0.6).drop == 0
    assert exits.outcome(2, 0.0, 0.6).drop == 0.25


def test_an_exit_computes_all_positions_of_its_last_layer_and_a_cut_one() -> None:
    costs = Costs.of(Structure((2,) * 4, (64,) * 4), 32)

    assert costs.exits[0] == pytest.approx(costs.exits[1] / 2)
    assert costs.cuts[0] < costs.exits[0] < costs.cuts[1] < costs.exits[1] < 1


def test_layers_behind_the_last_attention_compute_one_position() -> None:
    behind = work_of(Structure((2, 0), (64, 64)), 32, 16)
    alone = work_of(Structure((2,), (64,)), 32, 16)

    assert behind - alone == 2 * 32 * 64


@pytest.mark.parametrize(
    ("cost", "drop", "won"),
    [(0.4, 0.01, True), (0.4, 0.011, False), (0.5, 0.0, False)],
    ids=["cheaper at the same drop", "a larger drop", "not cheaper"],
)
def test_early_exit_wins_only_if_it_costs_less_and_drops_no_more(
    cost: float, drop: float, won: bool
) -> None:
    choices = [
        {"way": "early exit", "test": {"cost": cost, "drop": drop}},
        {"way": "early exit", "test": None},
        {"way": "fewer layers", "test": {"cost": 0.1, "drop": 0.0}},
    ]

    assert wins({"choices": choices}, Compressed(6, 0.01, 0.01, 0.5)) is won
