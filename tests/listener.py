"""A progress listener that records all messages."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Listener:
    """Stands in for the progress of a command."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.warned: list[str] = []

    def say(self, message: str) -> None:
        self.said.append(message)

    def warn(self, message: str) -> None:
        self.warned.append(message)

    @contextmanager
    def bar(self, title: str, total: int) -> Iterator[Any]:
        yield self

    def advance(self, amount: int = 1, *, note: str = "") -> None:
        pass
