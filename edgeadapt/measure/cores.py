"""Measure the latency of signals between two cores."""

import mmap
import os
from time import perf_counter_ns

__all__ = ["signal_ns"]

_SERIES = 200
_NUMBERS = range(1, 201)
"""Signals of a series; the fastest is the result, so that interruptions by other processes do not
matter."""
_PATIENCE = range(3_000_000)
"""Polls for an answer before giving up; they take about a tenth of a second."""
_CALL, _ANSWER = 0, 64
"""Offsets in shared memory, in different cache lines."""


def signal_ns() -> int | None:
    """Returns the nanoseconds of a signal to another core and back.

    Signals between cores that share a cache are several times faster than between others. The host
    of a virtual machine may move its cores at any time. The latency of several threads changes
    then, for a small model by up to a factor of two, while a single thread stays as fast and the
    system reports nothing. This measurement detects such moves.

    The process must have only one thread, because it forks. ``None`` without a second core, where
    processes cannot be bound to cores, and where the other core does not respond.
    """
    if not hasattr(os, "fork") or not hasattr(os, "sched_setaffinity"):
        return None
    allowed = os.sched_getaffinity(0)
    if len(allowed) < 2:
        return None
    first, second, *_ = sorted(allowed)
    with mmap.mmap(-1, mmap.PAGESIZE) as memory:
        child = os.fork()
        if child == 0:
            try:
                os.sched_setaffinity(0, {second})
                _answer(memory)
            finally:
                os._exit(0)
        try:
            os.sched_setaffinity(0, {first})
            return _call(memory)
        finally:
            os.sched_setaffinity(0, allowed)
            os.waitpid(child, 0)


def _call(memory: mmap.mmap) -> int | None:
    fastest = None
    for _ in range(_SERIES):
        started = perf_counter_ns()
        for number in _NUMBERS:
            memory[_CALL] = number
            for _ in _PATIENCE:  # inlined, because a function call takes longer than the signal
                if memory[_ANSWER] == number:
                    break
            else:
                return None
        elapsed = (perf_counter_ns() - started) // len(_NUMBERS)
        fastest = elapsed if fastest is None else min(fastest, elapsed)
    return fastest


def _answer(memory: mmap.mmap) -> None:
    for _ in range(_SERIES):
        for number in _NUMBERS:
            for _ in _PATIENCE:
                if memory[_CALL] == number:
                    break
            else:
                return
            memory[_ANSWER] = number
