"""Compute logits of texts in torch, for validation and for the parity gates."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from edgeadapt.backbones import backbone_spec
from edgeadapt.metrics import Logits
from edgeadapt.text import Text, TextEncoder, TokenBatch

__all__ = ["EVALUATION_BATCH", "to_device", "to_inputs", "torch_logits"]

EVALUATION_BATCH = 32
"""Default batch size, in texts, of inference."""


def to_inputs(batch: TokenBatch, model: PreTrainedModel) -> dict[str, Tensor]:
    """Returns the keyword arguments of ``model`` for a batch, on the model's device."""
    names = ["input_ids", "attention_mask"]
    if backbone_spec(model.config.model_type).token_type_ids:
        names.append("token_type_ids")
    arrays = batch.select(names)
    return {
        name: to_device(torch.from_numpy(array), model.device) for name, array in arrays.items()
    }


@torch.inference_mode()
def torch_logits(
    model: PreTrainedModel, encoder: TextEncoder, texts: Sequence[Text], *, batch_size: int
) -> Logits:
    """Returns float32 logits of shape ``(texts, labels)``, in the order of ``texts``.

    The model is in evaluation mode during the call; its mode is restored afterwards.

    Raises:
        ValueError: There are no texts.
    """
    if not texts:
        raise ValueError("expected at least one text, found none")
    was_training = model.training
    model.eval()
    logits = np.empty((len(texts), model.config.num_labels), dtype=np.float32)
    for rows, batch in encoder.batches(texts, batch_size):
        logits[rows] = model(**to_inputs(batch, model)).logits.float().cpu().numpy()
    model.train(was_training)
    return logits


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """Copies a tensor to a GPU asynchronously, from pinned memory; a no-op on the CPU."""
    if device.type == "cpu":
        return tensor
    return tensor.pin_memory().to(device, non_blocking=True)
