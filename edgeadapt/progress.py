"""How a stage tells its caller what it is doing, without knowing who listens."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

__all__ = ["SILENT", "Bar", "Progress"]


class Bar(Protocol):
    """One bar."""

    def advance(self, amount: int = 1, *, note: str = "") -> None:
        """Moves the bar by ``amount`` steps and shows ``note`` beside it."""


class Progress(Protocol):
    """Where messages and bars go."""

    def say(self, message: str) -> None:
        """One line of information."""

    def warn(self, message: str) -> None:
        """One line that the user should not miss."""

    def bar(self, title: str, total: int) -> AbstractContextManager[Bar]:
        """A bar of ``total`` steps, shown while the returned context is open."""


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
"""Says nothing: the default of every library function."""
