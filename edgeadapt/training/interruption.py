"""Ctrl-C and SIGTERM as requests that training looks at between two steps."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

__all__ = ["Stop", "stop_requests"]


@dataclass
class Stop:
    """Whether to stop, and why."""

    number: int | None = None
    """The signal that asked for it."""

    def ends(self) -> BaseException:
        """Returns what the signal ends a process by: exit code 130 or 143."""
        if self.number == signal.SIGINT:
            return KeyboardInterrupt()
        return SystemExit(128 + (self.number or 0))


@contextmanager
def stop_requests() -> Iterator[Stop]:
    """Takes note of the first SIGINT or SIGTERM in the block; a second one acts at once.

    Outside the main thread, where Python delivers no signals, nothing changes.
    """
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in numbers}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def note(number: int, frame: FrameType | None) -> None:
        stop.number = number
        restore()

    for number in numbers:
        signal.signal(number, note)
    try:
        yield stop
    finally:
        restore()
