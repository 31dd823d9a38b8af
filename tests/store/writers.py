"""Writers that are disturbed by a full disk, an exception or a concurrent reader."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from edgeadapt.store.folders import staged_folder

FULL_DISK = """
import resource, sys
from pathlib import Path
from safetensors.numpy import save_file
import numpy as np
from edgeadapt.errors import EdgeAdaptError
from edgeadapt.store.files import write_text
from edgeadapt.store.folders import staged_folder

target = Path(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    {action}
except EdgeAdaptError as error:
    print(error)
"""
"""A process in which every file may hold 4,096 bytes: the operating system fails the write."""


def on_a_full_disk(action: str, target: Path) -> str:
    """Runs ``action`` where files cannot grow; returns the expected failure it ended with."""
    done = subprocess.run(
        [sys.executable, "-B", "-c", FULL_DISK.format(action=action), str(target)],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return done.stdout


def listing(folder: Path) -> list[str]:
    """Everything under a folder, hidden files included."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def old_folder(target: Path) -> Path:
    target.mkdir()
    (target / "old.txt").write_text("old")
    return target


def write_folder(
    target: Path, meanwhile: Callable[[Path], object] = lambda _: None, *, force: bool = False
) -> None:
    """Writes a folder with new.txt; ``meanwhile`` is called with the folder while it is staged."""
    with staged_folder(target, force=force) as folder:
        (folder / "new.txt").write_text("new")
        meanwhile(folder)


def failing(failure: BaseException) -> Callable[[object], None]:
    """A function that raises."""

    def fail(_: object) -> None:
        raise failure

    return fail
