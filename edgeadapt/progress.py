"""The interface by which a stage reports progress, independent of how it is shown."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

__all__ = ["SILENT", "Bar", "Progress"]


class Bar(Protocol):
    """One progress bar."""

    def advance(self, amount: int = 1, *, note: str = "") -> None:
        """Moves the bar by ``amount`` steps and shows ``note`` beside it."""


class Progress(Protocol):
    """Destination of messages and progress bars."""

    def say(self, message: str) -> None:
        """Reports one line of information."""

    def warn(self, message: str) -> None:
        """Reports one line that the user should not miss."""

    def bar(self, title: str, total: int) -> AbstractContextManager[Bar]:
        """Returns a context manager that shows a bar of ``total`` steps."""


class _Silent:
    def say(self, message: str) -> None:
        pass

    def warn(self, message: str) -> None:
        pass

    @contextmanager
    def bar(self, title: str, total: int) -> Iterator[Bar]:
        yield _SilentBar()


class _SilentBar:
    def advance(self, amount: int = 1, *, note: str = "") -> None:
        pass


SILENT: Progress = _Silent()
"""Discards all messages: the default of every library function."""
