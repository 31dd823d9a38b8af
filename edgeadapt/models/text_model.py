"""A merged model in memory with its tokenizer: the input and output of compression steps."""

from collections.abc import Sequence
from dataclasses import dataclass

from edgeadapt.metrics import Logits
from edgeadapt.models.inference import EVALUATION_BATCH, torch_logits
from edgeadapt.models.merge import Merged
from edgeadapt.text import Text, TextEncoder

__all__ = ["TextModel"]


@dataclass(frozen=True)
class TextModel:
    """A merged model and its tokenizer."""

    merged: Merged
    encoder: TextEncoder
    shares_rows: bool = False
    """Whether several word pieces share one embedding, which the graph then stores once."""

    def logits(self, texts: Sequence[Text]) -> Logits:
        """Returns logits of shape ``(texts, labels)``."""
        return torch_logits(self.merged.model, self.encoder, texts, batch_size=EVALUATION_BATCH)
