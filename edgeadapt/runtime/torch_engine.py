"""Torch eager: the baseline that a bundle exported ``--with-torch`` is measured against.

Inference mode, scaled-dot-product attention (transformers' default), fp32, no padding: what a
careful user would do without exporting anything.
"""

from pathlib import Path
from typing import Self

from edgeadapt.bundle import Bundle
from edgeadapt.checkpoint import bundled_checkpoint_config, read_checkpoint_config
from edgeadapt.errors import MissingExtraError
from edgeadapt.metrics import Logits
from edgeadapt.text import TokenBatch

try:
    import torch
    from transformers import AutoModelForSequenceClassification
except ModuleNotFoundError as error:
    raise MissingExtraError("The torch engine", extra="train", missing=error.name) from None

__all__ = ["TorchEngine"]


class TorchEngine:
    """A stock Hugging Face classifier.

    Args:
        checkpoint: Folder with config.json and model.safetensors.
        threads: Threads within an operator; torch's default where none is given.
    """

    def __init__(self, checkpoint: Path, *, threads: int | None = None) -> None:
        if threads is not None:
            torch.set_num_threads(threads)
        config = read_checkpoint_config(checkpoint)
        self._model = AutoModelForSequenceClassification.from_pretrained(
            checkpoint, trust_remote_code=False
        ).eval()
        # RoBERTa takes segments too, but was never trained on any.
        takes_segments = config.spec.token_type_ids
        self._inputs = ["input_ids", "attention_mask"] + ["token_type_ids"] * takes_segments

    @classmethod
    def load(cls, bundle: Bundle, variant: str, *, threads: int | None = None) -> Self:
        """Loads a variant of a bundle, verified."""
        return cls(bundled_checkpoint_config(bundle, variant).file.parent, threads=threads)

    def run(self, batch: TokenBatch) -> Logits:
        """Returns float32 logits of shape ``(batch, labels)``."""
        arrays = batch.select(self._inputs)
        with torch.inference_mode():
            tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
            logits: Logits = self._model(**tensors).logits.numpy()
        return logits

    def describe(self) -> str:
        """Returns the library and its version."""
        return f"torch {torch.__version__} eager"
