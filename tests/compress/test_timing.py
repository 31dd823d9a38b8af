"""Interleaved timing of several files."""

from edgeadapt.compress.timing import Timing, noise_of, spread
from edgeadapt.text import Tokens


def test_the_timed_texts_are_spread_over_the_lengths() -> None:
    many = [Tokens([1] * n, [0] * n) for n in range(1, 101)]

    rows = spread(many, 5)

    assert len(set(rows)) == 5
    assert len(many[rows[0]]) == 1
    assert len(many[rows[-1]]) == 100


def test_a_file_is_as_fast_as_its_fastest_process_and_the_next_one_tells_the_noise() -> None:
    quiet, disturbed = Timing((1.0, 1.1, 9.0), 1), Timing((2.0, 3.0, 3.0), 2)

    assert (quiet.latency_ms, disturbed.latency_ms) == (1.0, 2.0)
    assert noise_of([quiet, disturbed]) == 0.5
