"""Signals between cores, in separate processes because pytest has several threads."""

import os
import subprocess
import sys

import pytest

from edgeadapt.measure import cores

two_cores = pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) < 2,
    reason="needs two cores to bind processes to",
)


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@two_cores
def test_a_signal_takes_time_and_leaves_the_process_as_it_was() -> None:
    printed = run(
        "import os\n"
        "from edgeadapt.measure.cores import signal_ns\n"
        "allowed = os.sched_getaffinity(0)\n"
        "print(signal_ns())\n"
        "assert os.sched_getaffinity(0) == allowed\n"
        "try:\n"
        "    os.waitpid(-1, os.WNOHANG)\n"
        "except ChildProcessError:\n"
        "    print('no child')\n"
    )

    taken, left = printed.splitlines()
    assert int(taken) > 0
    assert left == "no child"


@two_cores
def test_a_core_that_does_not_answer_is_given_up() -> None:
    printed = run(
        "from edgeadapt.measure import cores\n"
        "cores._answer = lambda memory: None\n"
        "print(cores.signal_ns())\n"
    )

    assert printed == "None"


@two_cores
def test_one_core_has_nobody_to_talk_to() -> None:
    printed = run(
        "import os\n"
        "from edgeadapt.measure.cores import signal_ns\n"
        "os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        "print(signal_ns())\n"
    )

    assert printed == "None"


@pytest.mark.parametrize("name", ["fork", "sched_setaffinity"])
def test_a_system_that_cannot_bind_processes_says_nothing(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, name, raising=False)

    assert cores.signal_ns() is None
