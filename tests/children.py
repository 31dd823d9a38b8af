"""Fresh processes: for fixtures that live longer than one test, for limits, and for signals."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["MAIN", "open_edgeadapt", "run_child", "run_edgeadapt", "run_limited"]

MAIN = "from edgeadapt.cli.app import main\nmain()\n"
"""Runs the command that the arguments of the process name."""
_LIMIT = "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size}))\n"
# A shell that starts jobs in the background makes its children deaf to SIGINT.
_LISTEN = "import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
_SECONDS = 300


def run_edgeadapt(*arguments: str, code: str = MAIN, **options: Any) -> Any:
    """Runs ``edgeadapt ARGUMENTS`` in a fresh process and returns how it ended."""
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=_SECONDS,
        **options,
    )


def run_limited(size: int, *arguments: str, code: str = MAIN, **options: Any) -> Any:
    """Runs a command where writing past ``size`` bytes of a file fails, as on a full disk."""
    return run_edgeadapt(*arguments, code=_LIMIT.format(size=size) + code, **options)


@contextmanager
def open_edgeadapt(
    *arguments: str, code: str = MAIN, **options: Any
) -> Iterator[subprocess.Popen[str]]:
    """Starts a command that can be interrupted; what is left of it at the end is killed."""
    with subprocess.Popen(
        [sys.executable, "-c", _LISTEN + code, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def run_child(code: str, *arguments: str, environment: dict[str, str]) -> dict[str, Any]:
    """Runs Python code in a fresh process; the last line it prints is a JSON object."""
    done = run_edgeadapt(*arguments, code=code, env=environment)
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer
