"""Training objectives: the loss of a batch, and the evaluation on held-out text."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Protocol, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import PreTrainedModel

from edgeadapt.data import Examples
from edgeadapt.metrics import Logits, Score, mean_loss, score
from edgeadapt.models.inference import EVALUATION_BATCH, to_device, to_inputs, torch_logits
from edgeadapt.platforms import cpu_flags
from edgeadapt.recipe import Dropout, Precision, Task, TrainingConfig
from edgeadapt.text import Text, TextEncoder
from edgeadapt.training.cpu_kernels import CpuKernels
from edgeadapt.training.frozen import FrozenLayers, Remembered
from edgeadapt.training.team import ALONE, Team

__all__ = ["Classification", "Compute", "Judgement", "Objective"]

_FAST_BFLOAT16 = {"avx512_bf16", "amx_bf16"}
"""CPU flags with which bfloat16 products run at twice the rate of float32 or more; without them,
bfloat16 is emulated."""
_KEPT_SHAPES = {Precision.FP32: 4, Precision.BF16: 32}
"""Capacity of oneDNN's cache of compiled code per tensor shape. The default of 1,024 shapes takes
700 MB after some epochs of bfloat16 products, and is no faster."""
_MOST_TOKENS = {Precision.FP32: 512, Precision.BF16: 768}
"""Tokens per micro-batch on a CPU: more are no faster and need more memory."""
_MOST_TOKENS_ON_GPU = 65_536


@dataclass(frozen=True)
class Compute:
    """How a model is run during training."""

    precision: Precision = Precision.FP32
    """``fp32`` or ``bf16``; ``auto`` is resolved by ``on``."""
    compiled: bool = False
    """Whether to use torch.compile."""
    kernels: CpuKernels | None = None
    """Replacements of torch functions on a CPU; ``None`` for none."""
    most_tokens: int = _MOST_TOKENS[Precision.FP32]
    """Largest number of tokens in a micro-batch, padding included."""

    USUAL: ClassVar["Compute"]

    @classmethod
    def on(cls, device: torch.device, config: TrainingConfig) -> Self:
        """Returns the configured settings, with defaults chosen for the device."""
        precision = config.precision
        if precision is Precision.AUTO:
            fast = device.type == "cuda" or _FAST_BFLOAT16 & (cpu_flags() or frozenset())
            # bfloat16 rounds as coarsely as int8 does, which would hide the simulated rounding.
            usable = fast and not config.quant_aware
            precision = Precision.BF16 if usable else Precision.FP32
        kernels, most_tokens = None, _MOST_TOKENS_ON_GPU
        if device.type == "cpu":
            most_tokens = _MOST_TOKENS[precision]
            # oneDNN reads these variables at its first use.
            os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", str(_KEPT_SHAPES[precision]))
            os.environ.setdefault("LRU_CACHE_CAPACITY", "16")
            if not (config.compile or config.activation_checkpointing):
                kernels = CpuKernels(torch.bfloat16 if precision is Precision.BF16 else None)
        most_tokens = config.micro_batch_tokens or most_tokens
        return cls(precision, config.compile, kernels, most_tokens)

    @contextmanager
    def running(self, device: torch.device) -> Iterator[None]:
        """Applies precision and kernels to the block, in which the model computes its loss."""
        with ExitStack() as stack:
            if self.precision is Precision.BF16:
                if device.type == "cpu":
                    # On a CPU, fused attention in bfloat16 takes three times as long as the two
                    # matrix products of the MATH backend.
                    stack.enter_context(sdpa_kernel(SDPBackend.MATH))
                stack.enter_context(torch.autocast(device.type, dtype=torch.bfloat16))
            if self.kernels is not None:
                stack.enter_context(self.kernels)
            yield


Compute.USUAL = Compute()


@dataclass(frozen=True)
class Judgement:
    """The evaluation of a model on held-out text."""

    loss: float
    """Mean over the examples."""
    accuracy: float
    """Share of correct predictions, 0 to 1."""
    score: Score | None = None
    """All scores of a classifier; ``None`` for other objectives."""


class Loss(NamedTuple):
    """The loss of some training examples; both are means, as scalar tensors."""

    minimized: Tensor
    """The loss to minimize; with gradients."""
    shown: Tensor
    """The loss to report: without label smoothing, so that it is comparable with the validation
    loss; without gradients."""


class Objective(Protocol):
    """The interface between the training loop and the task."""

    @property
    def model(self) -> nn.Module:
        """The model, or models, that the loss is computed with."""

    @property
    def lengths(self) -> Sequence[int]:
        """Tokens of each training example."""

    @property
    def most_tokens(self) -> int:
        """Largest number of tokens in a micro-batch, padding included; a longer text is its own."""

    def begin_training(self) -> None:
        """Puts the model into training mode."""

    def loss(self, rows: np.ndarray) -> Loss:
        """Returns the mean loss of some training examples.

        With several processes: of this process's share of them, weighted so that the mean over the
        processes is the mean over the examples.
        """

    def share(self, part: np.ndarray, rows: np.ndarray) -> float:
        """Returns the weight of a micro-batch's mean loss in that of its batch, 0 to 1."""

    def judge(self) -> Judgement:
        """Evaluates the model on held-out text, without changing it."""


class Classification:
    """Cross-entropy against labels; for a multi-label task, binary cross-entropy of each label.

    Args:
        model: Returns logits of shape ``(batch, labels)``.
        encoder: The tokenizer.
        train: Labelled training examples.
        validation: Labelled validation examples.
        task: How many labels a text has.
        smoothing: Label smoothing: probability mass spread over all labels in training.
        frozen: The model's first layers that are not trained, if any.
        memory: Largest size in bytes of the cached output of ``frozen``; it is not cached if it
            would be larger.
        dropout: Which dropout applies in the trained layers; that of adapters always does.
        team: The processes that train together.
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
        smoothing: float = 0.0,
        frozen: FrozenLayers | None = None,
        memory: int = 0,
        dropout: Dropout = Dropout.ALL,
        team: Team = ALONE,
        compute: Compute = Compute.USUAL,
    ) -> None:
        self.model: PreTrainedModel = model
        self.encoder, self.task, self.smoothing = encoder, task, smoothing
        self.validation = validation
        self.tokens = encoder.encode(train.texts)
        self.labels = torch.from_numpy(train.known_labels())
        self.frozen, self.memory, self.dropout = frozen, memory, dropout
        self.remembered: Remembered | None = None
        self.team, self.compute = team, compute
        self.forward: Callable[..., Any] | None = None

    @property
    def lengths(self) -> Sequence[int]:
        """Tokens of each training example."""
        return [len(tokens) for tokens in self.tokens]

    @property
    def most_tokens(self) -> int:
        """Largest number of tokens in a micro-batch, padding included."""
        return self.compute.most_tokens

    def begin_training(self) -> None:
        """Puts the model into training mode; on the first call, wraps it and fills the cache."""
        if self.forward is None:
            self.forward = self.team.wrap(self.model, self.model.device)
            if self.compute.compiled:
                self.forward = torch.compile(self.forward, dynamic=True)
        if self.frozen is None:
            self.model.train()
            return
        needed = self.frozen.bytes_for(self.tokens)
        if self.frozen.count and self.remembered is None and needed <= self.memory:
            self.remembered = self.frozen.remember(self.encoder, self.tokens)
        self.frozen.begin_training(self.dropout)

    def loss(self, rows: np.ndarray) -> Loss:
        """Returns the weighted loss of this process's share of some training examples."""
        assert self.forward is not None, "training has begun"
        weight = self.team.weight(rows)
        # A process without a share runs one example with weight 0, since the gradients of a step
        # are averaged over all processes.
        rows = self.team.share(rows) if weight else rows[:1]
        inputs = to_inputs(self.encoder.pad([self.tokens[row] for row in rows]), self.model)
        device = self.model.device
        labels = to_device(self.labels[rows], device)
        replayed = self.remembered.replayed(rows.tolist()) if self.remembered else nullcontext()
        with replayed, self.compute.running(device):
            logits = self.forward(**inputs).logits.float()
        minimized = self.minimized(logits, labels, rows)
        with torch.no_grad():
            shown = self.cross_entropy(logits, labels, 0.0)
        return Loss(weight * minimized, weight * shown)

    def share(self, part: np.ndarray, rows: np.ndarray) -> float:
        """Returns the share of examples."""
        return len(part) / len(rows)

    def minimized(self, logits: Tensor, labels: Tensor, rows: np.ndarray) -> Tensor:
        """Returns the mean loss to minimize of a batch; a subclass may add what it knows of a text.

        Args:
            logits: Shape ``(batch, labels)``.
            labels: As for ``cross_entropy``.
            rows: Row numbers of the texts in the batch.
        """
        return self.cross_entropy(logits, labels, self.smoothing)

    def cross_entropy(self, logits: Tensor, labels: Tensor, smoothing: float) -> Tensor:
        """Returns the mean loss of a batch; a subclass may add other terms to it.

        Args:
            logits: Shape ``(batch, labels)``.
            labels: Shape ``(batch,)``; for a multi-label task, zeros and ones of shape
                ``(batch, labels)``.
            smoothing: Probability mass spread over all labels.
        """
        if self.task is Task.MULTI_LABEL:
            targets = labels * (1 - smoothing) + smoothing / 2
            return F.binary_cross_entropy_with_logits(logits, targets)
        return F.cross_entropy(logits, labels, label_smoothing=smoothing)

    def judge(self) -> Judgement:
        """Returns loss and scores on validation text."""
        logits = self._logits(self.validation.texts)
        labels = self.validation.known_labels()
        scores = score(logits, labels, task=self.task)
        return Judgement(mean_loss(logits, labels, task=self.task), scores.accuracy, scores)

    def _logits(self, texts: Sequence[Text]) -> Logits:
        """Returns logits of all texts; each process computes its share of them."""
        own = self.team.share(texts)
        logits = np.empty((len(texts), self.model.config.num_labels), dtype=np.float32)
        computed = (
            torch_logits(self.model, self.encoder, own, batch_size=EVALUATION_BATCH)
            if own
            else logits[:0]
        )
        for rank, part in enumerate(self.team.gathered([computed])):
            Team(rank, self.team.size).share(logits)[:] = part
        return logits
