"""How near two cores are to each other."""

import mmap
import os
from time import perf_counter_ns

__all__ = ["signal_ns"]

_SERIES = 200
_NUMBERS = range(1, 201)
"""What is called and answered in a series; the fastest counts, so that a process in between does no
harm."""
_PATIENCE = range(3_000_000)
"""Looks for an answer, a tenth of a second of them, until it is given up."""
_CALL, _ANSWER = 0, 64
"""Bytes of two cache lines."""


def signal_ns() -> int | None:
    """Returns the nanoseconds that a signal takes to another core and back.

    Cores that share a cache hear from each other several times sooner than others. The host of a
    virtual machine moves its cores as it likes; what several threads compute together then takes
    another time, a small model's answer up to twice as long, while a single thread is as fast as
    before and the system says nothing.

    The process must have one thread only. ``None`` without a second core, where the system cannot
    bind processes to cores, and where the other one does not answer.
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
            for _ in _PATIENCE:  # a function would take longer than the signal
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
