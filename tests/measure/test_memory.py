"""Peak memory of this process."""

import subprocess
import sys
from pathlib import Path

import pytest

from edgeadapt.measure.memory import memory, peak_bytes, resident_bytes
from edgeadapt.store.sample import Memory

MEGABYTES = 1_000_000

TOUCHING = """
from edgeadapt.measure.memory import peak_bytes
before = peak_bytes()
block = b"x" * 50_000_000
touched = peak_bytes()
del block
print(before, touched, peak_bytes())
"""


def run_python(code: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    ).stdout


def replace_status(monkeypatch: pytest.MonkeyPatch, text: str | OSError) -> None:
    def read_text(path: Path, **_: object) -> str:
        assert path == Path("/proc/self/status")
        if isinstance(text, OSError):
            raise text
        return text

    monkeypatch.setattr(Path, "read_text", read_text)


def test_the_peak_grows_by_what_a_process_touches() -> None:
    before, touched, _ = map(int, run_python(TOUCHING).split())

    assert 49 * MEGABYTES < touched - before < 60 * MEGABYTES


def test_the_peak_stays_when_memory_is_given_back() -> None:
    before, _, after = map(int, run_python(TOUCHING).split())

    assert after - before > 49 * MEGABYTES


def test_a_child_does_not_start_at_its_parents_peak() -> None:
    block = b"x" * (100 * MEGABYTES)
    child = run_python("from edgeadapt.measure.memory import peak_bytes; print(peak_bytes())")

    own = peak_bytes()
    assert own is not None
    assert int(child) < len(block) < own


def test_the_high_water_mark_is_read_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    replace_status(
        monkeypatch, "Name:\tpython\nVmPeak:\t  9999 kB\nVmHWM:\t  1234 kB\nVmRSS:\t   7 kB\n"
    )

    assert peak_bytes() == 1234 * 1024


def test_there_is_no_peak_without_proc(monkeypatch: pytest.MonkeyPatch) -> None:
    replace_status(monkeypatch, FileNotFoundError("/proc/self/status"))

    assert peak_bytes() is None


def test_there_is_no_peak_where_the_kernel_gives_no_high_water_mark(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    replace_status(monkeypatch, "Name:\tpython\nThreads:\t1\n")

    assert peak_bytes() is None


def test_what_is_held_now_lies_below_the_peak() -> None:
    held = memory()

    assert held.rss is not None
    assert held.pss is not None
    assert held.peak is not None
    assert 0 < held.pss <= held.rss <= held.peak


def test_memory_that_is_given_back_is_held_no_more() -> None:
    code = """
from edgeadapt.measure.memory import memory
block = b"x" * 50_000_000
held = memory()
del block
print(held.rss, memory().rss, held.peak, memory().peak)
"""
    before, after, peak, later = map(int, run_python(code).split())

    assert before - after > 49 * MEGABYTES
    assert later > peak - MEGABYTES  # the kernel adds its counters up now and then


def test_two_ways_to_ask_for_resident_memory_agree() -> None:
    held, resident = memory().rss, resident_bytes()

    assert held is not None
    assert resident == pytest.approx(held, rel=0.05)


def test_without_proc_nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: Path, **_: object) -> str:
        raise FileNotFoundError(path)

    monkeypatch.setattr(Path, "read_text", fail)

    assert memory() == Memory(rss=None, pss=None, peak=None)
    assert resident_bytes() is None
