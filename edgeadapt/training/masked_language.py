"""Masked-language modelling: the task that encoders are pretrained on, on the user's own text."""

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
"""Share of tokens to be guessed, and of these: shares that become the mask or a random token."""


class WordPieces:
    """The vocabulary, as far as masking needs it.

    Args:
        size: Number of token ids.
        mask: Id of the mask token.
        special: Ids that are never chosen.
    """

    def __init__(self, *, size: int, mask: int, special: Sequence[int]) -> None:
        self.size, self.mask, self.special = size, mask, torch.tensor(sorted(special))

    def choose(
        self, ids: Tensor, attention_mask: Tensor, generator: torch.Generator | None
    ) -> tuple[Tensor, Tensor]:
        """Returns ids with some of them masked, and which; both of shape ``(batch, seq)``.

        At least one is, in every batch that holds a token to choose.

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
    """Cross-entropy of the chosen tokens.

    The model's own language head is used, and only on the chosen positions: over a vocabulary of
    30,000 it costs as much per token as a small encoder.

    Args:
        encoder_model: The encoder that is trained, adapters in place.
        language_model: The same architecture with its language head; its own encoder is set aside.
        encoder: Turns texts into tokens.
        words: The vocabulary.
        train: Texts.
        validation: Texts that judge, always masked alike.
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
        output.weight = encoder_model.get_input_embeddings().weight  # as they are tied
        self.states = _Given()
        setattr(language_model, language_model.base_model_prefix, self.states)
        self.model = nn.ModuleList([encoder_model, language_model])

    def head(self) -> dict[str, nn.Parameter]:
        """Returns what the language head trains; its output embeddings are the encoder's own."""
        tied = self.encoder_model.get_input_embeddings().weight
        parameters = self.language_model.named_parameters()
        return {f"language.{name}": p for name, p in parameters if p is not tied}

    @property
    def most_tokens(self) -> int:
        """Tokens whose loss is computed at once."""
        return self.compute.most_tokens

    def begin_training(self) -> None:
        """Puts both models into training mode."""
        self.model.train()

    def loss(self, rows: np.ndarray) -> Loss:
        """Returns the mean loss of the tokens chosen in some training texts; 0 without any."""
        batch = self.encoder.pad([self.tokens[row] for row in rows])
        with self.compute.running(self.encoder_model.device):
            logits, labels = self._guess(batch, None)
        loss = F.cross_entropy(logits, labels, reduction="sum") / max(1, len(labels))
        return Loss(loss, loss.detach())

    def share(self, part: np.ndarray, rows: np.ndarray) -> float:
        """Every token counts alike: of so many of each text, about, some are chosen."""
        mine, all_ = (sum(self.lengths[row] for row in each) for each in (part, rows))
        return float(mine / all_)

    @torch.inference_mode()
    def judge(self) -> Judgement:
        """Returns loss and share of right guesses on validation text."""
        self.model.eval()
        generator = torch.Generator().manual_seed(0)
        losses, right = [], []
        for _, batch in self.encoder.batches(self.validation, EVALUATION_BATCH):
            logits, labels = self._guess(batch, generator)
            losses.append(F.cross_entropy(logits, labels, reduction="none"))
            right.append(logits.argmax(dim=1) == labels)
        return Judgement(float(torch.cat(losses).mean()), float(torch.cat(right).float().mean()))

    def _guess(self, batch: TokenBatch, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
        """Returns logits of the chosen tokens, shape ``(chosen, vocabulary)``, and their ids."""
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
    """Stands where the language model expects its encoder, and returns what it was given."""

    hidden: Tensor

    def forward(self, *arguments: Any, **options: Any) -> Any:
        return _Output(self.hidden)


class _Output(SimpleNamespace):
    """What heads read of an encoder's output: its first element, by number or by name."""

    def __init__(self, hidden: Tensor) -> None:
        super().__init__(last_hidden_state=hidden, hidden_states=None, attentions=None)

    def __getitem__(self, number: int | slice) -> Any:
        return (self.last_hidden_state,)[number]
