"""TensorBoard's reader finds the logged values during training."""

import sys
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from edgeadapt.errors import MissingExtraError
from edgeadapt.models.sources import ModelSource
from edgeadapt.text import TextEncoder
from edgeadapt.training.tensorboard import TensorBoard
from tests.training.test_loop import build, train

pytestmark = [pytest.mark.transformers5, pytest.mark.versions]


def read(folder: Path) -> dict[str, list[tuple[int, float]]]:
    found = EventAccumulator(str(folder))
    found.Reload()
    names = found.Tags()["scalars"]
    return {name: [(event.step, event.value) for event in found.Scalars(name)] for name in names}


def test_steps_and_epochs_are_there(
    source: ModelSource, encoder: TextEncoder, tmp_path: Path
) -> None:
    with TensorBoard(tmp_path) as board:
        outcome = train(build(source), encoder, epochs=3, board=board)
        found = read(tmp_path)  # before it is closed

    assert found.keys() == {
        "loss/train",
        "learning_rate",
        "loss/validation",
        "validation/accuracy",
        "validation/macro_f1",
    }
    assert [step for step, _ in found["loss/train"]] == [report.step for report in outcome.steps]
    assert found["validation/accuracy"] == [
        (report.step, pytest.approx(report.accuracy)) for report in outcome.epochs
    ]
    assert found["loss/validation"] == [
        (report.step, pytest.approx(report.validation_loss)) for report in outcome.epochs
    ]


def test_without_tensorboard_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)

    with pytest.raises(MissingExtraError, match=r"--tensorboard needs the extra \[tensorboard\]"):
        TensorBoard(tmp_path)
