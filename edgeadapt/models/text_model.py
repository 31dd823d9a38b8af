"""A merged model in memory with its tokenizer, as compression steps take and make it."""

from collections.abc import Sequence
from dataclasses import dataclass

from edgeadapt.metrics import Logits
from edgeadapt.models.inference import EVALUATION_BATCH, torch_logits
from edgeadapt.models.merge import Merged
from edgeadapt.text import Text, TextEncoder

__all__ = ["TextModel"]


@dataclass(frozen=True)
class TextModel:
    """A merged model and the tokenizer that goes with it."""

    merged: Merged
    encoder: TextEncoder
    shares_rows: bool = False
    """Whether word pieces have the same embeddings, of which a graph then holds one."""

    def logits(self, texts: Sequence[Text]) -> Logits:
        """Returns logits of shape ``(texts, labels)``."""
        return torch_logits(self.merged.model, self.encoder, texts, batch_size=EVALUATION_BATCH)
