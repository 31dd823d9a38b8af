"""Prints the newest supported Python interpreter on this machine that is newer than this one.

    python3.11 scripts/newest_python.py

Prints nothing where there is none. Looks on the PATH, and among the versions that pyenv has: its
commands are on the PATH too, but run only those versions that were chosen. Standard library only:
this runs before anything is installed.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

NEWEST = 14
"""The compiled dependencies have wheels up to Python 3.14."""
_PROBE = "import ensurepip, sys, venv; print(*sys.version_info[:2])"


def main() -> None:
    """Prints the interpreter's path."""
    for minor in range(NEWEST, sys.version_info.minor, -1):
        if python := next(filter(lambda path: runs(path, minor), candidates(minor)), None):
            print(python)
            return


def candidates(minor: int) -> Iterator[Path]:
    """Yields files that may be an interpreter of Python 3.``minor``."""
    name = f"python3.{minor}"
    for folder in os.get_exec_path():
        if found := shutil.which(name, path=folder):
            yield Path(found)
    if pyenv := shutil.which("pyenv"):
        asked = subprocess.run([pyenv, "root"], capture_output=True, text=True, check=False)
        yield from sorted(Path(asked.stdout.strip()).glob(f"versions/3.{minor}.*/bin/{name}"))


def runs(python: Path, minor: int) -> bool:
    """Whether a file is an interpreter of Python 3.``minor`` that can make an environment."""
    try:
        asked = subprocess.run(
            [python, "-c", _PROBE], capture_output=True, text=True, check=False, timeout=60
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return asked.stdout.split() == ["3", str(minor)]


if __name__ == "__main__":
    main()
