"""Masked-language modelling, the pretraining task of encoders, on the user's own text."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedModel

from edgeadapt.models.inference import EVALUATION_BATCH, to_device, to_inputs
from edgeadapt.text import Text, TextEncoder, TokenBatch
from edgeadapt.training.objectives import Compute, Judgement, Loss

__all__ = ["MaskedLanguage", "WordPieces"]

_CHOSEN, _MASKED, _RANDOM = 0.15, 0.8, 0.1
"""Share of tokens to predict; of these, the shares replaced by the mask and by a random token."""


class WordPieces:
    """The part of a vocabulary that masking needs.

    Args:
        size: Number of token ids.
        mask: Id of the mask token.
        special: Ids of special tokens, which are never masked.
    """

    def __init__(self, *, size: int, mask: int, special: Sequence[int]) -> None:
        self.size, self.mask, self.special = size, mask, torch.tensor(sorted(special))

    def choose(
        self, ids: Tensor, attention_mask: Tensor, generator: torch.Generator | None
    ) -> tuple[Tensor, Tensor]:
        """Masks some ids at random; at least one per batch, if the batch has any that may be.

        Returns:
            The masked ids, and which ones are to be predicted; both of shape ``(batch, seq)``.

        Source: Devlin et al. 2019, BERT (arXiv 1810.04805), section 3.1.
        """
        allowed = attention_mask.bool() & ~torch.isin(ids, self.special)
        draws = torch.rand(ids.shape, generator=generator)
        chosen = allowed & (draws < _CHOSEN)
        if not chosen.any() and allowed.any():
            lowest = torch.where(allowed, draws, torch.inf).flatten().argmin()
            chosen.view(-1)[lowest] = True
        kinds = torch.rand(ids.shape, generator=generator)
        others = torch.randint(self.size, ids.shape, generator=generator)
        masked = torch.where(chosen & (kinds < _MASKED), self.mask, ids)
        swapped = chosen & (kinds >= _MASKED) & (kinds < _MASKED + _RANDOM)
        return torch.where(swapped, others, masked), chosen


class MaskedLanguage:
    """Cross-entropy of the masked tokens.

    The model's language head is applied only at the masked positions: with a vocabulary of 30,000
    it costs as much per token as a small encoder.

    Args:
        encoder_model: The encoder that is trained, with its adapters attached.
        language_model: The same architecture with its language head; its own encoder is not used.
        encoder: The tokenizer.
        words: The vocabulary.
        train: Training texts.
        validation: Validation texts, masked in the same way in every epoch.
        compute: How to run the models.
    """

    def __init__(
        self,
        encoder_model: PreTrainedModel,
        language_model: PreTrainedModel,
        encoder: TextEncoder,
        *,
        words: WordPieces,
        train: Sequence[Text],
        validation: Sequence[Text],
        compute: Compute = Compute.USUAL,
    ) -> None:
        self.encoder, self.words, self.compute = encoder, words, compute
        self.encoder_model, self.language_model = encoder_model, language_model
        self.tokens, self.validation = encoder.encode(train), validation
        self.lengths = [len(tokens) for tokens in self.tokens]
        output = language_model.get_output_embeddings()
        output.weight = encoder_model.get_input_embeddings().weight  # tied, as in pretraining
        self.states = _Given()
        setattr(language_model, language_model.base_model_prefix, self.states)
        self.model = nn.ModuleList([encoder_model, language_model])

    def head(self) -> dict[str, nn.Parameter]:
        """Returns the language head's parameters, without the embeddings tied to the encoder's."""
        tied = self.encoder_model.get_input_embeddings().weight
        parameters = self.language_model.named_parameters()
        return {f"language.{name}": p for name, p in parameters if p is not tied}

    @property
    def most_tokens(self) -> int:
        """Largest number of tokens in a micro-batch, padding included."""
        return self.compute.most_tokens

    def begin_training(self) -> None:
        """Puts both models into training mode."""
        self.model.train()

    def loss(self, rows: np.ndarray) -> Loss:
        """Returns the mean loss of the masked tokens of some texts; 0 if no token is masked."""
        batch = self.encoder.pad([self.tokens[row] for row in rows])
        with self.compute.running(self.encoder_model.device):
            logits, labels = self._guess(batch, None)
        loss = F.cross_entropy(logits, labels, reduction="sum") / max(1, len(labels))
        return Loss(loss, loss.detach())

    def share(self, part: np.ndarray, rows: np.ndarray) -> float:
        """Returns the share of tokens, since about the same share of each text is masked."""
        in_part, in_all = (sum(self.lengths[row] for row in some) for some in (part, rows))
        return float(in_part / in_all)

    @torch.inference_mode()
    def judge(self) -> Judgement:
        """Returns loss and accuracy of the masked tokens on validation text."""
        self.model.eval()
        generator = torch.Generator().manual_seed(0)
        losses, right = [], []
        for _, batch in self.encoder.batches(self.validation, EVALUATION_BATCH):
            logits, labels = self._guess(batch, generator)
            losses.append(F.cross_entropy(logits, labels, reduction="none"))
            right.append(logits.argmax(dim=1) == labels)
        return Judgement(float(torch.cat(losses).mean()), float(torch.cat(right).float().mean()))

    def _guess(self, batch: TokenBatch, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
        """Returns logits of the masked tokens, shape ``(masked, vocabulary)``, and their ids."""
        ids = torch.from_numpy(batch.input_ids)
        masked, chosen = self.words.choose(ids, torch.from_numpy(batch.attention_mask), generator)
        inputs = to_inputs(batch, self.encoder_model)
        device = self.encoder_model.device
        inputs["input_ids"] = to_device(masked, device)
        hidden = self.encoder_model.base_model(**inputs)[0]
        self.states.hidden = hidden[to_device(chosen, device)].unsqueeze(0)
        logits = self.language_model(input_ids=masked[:1].to(device)).logits.squeeze(0)
        return logits.float(), to_device(ids[chosen], device)


class _Given(nn.Module):
    """Takes the place of the language model's encoder, and returns given hidden states."""

    hidden: Tensor

    def forward(self, *arguments: Any, **options: Any) -> Any:
        return _Output(self.hidden)


class _Output(SimpleNamespace):
    """An encoder's output with the only element that heads read, by number or by name."""

    def __init__(self, hidden: Tensor) -> None:
        super().__init__(last_hidden_state=hidden, hidden_states=None, attentions=None)

    def __getitem__(self, number: int | slice) -> Any:
        return (self.last_hidden_state,)[number]
