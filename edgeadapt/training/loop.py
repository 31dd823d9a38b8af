"""The training loop: the same for every kind of adapter and for full fine-tuning."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from edgeadapt.config import Device, Task, TrainingConfig
from edgeadapt.data import Examples
from edgeadapt.errors import TrainingError, UsageError
from edgeadapt.metrics import Score, mean_loss, score
from edgeadapt.models.classifier import AdaptedClassifier
from edgeadapt.models.inference import to_inputs, torch_logits
from edgeadapt.progress import SILENT, Bar, Progress
from edgeadapt.text import TextEncoder
from edgeadapt.training.batches import bucketed
from edgeadapt.training.optimizer import Optimizer

__all__ = ["EpochReport", "Outcome", "StepReport", "choose_device", "fit", "seeded"]

EVALUATION_BATCH = 32
_LOG_EVERY = 10


@dataclass(frozen=True)
class StepReport:
    """One logged optimizer step."""

    step: int
    """Counted from 1 over all epochs."""
    loss: float
    """Mean training loss since the last logged step."""
    learning_rate: float


@dataclass(frozen=True)
class EpochReport:
    """The state after an epoch."""

    epoch: int
    """Counted from 1."""
    step: int
    """Optimizer steps so far."""
    train_loss: float
    validation_loss: float
    accuracy: float
    """On validation text, 0 to 1."""
    macro_f1: float
    """On validation text, 0 to 1."""
    seconds: float
    """Training time of the epoch, validation not counted."""


@dataclass
class Outcome:
    """What training led to; the classifier holds the best epoch's weights."""

    steps: list[StepReport] = field(default_factory=list)
    epochs: list[EpochReport] = field(default_factory=list)
    best: EpochReport | None = None
    best_score: Score | None = None
    """The best epoch's, on validation text."""
    seconds: float = 0.0
    """Wall time, validation included."""
    examples_per_second: float = 0.0
    """Training examples per second of training time."""


def choose_device(wanted: Device) -> torch.device:
    """Returns the device to train on.

    Raises:
        UsageError: CUDA is asked for and there is none.
    """
    if wanted is Device.CUDA and not torch.cuda.is_available():
        raise UsageError(
            "No CUDA device is available to torch.", hint="Use --device cpu or --device auto."
        )
    if wanted is Device.CPU or not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda")


@contextmanager
def seeded(seed: int, *, threads: int | None = None) -> Iterator[None]:
    """Seeds torch, and sets its threads, for the block; the caller's state comes back after it."""
    before = torch.get_num_threads()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        if threads is not None:
            torch.set_num_threads(threads)
        try:
            yield
        finally:
            torch.set_num_threads(before)


def fit(
    classifier: AdaptedClassifier,
    encoder: TextEncoder,
    *,
    train: Examples,
    validation: Examples,
    task: Task,
    config: TrainingConfig,
    device: torch.device,
    progress: Progress = SILENT,
) -> Outcome:
    """Trains adapters and head in place and leaves the best epoch's weights in them.

    The best epoch has the highest validation accuracy; among equals, the lowest loss.

    Args:
        classifier: Moved to ``device``.
        encoder: Turns texts into tokens.
        train: Labelled examples.
        validation: Labelled examples that choose the epoch.
        task: How many labels a text has; it decides the loss.
        config: The optimization; its learning rate is set.
        device: Where to train. On CUDA in bfloat16 autocast.
        progress: Where to report.

    Raises:
        TrainingError: The loss is no longer finite.
    """
    started = perf_counter()
    classifier.model.to(device)
    loop = _Loop(classifier, encoder, train, task, config, device)
    outcome = Outcome()
    best_weights: dict[str, torch.Tensor] = {}
    with progress.task("train", loop.total_steps) as bar:
        for epoch in range(1, config.epochs + 1):
            train_loss, seconds = loop.run_epoch(epoch, outcome, bar)
            loss, scored = _validate(classifier, encoder, validation, task)
            if not math.isfinite(loss):
                raise TrainingError(
                    f"The validation loss is {loss} after epoch {epoch}: expected a finite number.",
                    hint="Try a smaller --learning-rate.",
                )
            report = EpochReport(
                epoch=epoch,
                step=loop.step,
                train_loss=train_loss,
                validation_loss=loss,
                accuracy=scored.accuracy,
                macro_f1=scored.macro_f1,
                seconds=seconds,
            )
            outcome.epochs.append(report)
            bar.advance(0, note=f"epoch {epoch}: validation accuracy {scored.accuracy:.1%}")
            if outcome.best is None or _rank(report) > _rank(outcome.best):
                outcome.best, outcome.best_score = report, scored
                best_weights = {n: p.detach().clone() for n, p in classifier.trained().items()}
    with torch.no_grad():
        for name, parameter in classifier.trained().items():
            parameter.copy_(best_weights[name])
    outcome.seconds = perf_counter() - started
    training_seconds = sum(report.seconds for report in outcome.epochs)
    outcome.examples_per_second = config.epochs * len(train) / training_seconds
    return outcome


class _Loop:
    """The state that epochs share."""

    def __init__(
        self,
        classifier: AdaptedClassifier,
        encoder: TextEncoder,
        train: Examples,
        task: Task,
        config: TrainingConfig,
        device: torch.device,
    ) -> None:
        self.model, self.encoder, self.task, self.config, self.device = (
            classifier.model,
            encoder,
            task,
            config,
            device,
        )
        self.tokens = encoder.encode(train.texts)
        self.lengths = [len(tokens) for tokens in self.tokens]
        self.labels = torch.from_numpy(train.known_labels())
        self.generator = np.random.default_rng(config.seed)
        self.total_steps = config.epochs * math.ceil(len(train) / config.batch_size)
        self.optimizer = Optimizer.make(classifier.trained(), config, total_steps=self.total_steps)
        self.step = 0

    def run_epoch(self, epoch: int, outcome: Outcome, bar: Bar) -> tuple[float, float]:
        """Trains on every example once; returns the mean loss and the seconds it took."""
        self.model.train()
        started = perf_counter()
        total, seen = 0.0, 0
        unlogged: list[float] = []
        batches = self._batches(self.generator)
        for number, rows in enumerate(batches, 1):
            rate = self.optimizer.rate
            loss = self._train_step(rows)
            self.step += 1
            total += loss * len(rows)
            unlogged.append(loss)
            seen += len(rows)
            speed = seen / (perf_counter() - started)
            bar.advance(note=f"epoch {epoch}  loss {total / seen:.3f}  {speed:,.0f} examples/s")
            if self.step % _LOG_EVERY == 0 or number == len(batches):
                mean = sum(unlogged) / len(unlogged)
                outcome.steps.append(StepReport(self.step, mean, rate))
                unlogged.clear()
        return total / len(self.tokens), perf_counter() - started

    def _batches(self, generator: np.random.Generator) -> list[np.ndarray]:
        return bucketed(self.lengths, self.config.batch_size, generator)

    def _train_step(self, rows: np.ndarray) -> float:
        inputs = to_inputs(self.encoder.pad([self.tokens[row] for row in rows]), self.model)
        labels = self.labels[rows].to(self.device)
        with torch.autocast("cuda", dtype=torch.bfloat16, enabled=self.device.type == "cuda"):
            logits = self.model(**inputs).logits
        loss = _loss(logits.float(), labels, self.task, smoothing=self.config.label_smoothing)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise TrainingError(
                f"The loss is {value} at step {self.step + 1} (learning rate "
                f"{self.optimizer.rate:.2g}): expected a finite number.",
                hint="Try a smaller --learning-rate.",
            )
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        return value


def _loss(logits: Tensor, labels: Tensor, task: Task, *, smoothing: float) -> Tensor:
    """Cross-entropy, multi-label the binary one of every label."""
    if task is Task.MULTI_LABEL:
        targets = labels * (1 - smoothing) + smoothing / 2
        return F.binary_cross_entropy_with_logits(logits, targets)
    return F.cross_entropy(logits, labels, label_smoothing=smoothing)


def _validate(
    classifier: AdaptedClassifier, encoder: TextEncoder, examples: Examples, task: Task
) -> tuple[float, Score]:
    """Returns mean cross-entropy and scores."""
    logits = torch_logits(classifier.model, encoder, examples.texts, batch_size=EVALUATION_BATCH)
    labels = examples.known_labels()
    return mean_loss(logits, labels, task=task), score(logits, labels, task=task)


def _rank(report: EpochReport) -> tuple[float, float]:
    return report.accuracy, -report.validation_loss
