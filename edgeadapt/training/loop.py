"""The training loop, for every kind of adapter and for full fine-tuning."""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import fmean
from time import perf_counter
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from edgeadapt.errors import TrainingError, UsageError
from edgeadapt.progress import SILENT, Bar, Progress
from edgeadapt.recipe import Device, TrainingConfig
from edgeadapt.training.batches import bucketed, in_parts
from edgeadapt.training.checkpoints import Checkpoint, Checkpoints
from edgeadapt.training.interruption import Stop, stop_requests
from edgeadapt.training.memory import out_of_memory
from edgeadapt.training.objectives import Objective
from edgeadapt.training.optimizer import Optimizer
from edgeadapt.training.outcome import EpochReport, Outcome, StepReport
from edgeadapt.training.team import ALONE, Team
from edgeadapt.training.tensorboard import TensorBoard
from edgeadapt.typed import from_json

__all__ = ["choose_device", "fit"]

_LOG_EVERY = 10
T = TypeVar("T")


def choose_device(wanted: Device, team: Team = ALONE) -> torch.device:
    """Returns the device to train on; each process of a machine gets its own GPU.

    Raises:
        UsageError: CUDA is requested and not available.
    """
    if wanted is Device.CUDA and not torch.cuda.is_available():
        raise UsageError(
            "No CUDA device is available to torch.", hint="Use --device cpu or --device auto."
        )
    if wanted is Device.CPU or not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", team.local_rank) if team.size > 1 else torch.device("cuda")


def fit(
    objective: Objective,
    trained: Mapping[str, nn.Parameter],
    *,
    head: Collection[str] = (),
    config: TrainingConfig,
    device: torch.device,
    checkpoints: Checkpoints | None = None,
    team: Team = ALONE,
    board: TensorBoard | None = None,
    progress: Progress = SILENT,
) -> Outcome:
    """Trains some parameters of a model in place and sets them to the best epoch's values.

    The best epoch has the highest validation accuracy; ties go to the lowest validation loss.

    Args:
        objective: The loss and its data. Its model is moved to ``device``.
        trained: The parameters to train, by name.
        head: Names of the task head's parameters, which have their own learning rate.
        config: Settings of the optimization, with ``epochs`` and ``learning_rate`` resolved.
        device: The device to train on.
        checkpoints: Where to save the state. If there is a checkpoint, training resumes from it;
            the final weights are identical to those of an uninterrupted training.
        team: The processes that train together; the leading one writes checkpoints.
        board: Receives logged steps and epochs.
        progress: Receives messages and the progress bar.

    Raises:
        TrainingError: The loss is not finite, or GPU memory ran out.
        UsageError: The checkpoint was written by another number of processes.
        KeyboardInterrupt, SystemExit: SIGINT or SIGTERM was received; a checkpoint was saved.
    """
    objective.model.to(device)
    loop = _Loop(objective, trained, head, config, device, checkpoints, team, board)
    with progress.bar("train", loop.total_steps) as bar, stop_requests() as stop:
        loop.restore()
        bar.advance(loop.optimizer.steps)
        while loop.outcome.goes_on(epochs=loop.epochs, patience=config.patience):
            loop.run_epoch(bar, stop)
    if len(loop.outcome.epochs) < loop.epochs:
        progress.say(
            f"Stopped early after epoch {len(loop.outcome.epochs)} of {loop.epochs}: no "
            f"improvement in {config.patience} epochs."
        )
    loop.take_best()
    return loop.outcome


@dataclass
class _Epoch:
    """Counts and losses of the current epoch so far."""

    batches: int = 0
    examples: int = 0
    loss: float = 0.0
    """Sum over the examples."""
    unlogged: list[float] = field(default_factory=list)
    """Losses of the batches since the last logged step."""

    @property
    def mean_loss(self) -> float:
        return self.loss / self.examples

    def count(self, loss: float, examples: int) -> None:
        """Adds a batch with its mean loss."""
        self.batches += 1
        self.examples += examples
        self.loss += loss * examples
        self.unlogged.append(loss)


@dataclass(frozen=True)
class _Progress:
    """The part of a checkpoint that is not tensors."""

    processes: int
    """Number of processes that train together."""
    steps: int
    """Optimizer steps so far."""
    under_way: _Epoch
    outcome: Outcome


class _Loop:
    """The state of a training: what steps and epochs share, and what a checkpoint holds."""

    def __init__(
        self,
        objective: Objective,
        trained: Mapping[str, nn.Parameter],
        head: Collection[str],
        config: TrainingConfig,
        device: torch.device,
        checkpoints: Checkpoints | None,
        team: Team,
        board: TensorBoard | None,
    ) -> None:
        self.objective, self.trained = objective, trained
        self.config, self.device = config, device
        self.checkpoints, self.team, self.board = checkpoints, team, board
        self.lengths = objective.lengths
        assert config.epochs is not None, "the recipe is resolved before training"
        self.epochs = config.epochs
        self.total_steps = self.epochs * math.ceil(len(self.lengths) / config.batch_size)
        self.optimizer = Optimizer.make(trained, config, total_steps=self.total_steps, head=head)
        self.outcome = Outcome()
        self.best_weights: dict[str, Tensor] = {}
        self.under_way = _Epoch()

    def run_epoch(self, bar: Bar, stop: Stop) -> None:
        """Trains on the remaining batches of the epoch, and validates."""
        epoch = len(self.outcome.epochs) + 1
        self.objective.begin_training()
        batches = bucketed(
            self.lengths, self.config.batch_size, np.random.default_rng([self.config.seed, epoch])
        )
        for rows in batches[self.under_way.batches :]:
            started, rate = perf_counter(), self.optimizer.rate
            self._train_step(rows)
            self.outcome.count(len(rows), seconds=perf_counter() - started)
            if self.optimizer.steps % _LOG_EVERY == 0 or self.under_way.batches == len(batches):
                self._log(rate)
            mean = self.under_way.mean_loss
            speed = self.outcome.examples_per_second
            bar.advance(note=f"epoch {epoch}  loss {mean:.3f}  {speed:,.0f} examples/s")
            self._check_point(stop)
        self._validate(epoch, bar)
        self.under_way = _Epoch()
        self._check_point(stop, due=True)

    def _train_step(self, rows: np.ndarray) -> None:
        value = self._in_memory(rows, lambda: self._backward(rows))
        if not math.isfinite(value):
            raise TrainingError(
                f"The loss is {value} at step {self.optimizer.steps + 1} (learning rate "
                f"{self.optimizer.rate:.2g}, training examples {_few(rows)}): expected a finite "
                "number.",
                hint="Try a smaller --learning-rate.",
            )
        self._in_memory(rows, self.optimizer.step)
        self.under_way.count(value, len(rows))

    def _backward(self, rows: np.ndarray) -> float:
        """Accumulates a batch's gradients over its micro-batches and returns its loss."""
        value = 0.0
        for part in in_parts(rows, self.lengths, self.objective.most_tokens):
            loss, share = self.objective.loss(part), self.objective.share(part, rows)
            (loss.minimized * share).backward()  # type: ignore[no-untyped-call]
            value += self.team.mean(loss.shown * share)
        return value

    def _in_memory(self, rows: np.ndarray, compute: Callable[[], T]) -> T:
        """Calls ``compute``; if memory runs out, raises an error with the batch size that fits.

        The error is made after the handler, because the caught exception's traceback keeps the
        tensors of the failed attempt in memory.
        """
        try:
            return compute()
        except torch.OutOfMemoryError:
            pass
        raise out_of_memory(
            self.objective,
            len(rows),
            step=self.optimizer.steps + 1,
            forget=self.optimizer.forget,
            alone=self.team.size == 1,
        )

    def _log(self, rate: float) -> None:
        """Logs the mean loss of the batches since the last logged step."""
        report = StepReport(self.optimizer.steps, fmean(self.under_way.unlogged), rate)
        self.under_way.unlogged.clear()
        self.outcome.steps.append(report)
        if self.board is not None:
            self.board.step(report)

    def _validate(self, epoch: int, bar: Bar) -> None:
        started = perf_counter()
        judgement = self.objective.judge()
        if not math.isfinite(judgement.loss):
            raise TrainingError(
                f"The validation loss is {judgement.loss} after epoch {epoch}: expected a finite "
                "number.",
                hint="Try a smaller --learning-rate.",
            )
        report = EpochReport(
            epoch=epoch,
            step=self.optimizer.steps,
            train_loss=self.under_way.mean_loss,
            validation_loss=judgement.loss,
            accuracy=judgement.accuracy,
            macro_f1=judgement.score.macro_f1 if judgement.score else None,
            seconds=self.outcome.training_seconds - sum(e.seconds for e in self.outcome.epochs),
        )
        self.outcome.seconds += perf_counter() - started
        if self.outcome.add(report, judgement.score):
            self.best_weights = {n: p.detach().clone() for n, p in self.trained.items()}
        if self.board is not None:
            self.board.epoch(report)
        bar.advance(0, note=f"epoch {epoch}: validation accuracy {report.accuracy:.1%}")

    def take_best(self) -> None:
        """Copies the best epoch's weights into the model."""
        _copy(self.best_weights, self.trained)

    def _check_point(self, stop: Stop, *, due: bool = False) -> None:
        """Saves a checkpoint if one is due or a stop is requested, and then stops if requested."""
        # One process may have received the signal; all of them have to stop at the same step.
        stop.number = self.team.largest(stop.number or 0) or None
        if self.checkpoints is not None:
            every = self.checkpoints.every
            due = due or (every > 0 and self.optimizer.steps % every == 0)
            if due or stop.number is not None:
                random = self.team.gathered([self._random_state()])
                if self.team.leads:
                    self.checkpoints.save(self.optimizer.steps, self._state(random))
        if stop.number is not None:
            raise stop.ends()

    def _random_state(self) -> dict[str, Tensor]:
        states = {"cpu": torch.get_rng_state()}
        if self.device.type == "cuda":
            states["cuda"] = torch.cuda.get_rng_state(self.device)
        return states

    def _state(self, random: Sequence[Mapping[str, Tensor]]) -> Checkpoint:
        groups: dict[str, Mapping[str, Tensor]] = {
            "trained": self.trained,
            "best": self.best_weights,
            "adamw": self.optimizer.tensors(),
            "random": {
                f"{rank}/{name}": t for rank, own in enumerate(random) for name, t in own.items()
            },
        }
        tensors = {
            f"{group}/{name}": tensor.detach().cpu()
            for group, named in groups.items()
            for name, tensor in named.items()
        }
        progress = _Progress(self.team.size, self.optimizer.steps, self.under_way, self.outcome)
        return Checkpoint(tensors, asdict(progress))

    def restore(self) -> None:
        """Restores the latest checkpoint, if there is one."""
        checkpoint = self.checkpoints.load() if self.checkpoints else None
        if checkpoint is None:
            return
        reached = from_json(_Progress, checkpoint.values, where="The state of training")
        if reached.processes != self.team.size:
            raise UsageError(
                f"Cannot resume: expected {reached.processes} processes, with which the training "
                f"was begun, found {self.team.size}.",
                hint=f"Use accelerate launch --num_processes {reached.processes}.",
            )
        groups: dict[str, dict[str, Tensor]] = {"best": {}}
        for key, tensor in checkpoint.tensors.items():
            group, _, name = key.partition("/")
            groups.setdefault(group, {})[name] = tensor
        _copy(groups["trained"], self.trained)
        self.best_weights = {n: t.to(self.device) for n, t in groups["best"].items()}
        self.optimizer.load(groups["adamw"], steps=reached.steps)
        torch.set_rng_state(groups["random"][f"{self.team.rank}/cpu"])
        if self.device.type == "cuda":
            torch.cuda.set_rng_state(groups["random"][f"{self.team.rank}/cuda"], self.device)
        self.under_way, self.outcome = reached.under_way, reached.outcome


@torch.no_grad()
def _copy(tensors: Mapping[str, Tensor], parameters: Mapping[str, nn.Parameter]) -> None:
    for name, parameter in parameters.items():
        parameter.copy_(tensors[name])


def _few(rows: np.ndarray) -> str:
    """Lists the first five rows of the training data, counted from 1, for a message."""
    shown = ", ".join(str(row + 1) for row in sorted(rows)[:5])
    return shown + (f" and {len(rows) - 5} more" if len(rows) > 5 else "")
