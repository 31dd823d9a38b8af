"""Terminal output: messages and progress bars on stderr, results on stdout."""

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from rich.console import Console, RenderableType
from rich.measure import Measurement
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from edgeadapt import escape
from edgeadapt.progress import Bar

__all__ = ["Terminal", "print_json", "print_line", "show", "stdout"]


def stdout() -> Console:
    """Returns a console on standard output; in a pipe, its width is not limited."""
    return Console(width=None if sys.stdout.isatty() else 120, emoji=False)


def show(content: RenderableType) -> None:
    """Prints tables on standard output, at least as wide as their longest words.

    On a narrower terminal, lines wrap. By default, rich would omit the last columns.
    """
    console = stdout()
    unlimited = console.options.update(width=10_000)
    needed = Measurement.get(console, unlimited, content).minimum
    console.width = max(console.width, needed)
    console.print(content)


def print_line(text: str) -> None:
    """Prints one line of a result on standard output, without wrapping."""
    print(escape.terminal(text))


def print_json(value: Mapping[str, object]) -> None:
    """Prints one JSON object on standard output."""
    print(json.dumps(value))


class Terminal:
    """Reports progress on stderr: bars on a terminal, plain lines in a log."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)
        self._open: Progress | None = None

    def say(self, message: str) -> None:
        """Prints a message; further lines are indented."""
        self._console.print(escape.message(message), markup=False)

    def warn(self, message: str) -> None:
        """Prints a message, marked as a warning."""
        self._console.print(f"warning: {escape.message(message)}", style="yellow", markup=False)

    @contextmanager
    def bar(self, title: str, total: int) -> Iterator[Bar]:
        """Shows a progress bar with the remaining time; bars can be nested."""
        title = escape.terminal(title)
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}", markup=False),
        )
        if not self._console.is_terminal:
            yield _Lines(self, title, total)
            return
        if self._open is not None:
            number = self._open.add_task(title, total=total, note="")
            try:
                yield _Bar(self._open, number)
            finally:
                self._open.remove_task(number)
            return
        with Progress(*columns, console=self._console, transient=True) as progress:
            self._open = progress
            try:
                yield _Bar(progress, progress.add_task(title, total=total, note=""))
            finally:
                self._open = None


class _Bar:
    """A progress bar on a terminal."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress, self._task = progress, task

    def advance(self, amount: int = 1, *, note: str = "") -> None:
        shown = escape.terminal(note)
        self._progress.update(self._task, advance=amount, note=shown)
        if amount == 0:
            self._progress.console.print(shown, markup=False)


class _Lines:
    """A progress bar in a log: a line for every tenth, and for every new note."""

    def __init__(self, terminal: Terminal, title: str, total: int) -> None:
        self._terminal, self._title, self._total = terminal, title, total
        self._done = self._shown = 0

    def advance(self, amount: int = 1, *, note: str = "") -> None:
        self._done += amount
        tenth = 10 * self._done // max(1, self._total)
        if amount == 0 or tenth > self._shown:
            self._shown = tenth
            self._terminal.say(f"{self._title} {self._done}/{self._total}  {note}")
