"""SIGINT and SIGTERM: the first is deferred, the second takes effect at once."""

import os
import signal
import threading

import pytest

from edgeadapt.training.interruption import Stop, stop_requests

pytestmark = pytest.mark.transformers5


@pytest.mark.parametrize(
    ("number", "ends", "code"),
    [(signal.SIGINT, KeyboardInterrupt, None), (signal.SIGTERM, SystemExit, 143)],
)
def test_the_first_signal_is_noted_and_says_how_to_end(
    number: signal.Signals, ends: type[BaseException], code: int | None
) -> None:
    with stop_requests() as stop:
        assert stop.number is None
        os.kill(os.getpid(), number)
        assert stop.number == number

    assert type(stop.ends()) is ends
    assert getattr(stop.ends(), "code", None) == code


def test_the_second_signal_is_for_whoever_listened_before() -> None:
    # A shell lets what it runs in the background ignore SIGINT: nobody would have listened.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with stop_requests() as stop:
            os.kill(os.getpid(), signal.SIGINT)
            with pytest.raises(KeyboardInterrupt):
                os.kill(os.getpid(), signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)

    assert stop.number == signal.SIGINT


def test_handlers_come_back_also_after_an_error() -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)

    with pytest.raises(ZeroDivisionError), stop_requests():
        raise ZeroDivisionError

    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_in_another_thread_nothing_is_noted() -> None:
    seen: list[Stop] = []

    def work() -> None:
        with stop_requests() as stop:
            seen.append(stop)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()

    assert seen[0].number is None
