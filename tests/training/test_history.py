"""The history of a training: a file of lines and a plot."""

import json
import struct
from pathlib import Path

import matplotlib
import pytest

from edgeadapt.training.history import draw_curves, write_history
from edgeadapt.training.outcome import EpochReport, StepReport

pytestmark = [pytest.mark.transformers5, pytest.mark.versions]


def epoch(number: int, *, accuracy: float = 0.75) -> EpochReport:
    return EpochReport(
        epoch=number,
        step=4 * number,
        train_loss=0.7 / number,
        validation_loss=0.72 / number,
        accuracy=accuracy,
        macro_f1=0.5,
        seconds=1.5,
    )


STEPS = [StepReport(step, 1 / step, 1e-3) for step in (4, 8, 10, 12)]
EPOCHS = [epoch(1), epoch(2, accuracy=0.875), epoch(3)]


def size_of_png(path: Path) -> tuple[int, int]:
    """Width and height in pixels, from the header."""
    header = path.read_bytes()[:24]
    assert header[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", header[16:24])
    return width, height


def test_there_is_a_line_per_logged_step_and_per_epoch_in_order(tmp_path: Path) -> None:
    write_history(tmp_path / "history.jsonl", STEPS, EPOCHS)

    events = [json.loads(line) for line in (tmp_path / "history.jsonl").read_text().splitlines()]

    assert [(event["event"], event["step"]) for event in events] == [
        ("step", 4),
        ("epoch", 4),
        ("step", 8),
        ("epoch", 8),
        ("step", 10),
        ("step", 12),
        ("epoch", 12),
    ]


def test_a_line_holds_everything_that_was_reported(tmp_path: Path) -> None:
    write_history(tmp_path / "history.jsonl", STEPS[:1], EPOCHS[1:2])

    step, last = map(json.loads, (tmp_path / "history.jsonl").read_text().splitlines())

    assert step == {"event": "step", "step": 4, "loss": 0.25, "learning_rate": 1e-3}
    assert last == {
        "event": "epoch",
        "epoch": 2,
        "step": 8,
        "train_loss": 0.35,
        "validation_loss": 0.36,
        "accuracy": 0.875,
        "macro_f1": 0.5,
        "seconds": 1.5,
    }


def test_the_file_ends_with_a_newline(tmp_path: Path) -> None:
    write_history(tmp_path / "history.jsonl", STEPS, EPOCHS)

    assert (tmp_path / "history.jsonl").read_bytes().endswith(b"}\n")


@pytest.mark.parametrize("count", [1, 3])
def test_the_curves_are_a_png_of_reasonable_size(tmp_path: Path, count: int) -> None:
    file = tmp_path / "curves.png"

    draw_curves(file, STEPS[:count], EPOCHS[:count], best=EPOCHS[count - 1], title="reviews")

    width, height = size_of_png(file)
    assert 600 <= width <= 2_000
    assert 300 <= height <= 1_000
    assert 5_000 < file.stat().st_size < 300_000


def test_curves_of_other_figures_look_different(tmp_path: Path) -> None:
    one, other = tmp_path / "one.png", tmp_path / "other.png"

    draw_curves(one, STEPS, EPOCHS, best=EPOCHS[1], title="reviews")
    draw_curves(
        other, STEPS, [*EPOCHS[:2], epoch(3, accuracy=0.25)], best=EPOCHS[1], title="reviews"
    )

    assert one.read_bytes() != other.read_bytes()


def test_drawing_needs_no_display_and_leaves_matplotlibs_settings_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    before = dict(matplotlib.rcParams)

    draw_curves(tmp_path / "curves.png", STEPS, EPOCHS, best=EPOCHS[1], title="reviews")

    assert dict(matplotlib.rcParams) == before


def test_dollar_signs_in_a_title_are_text(tmp_path: Path) -> None:
    title = r"5$_$ or \$"

    draw_curves(tmp_path / "curves.png", STEPS, EPOCHS, best=EPOCHS[1], title=title)

    assert size_of_png(tmp_path / "curves.png")[0] >= 600
