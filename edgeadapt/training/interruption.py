"""Turn Ctrl-C and SIGTERM into requests that training checks between two steps."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

__all__ = ["Stop", "stop_requests"]


@dataclass
class Stop:
    """A request to stop."""

    number: int | None = None
    """Number of the received signal; ``None`` if there was none."""

    def ends(self) -> BaseException:
        """Returns the exception to end the process with: exit code 130 or 143."""
        if self.number == signal.SIGINT:
            return KeyboardInterrupt()
        return SystemExit(128 + (self.number or 0))


@contextmanager
def stop_requests() -> Iterator[Stop]:
    """Records the first SIGINT or SIGTERM in the block; a second one has its usual effect.

    Does nothing outside the main thread, since Python handles signals only there.
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
