"""Distillation: learn the labels, and the probabilities that another model gives for each text.

Hinton et al. 2015, Distilling the Knowledge in a Neural Network (arXiv 1503.02531).
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import PreTrainedModel

from edgeadapt.data import Examples
from edgeadapt.metrics import Logits
from edgeadapt.models.inference import to_device
from edgeadapt.recipe import Dropout, Task
from edgeadapt.text import TextEncoder
from edgeadapt.training.frozen import FrozenLayers
from edgeadapt.training.objectives import Classification, Compute

__all__ = ["Distillation", "Teacher"]


@dataclass(frozen=True)
class Teacher:
    """A trained model whose probabilities are learned."""

    logits: Logits
    """Its logits for the training texts, shape ``(texts, labels)``."""
    temperature: float
    """Divides the logits of both models; above 1, the unlikely labels count more."""
    weight: float
    """Weight of the teacher in the loss, 0 to 1; the labels have the rest."""

    def loss(self, logits: Tensor, rows: np.ndarray, task: Task) -> Tensor:
        """Returns the mean divergence of a batch's probabilities from the teacher's.

        For a multi-label task: the binary cross-entropy of each label against the teacher's
        probability. Both are multiplied by the squared temperature, which divides their gradients.

        Args:
            logits: Shape ``(batch, labels)``.
            rows: Row numbers of the texts in the batch.
            task: How many labels a text has.
        """
        wanted = to_device(torch.from_numpy(self.logits[rows]), logits.device) / self.temperature
        given = logits / self.temperature
        if task is Task.MULTI_LABEL:
            loss = F.binary_cross_entropy_with_logits(given, wanted.sigmoid())
        else:
            loss = F.kl_div(
                given.log_softmax(-1),
                wanted.log_softmax(-1),
                log_target=True,
                reduction="batchmean",
            )
        return self.temperature**2 * loss


class Distillation(Classification):
    """The weighted mean of a teacher's loss and of the cross-entropy against labels.

    Args:
        model: Returns logits of shape ``(batch, labels)``.
        encoder: The tokenizer.
        train: Labelled training examples.
        validation: Labelled validation examples.
        task: How many labels a text has.
        teacher: What is learned besides the labels.
        frozen: The model's first layers that are not trained, if any; their output is not cached.
        dropout: Which dropout applies in the trained layers; that of adapters always does.
        compute: How to run the model while training.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        encoder: TextEncoder,
        *,
        train: Examples,
        validation: Examples,
        task: Task,
        teacher: Teacher,
        frozen: FrozenLayers | None = None,
        dropout: Dropout = Dropout.ALL,
        compute: Compute = Compute.USUAL,
    ) -> None:
        super().__init__(
            model,
            encoder,
            train=train,
            validation=validation,
            task=task,
            frozen=frozen,
            dropout=dropout,
            compute=compute,
        )
        if len(teacher.logits) != len(train):
            raise ValueError(
                f"expected logits of {len(train)} training texts, found {len(teacher.logits)}"
            )
        self.teacher = teacher

    def minimized(self, logits: Tensor, labels: Tensor, rows: np.ndarray) -> Tensor:
        """Returns the weighted mean of both losses."""
        weight = self.teacher.weight
        labelled = super().minimized(logits, labels, rows)
        return (1 - weight) * labelled + weight * self.teacher.loss(logits, rows, self.task)
