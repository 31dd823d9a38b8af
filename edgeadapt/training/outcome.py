"""The results of a training: its logged steps, its epochs and its best epoch."""

from dataclasses import dataclass, field

from edgeadapt.metrics import Score

__all__ = ["EpochReport", "Outcome", "StepReport"]


@dataclass(frozen=True)
class StepReport:
    """One logged optimizer step."""

    step: int
    """Number of the step, counted from 1 over all epochs."""
    loss: float
    """Mean training loss since the last logged step, without label smoothing."""
    learning_rate: float


@dataclass(frozen=True)
class EpochReport:
    """The results of one epoch."""

    epoch: int
    """Counted from 1."""
    step: int
    """Optimizer steps so far."""
    train_loss: float
    validation_loss: float
    accuracy: float
    """On validation text, 0 to 1."""
    macro_f1: float | None
    """On validation text, 0 to 1; ``None`` in pretraining."""
    seconds: float
    """Training time of the epoch, without validation."""

    def merit(self) -> tuple[float, float]:
        """Returns the key by which epochs are compared: higher accuracy, then lower loss."""
        return self.accuracy, -self.validation_loss


@dataclass
class Outcome:
    """The results of a training, which add up while it runs."""

    steps: list[StepReport] = field(default_factory=list)
    epochs: list[EpochReport] = field(default_factory=list)
    best: EpochReport | None = None
    best_score: Score | None = None
    """The best epoch's scores on validation text; ``None`` in pretraining."""
    seconds: float = 0.0
    """Wall time, validation included."""
    training_seconds: float = 0.0
    """Wall time of the steps only."""
    examples: int = 0
    """Number of examples trained on, summed over all epochs."""

    @property
    def examples_per_second(self) -> float:
        """Training examples per second of training time."""
        return self.examples / self.training_seconds

    def count(self, examples: int, *, seconds: float) -> None:
        """Adds a step with its number of examples."""
        self.examples += examples
        self.seconds += seconds
        self.training_seconds += seconds

    def add(self, report: EpochReport, scored: Score | None) -> bool:
        """Adds an epoch, and returns whether it is the best so far."""
        self.epochs.append(report)
        if self.best is not None and report.merit() <= self.best.merit():
            return False
        self.best, self.best_score = report, scored
        return True

    def goes_on(self, *, epochs: int, patience: int | None) -> bool:
        """Returns whether to train another epoch.

        Args:
            epochs: Number of epochs to train at most.
            patience: Number of epochs without improvement after which to stop; ``None`` for never.
        """
        done = len(self.epochs)
        without_gain = done - self.best.epoch if self.best else 0
        return done < epochs and (patience is None or without_gain < patience)
