"""The silent progress: the default of every library function."""

import pytest

from edgeadapt.progress import SILENT


def test_silent_progress_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    SILENT.say("information")
    SILENT.warn("a warning")
    with SILENT.bar("work", 3) as bar:
        bar.advance()
        bar.advance(2, note="loss 0.3")

    assert capfd.readouterr() == ("", "")


def test_a_silent_task_hides_no_failure() -> None:
    with pytest.raises(KeyboardInterrupt), SILENT.bar("work", 3):
        raise KeyboardInterrupt


def test_silent_tasks_nest() -> None:
    steps = []

    with SILENT.bar("epochs", 2) as outer, SILENT.bar("steps", 2) as inner:
        for bar in (outer, inner):
            bar.advance()
            steps.append(bar)

    assert len(steps) == 2
