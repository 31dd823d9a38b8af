"""Out of memory: training stops and reports what would fit."""

from weakref import WeakSet

import numpy as np
import pytest
import torch

from edgeadapt.errors import TrainingError
from edgeadapt.recipe import TrainingConfig
from edgeadapt.training.loop import fit
from edgeadapt.training.memory import out_of_memory
from edgeadapt.training.objectives import Judgement, Loss
from edgeadapt.training.optimizer import Optimizer

pytestmark = pytest.mark.transformers5

CPU = torch.device("cpu")


class Fits:
    """An objective whose model needs more memory than there is for more than so many texts."""

    def __init__(self, texts: int) -> None:
        self.texts, self.model = texts, torch.nn.Linear(1, 1)
        self.alive: WeakSet[torch.Tensor] = WeakSet()
        """What occupies memory, an element a text."""
        self.lengths = [1 + number for number in range(32)]
        self.most_tokens = sum(self.lengths)

    def begin_training(self) -> None: ...

    def loss(self, rows: np.ndarray) -> Loss:
        activations = torch.ones(len(rows))
        self.alive.add(activations)
        if sum(map(len, self.alive)) > self.texts:
            raise torch.OutOfMemoryError
        loss = self.model(torch.ones(1, 1)).sum()
        return Loss(loss, loss.detach())

    def share(self, part: np.ndarray, rows: np.ndarray) -> float:
        return len(part) / len(rows)

    def judge(self) -> Judgement:
        return Judgement(1.0, 0.5)


@pytest.mark.parametrize(("fitting", "found"), [(8, 8), (7, 4), (1, 1), (0, 0)])
def test_where_memory_runs_out_the_error_says_how_many_texts_fit(fitting: int, found: int) -> None:
    objective = Fits(fitting)
    config = TrainingConfig(epochs=1, batch_size=16, learning_rate=0.1)

    with pytest.raises(TrainingError) as caught:
        fit(objective, dict(objective.model.named_parameters()), config=config, device=CPU)

    message = f"with 16 texts: {found} of the longest, of up to 32 tokens, fit"
    assert message in caught.value.message
    assert (f"--batch-size {found}" in caught.value.hint) == (found > 0)


def test_memory_that_runs_out_in_the_optimizer_is_told_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    objective = Fits(100)
    config = TrainingConfig(epochs=1, batch_size=16, learning_rate=0.1)

    def step(self: Optimizer) -> None:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(Optimizer, "step", step)
    with pytest.raises(TrainingError, match="Memory ran out at step 1"):
        fit(objective, dict(objective.model.named_parameters()), config=config, device=CPU)


def test_of_several_processes_none_tries_what_fits_while_the_others_wait() -> None:
    objective = Fits(8)

    error = out_of_memory(objective, 16, step=3, forget=lambda: None, alone=False)

    assert "step 3, with 16 texts over all processes" in error.message
    assert not objective.alive
