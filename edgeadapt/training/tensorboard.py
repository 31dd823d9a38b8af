"""Write training metrics for TensorBoard during training."""

from pathlib import Path
from types import TracebackType
from typing import Self

from edgeadapt.errors import MissingExtraError
from edgeadapt.training.outcome import EpochReport, StepReport

__all__ = ["TensorBoard"]


class TensorBoard:
    """Writes event files that ``tensorboard --logdir`` reads.

    Args:
        folder: Folder of the event files; a resumed training adds to them.

    Raises:
        MissingExtraError: TensorBoard is not installed.
    """

    def __init__(self, folder: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ModuleNotFoundError as error:
            raise MissingExtraError(
                "--tensorboard", extra="tensorboard", missing=error.name
            ) from None
        self._writer = SummaryWriter(str(folder))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._writer.close()

    def step(self, report: StepReport) -> None:
        """Adds a logged step."""
        self._add("loss/train", report.loss, report.step)
        self._add("learning_rate", report.learning_rate, report.step)

    def epoch(self, report: EpochReport) -> None:
        """Adds an epoch."""
        self._add("loss/validation", report.validation_loss, report.step)
        self._add("validation/accuracy", report.accuracy, report.step)
        if report.macro_f1 is not None:
            self._add("validation/macro_f1", report.macro_f1, report.step)

    def _add(self, name: str, value: float, step: int) -> None:
        self._writer.add_scalar(name, value, step)
        self._writer.flush()
