"""Where memory runs out, training stops and says what would have fitted."""

import numpy as np
import pytest
import torch

from edgeadapt.config import TrainingConfig
from edgeadapt.errors import TrainingError
from edgeadapt.training.loop import fit
from edgeadapt.training.objectives import Judgement, Loss

CPU = torch.device("cpu")


class Fits:
    """An objective whose model needs more memory than there is for more than so many texts."""

    def __init__(self, texts: int) -> None:
        self.texts, self.model = texts, torch.nn.Linear(1, 1)
        self.lengths = [1 + number for number in range(32)]
        self.most_tokens = sum(self.lengths)

    def begin_training(self) -> None: ...

    def loss(self, rows: np.ndarray) -> Loss:
        if len(rows) > self.texts:
            raise torch.OutOfMemoryError
        loss = self.model(torch.ones(1, 1)).sum()
        return Loss(loss, loss.detach())

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
