"""What training led to, step by step and epoch by epoch."""

from dataclasses import dataclass, field

from edgeadapt.metrics import Score

__all__ = ["EpochReport", "Outcome", "StepReport"]


@dataclass(frozen=True)
class StepReport:
    """One logged optimizer step."""

    step: int
    """Counted from 1 over all epochs."""
    loss: float
    """Mean training loss since the last logged step, without label smoothing."""
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
    macro_f1: float | None
    """On validation text, 0 to 1; ``None`` where nothing is classified."""
    seconds: float
    """Training time of the epoch, validation not counted."""

    def merit(self) -> tuple[float, float]:
        """Returns what makes one epoch better than another: accuracy, then a lower loss."""
        return self.accuracy, -self.validation_loss


@dataclass
class Outcome:
    """What training led to; the model holds the best epoch's weights."""

    steps: list[StepReport] = field(default_factory=list)
    epochs: list[EpochReport] = field(default_factory=list)
    best: EpochReport | None = None
    best_score: Score | None = None
    """The best epoch's, on validation text; ``None`` where nothing is classified."""
    seconds: float = 0.0
    """Wall time, validation included."""
    training_seconds: float = 0.0
    """Wall time of the steps alone."""
    examples: int = 0
    """Trained on, over all epochs."""

    @property
    def examples_per_second(self) -> float:
        """Training examples per second of training time."""
        return self.examples / self.training_seconds

    def count(self, examples: int, *, seconds: float) -> None:
        """Adds a step of so many examples."""
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
        """Returns whether another epoch follows: there is one, and hope in it."""
        done = len(self.epochs)
        waited = done - self.best.epoch if self.best else 0
        return done < epochs and (patience is None or waited < patience)
