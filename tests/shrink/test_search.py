"""The search over smaller models: as cheap as the budget allows, and no cheaper."""

from pathlib import Path

import numpy as np
import pytest
import torch

from edgeadapt.compress.budget import Budget, Reference
from edgeadapt.models.text_model import TextModel
from edgeadapt.recipe import Task
from edgeadapt.recipe.reduction import Reduction
from edgeadapt.shrink.candidate import Workshop
from edgeadapt.shrink.search import FACTORS, Goal, Search
from edgeadapt.store.structure import Structure
from tests.shrink.small import costs, examples, text_model

TEXTS = examples(60)
COSTS = costs()


def search(
    folder: Path, *, max_drop: float, goal: Goal | None = None, model: TextModel | None = None
) -> Search:
    model = model or text_model()
    logits = model.logits(TEXTS.texts)
    labels = logits.argmax(axis=1).astype(np.int64)  # the original is right on every text
    return Search(
        Workshop(model, TEXTS, folder=folder / "models"),
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

    dearer = list(found.dearer())

    factors = [tried.factor for tried in dearer]
    assert factors == sorted(factors, reverse=True)
    assert min(factors) < best
    assert {tried.small.structure.depth for tried in dearer} == {3}


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


def test_a_model_whose_layers_share_weights_is_made_shallower(tmp_path: Path) -> None:
    found = search(tmp_path, max_drop=1.0, model=text_model("albert"))
    found.cheapest()

    assert [tried.small.structure.depth for tried in found.tried] == [2, 1]


def test_depths_that_agree_less_than_a_narrow_model_are_left_alone(tmp_path: Path) -> None:
    model = text_model()
    with torch.no_grad():
        for layer in model.merged.model.bert.encoder.layer:
            layer.output.dense.weight[:, 32:] = 0  # two thirds of the neurons do nothing
        means = torch.from_numpy(model.logits(TEXTS.texts).mean(axis=0))
        model.merged.model.classifier.bias -= means  # so that both labels are common
    found = search(tmp_path, max_drop=1.0, model=model)
    found.at(1.5)

    narrow, *others = found.tried
    assert narrow.cost.label_agreement == 1.0
    assert [tried.small.structure for tried in others] == [Structure((4, 4), (96, 96))]
