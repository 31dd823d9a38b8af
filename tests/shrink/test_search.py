"""The search over smaller models: as cheap as the budget allows, and no cheaper."""

from pathlib import Path

import numpy as np
import pytest

from edgeadapt.compress.budget import Budget, Reference
from edgeadapt.recipe import Task
from edgeadapt.recipe.reduction import Reduction
from edgeadapt.shrink.candidate import Workshop
from edgeadapt.shrink.search import FACTORS, Goal, Search
from edgeadapt.store.structure import Structure
from tests.shrink.small import costs, examples, text_model

TEXTS = examples(60)
COSTS = costs()


def search(folder: Path, *, max_drop: float, goal: Goal | None = None) -> Search:
    model = text_model()
    logits = model.logits(TEXTS.texts)
    labels = logits.argmax(axis=1).astype(np.int64)  # the original is right on every text
    return Search(
        Workshop(model, TEXTS, task=Task.SINGLE_LABEL, folder=folder / "models"),
        goal or Goal.speed(COSTS),
        budget=Budget(max_drop),
        reference=Reference(TEXTS.texts, labels, Task.SINGLE_LABEL, logits),
    )


def test_a_budget_that_allows_everything_leads_to_the_cheapest_model(tmp_path: Path) -> None:
    found = search(tmp_path, max_drop=1.0)
    found.cheapest()

    assert max(tried.factor for tried in found.tried) >= 6.0


def test_of_those_within_the_budget_the_next_cheaper_one_was_too_bad(tmp_path: Path) -> None:
    found = search(tmp_path, max_drop=0.05)
    found.cheapest()

    allowed = [t.factor for t in found.tried if t.cost.accuracy_drop <= 0.05]
    refused = [t.factor for t in found.tried if t.cost.accuracy_drop > 0.05]
    assert allowed
    assert refused
    best = max(allowed)
    larger = [factor for factor in FACTORS if factor > best]
    assert any(best < factor < 1.5 * larger[0] for factor in refused)


def test_every_depth_is_tried_with_its_head_refitted(tmp_path: Path) -> None:
    found = search(tmp_path, max_drop=1.0)
    found.cheapest()

    alone = {t.small.structure.depth for t in found.tried if set(t.small.structure.heads) == {4}}
    assert {1, 2} <= alone


def test_models_that_cost_more_follow_where_the_cheap_ones_were_refused_later(
    tmp_path: Path,
) -> None:
    found = search(tmp_path, max_drop=0.2)
    found.cheapest()
    best = max(t.factor for t in found.tried if t.cost.accuracy_drop <= 0.2)

    factors = [tried.factor for tried in found.dearer()]

    assert factors == sorted(factors, reverse=True)
    assert all(factor < best for factor in factors)


def test_a_speed_is_reached_at_every_depth_that_is_not_hopeless(tmp_path: Path) -> None:
    found = search(tmp_path, max_drop=1.0)
    found.at(3.0)

    fast = [tried for tried in found.tried if tried.factor >= 3.0]
    assert {tried.small.structure.depth for tried in fast} == {1, 2, 3}


@pytest.mark.parametrize(
    ("wanted", "depth", "removed"),
    [
        (Reduction(depth=2), 2, 0.0),
        (Reduction(prune=0.5), 3, 0.5),
        (Reduction(depth=2, prune=0.25), 2, 0.25),
    ],
)
def test_numbers_that_are_given_are_kept_to(
    tmp_path: Path, wanted: Reduction, depth: int, removed: float
) -> None:
    found = search(tmp_path, max_drop=0.0)
    found.given(wanted, COSTS)

    (tried,) = found.tried
    assert tried.small.structure.depth == depth
    of = COSTS.weights(Structure((4,) * depth, (96,) * depth))
    left = COSTS.weights(tried.small.structure) / of
    assert 1 - left == pytest.approx(removed, abs=0.06)
    assert left <= 1 - removed


def test_for_size_weights_are_counted_and_not_milliseconds(tmp_path: Path) -> None:
    found = search(tmp_path, max_drop=1.0, goal=Goal.size(COSTS))
    found.at(2.0)

    for tried in found.tried:
        ratio = COSTS.weights(Structure((4,) * 3, (96,) * 3)) / COSTS.weights(tried.small.structure)
        assert tried.factor == pytest.approx(ratio)
