"""The loss of distillation: the labels' and the teacher's, weighted."""

import numpy as np
import pytest
from numpy.typing import NDArray

from edgeadapt.data import Examples
from edgeadapt.metrics import Logits, probabilities
from edgeadapt.models.inference import torch_logits
from edgeadapt.models.sources import ModelSource
from edgeadapt.recipe import Task
from edgeadapt.text import TextEncoder
from edgeadapt.training.distillation import Distillation, Teacher
from tests.training.test_loop import TRAIN, build, words

pytestmark = pytest.mark.transformers5

ROWS = np.array([5, 0, 3])


def drawn(count: int) -> Logits:
    return np.random.default_rng(0).normal(size=(count, 2)).astype(np.float32)


def distances(given: Logits, wanted: Logits, task: Task) -> NDArray[np.float64]:
    """Divergence, or binary cross-entropies, of every text; computed here."""
    p, q = probabilities(given, task), probabilities(wanted, task)
    if task is Task.MULTI_LABEL:
        both: NDArray[np.float64] = -(q * np.log(p) + (1 - q) * np.log(1 - p)).mean(1)
        return both
    result: NDArray[np.float64] = (q * np.log(q / p)).sum(1)
    return result


@pytest.mark.parametrize(
    ("given", "task"), [(TRAIN, Task.SINGLE_LABEL), (words(0, 16), Task.MULTI_LABEL)]
)
@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_minimized_is_the_weighted_mean_of_both_losses_of_the_rows(
    source: ModelSource,
    encoder: TextEncoder,
    given: Examples,
    task: Task,
    weight: float,
    temperature: float,
) -> None:
    classifier, taught = build(source), drawn(len(given))
    objective = Distillation(
        classifier.model,
        encoder,
        train=given,
        validation=given,
        task=task,
        teacher=Teacher(taught, temperature, weight),
    )
    logits = torch_logits(classifier.model, encoder, given.texts, batch_size=16)[ROWS]
    labels = given.known_labels()[ROWS]
    chosen = probabilities(logits, task)
    hard = (
        -np.log(chosen[range(len(ROWS)), labels])
        if task is Task.SINGLE_LABEL
        else -np.log(np.where(labels, chosen, 1 - chosen)).mean(1)
    )

    objective.begin_training()
    loss = objective.loss(ROWS)

    soft = temperature**2 * distances(logits / temperature, taught[ROWS] / temperature, task)
    expected = (1 - weight) * hard.mean() + weight * soft.mean()
    assert loss.minimized.item() == pytest.approx(expected, abs=1e-5)
    assert loss.shown.item() == pytest.approx(hard.mean(), abs=1e-5)


def test_a_teacher_of_other_texts_is_refused(source: ModelSource, encoder: TextEncoder) -> None:
    with pytest.raises(ValueError, match="logits of 64 training texts, found 63"):
        Distillation(
            build(source).model,
            encoder,
            train=TRAIN,
            validation=TRAIN,
            task=Task.SINGLE_LABEL,
            teacher=Teacher(drawn(63), 1.0, 0.5),
        )
