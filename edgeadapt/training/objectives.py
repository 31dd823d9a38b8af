"""What is learned: the loss of a batch, and how well the model does on held-out text."""

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
"""CPUs with one of these multiply bfloat16 at twice float32's rate or more; others emulate it."""
_KEPT_SHAPES = {Precision.FP32: 4, Precision.BF16: 32}
"""oneDNN keeps code for each shape that it met on a CPU: the 1,024 of its default take 700 MB after
some epochs of bfloat16 products, and are no faster."""
_MOST_TOKENS = {Precision.FP32: 512, Precision.BF16: 768}
"""At once, on a CPU: with more of them it is no faster, and needs more memory."""
_MOST_TOKENS_ON_GPU = 65_536


@dataclass(frozen=True)
class Compute:
    """How a model is run while it is trained."""

    precision: Precision = Precision.FP32
    """Not ``auto``."""
    compiled: bool = False
    """Whether through torch.compile."""
    kernels: CpuKernels | None = None
    """What replaces torch's own, on a CPU."""
    most_tokens: int = _MOST_TOKENS[Precision.FP32]
    """Tokens that go through the model at once, padding counted."""

    USUAL: ClassVar["Compute"]

    @classmethod
    def on(cls, device: torch.device, config: TrainingConfig) -> Self:
        """Returns what is asked for, or what suits the device."""
        precision = config.precision
        if precision is Precision.AUTO:
            fast = device.type == "cuda" or _FAST_BFLOAT16 & (cpu_flags() or frozenset())
            # bfloat16 is as coarse as what int8 rounds to, and would hide it.
            usable = fast and not config.quant_aware
            precision = Precision.BF16 if usable else Precision.FP32
        kernels, most_tokens = None, _MOST_TOKENS_ON_GPU
        if device.type == "cpu":
            most_tokens = _MOST_TOKENS[precision]
            # oneDNN reads them when it is first used.
            os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", str(_KEPT_SHAPES[precision]))
            os.environ.setdefault("LRU_CACHE_CAPACITY", "16")
            if not (config.compile or config.activation_checkpointing):
                kernels = CpuKernels(torch.bfloat16 if precision is Precision.BF16 else None)
        most_tokens = config.micro_batch_tokens or most_tokens
        return cls(precision, config.compile, kernels, most_tokens)

    @contextmanager
    def running(self, device: torch.device) -> Iterator[None]:
        """The block in which a model computes its loss."""
        with ExitStack() as stack:
            if self.precision is Precision.BF16:
                if device.type == "cpu":
                    # Fused attention for bfloat16 takes a CPU three times as long as two products.
                    stack.enter_context(sdpa_kernel(SDPBackend.MATH))
                stack.enter_context(torch.autocast(device.type, dtype=torch.bfloat16))
            if self.kernels is not None:
                stack.enter_context(self.kernels)
            yield


Compute.USUAL = Compute()


@dataclass(frozen=True)
class Judgement:
    """How well a model does on held-out text."""

    loss: float
    """Mean over the examples."""
    accuracy: float
    """Share of right answers, 0 to 1."""
    score: Score | None = None
    """Of a classifier."""


class Loss(NamedTuple):
    """How far a model is from some training examples; both are means, and scalars."""

    minimized: Tensor
    """With gradients."""
    shown: Tensor
    """Without label smoothing, which held-out text has none of either; without gradients."""


class Objective(Protocol):
    """What a training loop needs to know of the task."""

    @property
    def model(self) -> nn.Module:
        """All that the loss is computed with."""

    @property
    def lengths(self) -> Sequence[int]:
        """Tokens of each training example."""

    @property
    def most_tokens(self) -> int:
        """Tokens whose loss is computed at once, padding counted; but of at least one example."""

    def begin_training(self) -> None:
        """Puts the model into training mode."""

    def loss(self, rows: np.ndarray) -> Loss:
        """Returns the mean loss of some training examples.

        Of this process's share of them, weighted so that the mean over all processes is theirs.
        """

    def share(self, part: np.ndarray, rows: np.ndarray) -> float:
        """Returns what the loss of a part of a batch counts in the loss of the whole, 0 to 1."""

    def judge(self) -> Judgement:
        """Returns how well the model does on held-out text, without changing it."""


class Classification:
    """Cross-entropy against labels; multi-label, the binary one of every label.

    Args:
        model: Returns logits of shape ``(batch, labels)``.
        encoder: Turns texts into tokens.
        train: Labelled examples.
        validation: Labelled examples that judge.
        task: How many labels a text has.
        smoothing: Probability mass spread over all labels while training.
        frozen: The model's first layers that are not trained, if any.
        memory: Bytes that their output for the training texts may take, so that they run once.
        dropout: What drops out in the layers above them, beside the adapters in them.
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
        """Tokens whose loss is computed at once."""
        return self.compute.most_tokens

    def begin_training(self) -> None:
        """Puts the model into training mode, and runs what has to run only once."""
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
        rows = self.team.share(rows) if weight else rows[:1]  # everyone takes part in every step
        inputs = to_inputs(self.encoder.pad([self.tokens[row] for row in rows]), self.model)
        device = self.model.device
        labels = to_device(self.labels[rows], device)
        replayed = self.remembered.replayed(rows.tolist()) if self.remembered else nullcontext()
        with replayed, self.compute.running(device):
            logits = self.forward(**inputs).logits.float()
        minimized = self.cross_entropy(logits, labels, self.smoothing)
        with torch.no_grad():
            shown = self.cross_entropy(logits, labels, 0.0)
        return Loss(weight * minimized, weight * shown)

    def share(self, part: np.ndarray, rows: np.ndarray) -> float:
        """Every example counts alike."""
        return len(part) / len(rows)

    def cross_entropy(self, logits: Tensor, labels: Tensor, smoothing: float) -> Tensor:
        """Returns the mean loss of some logits; a subclass may add other terms to it.

        Args:
            logits: Shape ``(batch, labels)``.
            labels: Shape ``(batch,)``; multi-label, ``(batch, labels)`` of zeros and ones.
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
        found = score(logits, labels, task=self.task)
        return Judgement(mean_loss(logits, labels, task=self.task), found.accuracy, found)

    def _logits(self, texts: Sequence[Text]) -> Logits:
        """Returns logits of all texts, of which each process computes its share."""
        mine = self.team.share(texts)
        logits = np.empty((len(texts), self.model.config.num_labels), dtype=np.float32)
        found = (
            torch_logits(self.model, self.encoder, mine, batch_size=EVALUATION_BATCH)
            if mine
            else logits[:0]
        )
        for rank, part in enumerate(self.team.gathered([found])):
            Team(rank, self.team.size).share(logits)[:] = part
        return logits
