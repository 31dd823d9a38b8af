"""The step that removes layers, heads and neurons: which of the models it tried comes first."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from edgeadapt.compress.budget import Budget, Reference
from edgeadapt.compress.step import Trial
from edgeadapt.models.text_model import TextModel
from edgeadapt.recipe import Objective, Task
from edgeadapt.recipe.reduction import Reduction
from edgeadapt.shrink.step import Shrink
from tests.shrink.small import costs, examples, text_model

TEXTS = examples(40)


def shifted(model: TextModel, by: float) -> TextModel:
    """The model with another bias of its first label."""
    changed = deepcopy(model.merged.model)
    with torch.no_grad():
        changed.classifier.bias[0] += by
    return replace(model, merged=model.merged.resized(changed))


def best_of(
    folder: Path, model: TextModel, wanted: TextModel, recover: Callable[[TextModel], TextModel]
) -> Trial:
    """The first model of the step's order, judged by the answers of another model."""
    logits = wanted.logits(TEXTS.texts)
    labels = logits.argmax(axis=1).astype(np.int64)
    step = Shrink(
        Reduction(prune=0.5),
        speedup=None,
        objective=Objective.LATENCY,
        costs=costs(),
        train=TEXTS,
        budget=Budget(1.0),
        reference=Reference(TEXTS.texts, labels, Task.SINGLE_LABEL, logits),
        folder=folder,
        recover=recover,
    )
    (proposals,) = step.rounds(model)
    trials = [Trial(proposal, None, 1, allowed=True) for proposal in proposals]
    assert len(trials) == 2
    return step.ordered(model, trials)[0]


@pytest.mark.parametrize("pays", [True, False])
def test_training_is_kept_only_where_it_brings_the_model_nearer_to_the_original(
    tmp_path: Path, pays: bool
) -> None:
    model = text_model()

    best = best_of(
        tmp_path, model, shifted(model, 1.0), lambda one: shifted(one, 1.0 if pays else -1.0)
    )

    assert best.proposal.settings["recovered"] is pays
