"""Terminal output: lines in a log, progress bars on a terminal."""

import io
import json
import sys

import pytest

from edgeadapt.cli.console import Terminal, print_json, stdout


class Screen(io.StringIO):
    """Text that believes it is shown on a terminal."""

    def isatty(self) -> bool:
        return True


def test_messages_and_warnings_go_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    terminal = Terminal()

    terminal.say("three texts")
    terminal.warn("two texts")

    assert capsys.readouterr() == ("", "three texts\nwarning: two texts\n")


def test_brackets_are_text_and_not_markup(capsys: pytest.CaptureFixture[str]) -> None:
    terminal = Terminal()

    terminal.say("[model]")
    terminal.say("id = [bold]x[/bold] :smile:")
    terminal.warn("[train]")

    shown = capsys.readouterr().err
    assert shown == "[model]\nid = [bold]x[/bold] :smile:\nwarning: [train]\n"


def test_further_lines_of_a_message_are_indented(capsys: pytest.CaptureFixture[str]) -> None:
    Terminal().say("a name with\nerror: a line of its own")
    Terminal().warn("one\ntwo")

    assert capsys.readouterr().err == (
        "a name with\n  error: a line of its own\nwarning: one\n  two\n"
    )


def test_a_long_line_stays_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    line = "word " * 100 + "end"

    Terminal().say(line)

    assert capsys.readouterr().err == line + "\n"


def test_a_log_has_a_line_for_every_tenth_of_the_way(capsys: pytest.CaptureFixture[str]) -> None:
    with Terminal().bar("train", 1000) as bar:
        for step in range(1000):
            bar.advance(note=f"loss {step}")

    lines = capsys.readouterr().err.splitlines()
    assert lines == [f"train {n}/1000  loss {n - 1}" for n in range(100, 1001, 100)]


def test_a_log_has_a_line_for_every_note_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    with Terminal().bar("train", 1000) as bar:
        bar.advance(3)
        bar.advance(0, note="epoch 1: validation accuracy 50.0%")
        bar.advance(0, note="epoch 2: validation accuracy 60.0%")

    assert capsys.readouterr().err.splitlines() == [
        "train 3/1000  epoch 1: validation accuracy 50.0%",
        "train 3/1000  epoch 2: validation accuracy 60.0%",
    ]


def test_a_task_of_no_steps_is_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    with Terminal().bar("bench", 0) as bar:
        bar.advance(0, note="nothing to do")

    assert "nothing to do" in capsys.readouterr().err


def test_a_terminal_has_a_bar_and_keeps_the_notes(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")

    with Terminal().bar("train", 4) as bar:
        bar.advance(2, note="loss 0.5")
        bar.advance(0, note="epoch 1: [validation] accuracy 50.0%")

    shown = screen.getvalue()
    assert "\x1b[" in shown
    assert "train" in shown
    assert "2/4" in shown
    assert "epoch 1: [validation] accuracy 50.0%" in shown


def test_json_is_one_line_that_keeps_every_letter(capsys: pytest.CaptureFixture[str]) -> None:
    value = {"label": "größer\n“naïve”", "score": 0.5}

    print_json(value)

    shown = capsys.readouterr()
    assert json.loads(shown.out) == value
    assert shown.out.count("\n") == 1
    assert shown.err == ""


def test_a_table_in_a_pipe_is_not_folded_to_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    line = "x" * 110

    stdout().print(line)

    assert capsys.readouterr().out == line + "\n"
