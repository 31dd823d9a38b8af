"""Where runs, bundles and records are, and how new ones are called."""

import os
from datetime import UTC, datetime
from pathlib import Path

from edgeadapt.store.folders import free_name

__all__ = [
    "bundles",
    "checkpoints",
    "destination",
    "model_id",
    "new_name",
    "records",
    "resolve",
    "runs",
]


def _root() -> Path:
    return Path(os.environ.get("EDGEADAPT_ARTIFACTS", "artifacts"))


def runs() -> Path:
    """Returns the folder of runs."""
    return _root() / "runs"


def bundles() -> Path:
    """Returns the folder of bundles."""
    return _root() / "bundles"


def checkpoints() -> Path:
    """Returns the folder of merged checkpoints."""
    return _root() / "checkpoints"


def records() -> Path:
    """Returns the folder of records."""
    return _root() / "records"


def new_name(folder: Path, stem: str, *, suffix: str = "") -> Path:
    """Returns a path in ``folder`` that is free, readable and sorts by time."""
    now = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    return free_name(folder, f"{stem}-{now}", suffix=suffix)


def resolve(name: str, folder: Path, *, suffix: str = "") -> Path:
    """Returns what the user means by ``name``: an existing path, else a name in ``folder``.

    A bare word names something in ``folder``; anything with a separator is a path.
    """
    path, named = Path(name).expanduser(), destination(name, folder, suffix=suffix)
    return named if named.exists() or not path.exists() else path


def model_id(name: str) -> str:
    """Returns the checkpoint that ``name`` means: one of ``artifacts/checkpoints``, else itself."""
    found = destination(name, checkpoints())
    return str(found) if found.is_dir() and not Path(name).expanduser().exists() else name


def destination(name: str, folder: Path, *, suffix: str = "") -> Path:
    """Returns where to write what the user calls ``name``: a bare word in ``folder``, else a path.

    A path that ends in no suffix gets one, as a name does. Unlike ``resolve``, whatever else is
    called so in the working folder.
    """
    separators = os.sep + (os.altsep or "")
    path = Path(name).expanduser()
    if path.name in ("", ".."):
        return path
    if any(sign in name for sign in separators):
        return path if path.suffix or not suffix else path.with_name(f"{path.name}{suffix}")
    return folder / f"{name.removesuffix(suffix)}{suffix}"
