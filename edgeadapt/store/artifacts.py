"""Folders of runs, bundles and records, and names for new ones."""

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
    """Returns an unused path in ``folder``; names contain the time, so that they sort by it."""
    now = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    return free_name(folder, f"{stem}-{now}", suffix=suffix)


def resolve(name: str, folder: Path, *, suffix: str = "") -> Path:
    """Returns the path for ``name``: in ``folder``, or else an existing path.

    A name with a separator is always a path.
    """
    path, named = Path(name).expanduser(), destination(name, folder, suffix=suffix)
    return named if named.exists() or not path.exists() else path


def model_id(name: str) -> str:
    """Returns the path of a checkpoint in ``artifacts/checkpoints``, else ``name`` unchanged."""
    path = destination(name, checkpoints())
    return str(path) if path.is_dir() and not Path(name).expanduser().exists() else name


def destination(name: str, folder: Path, *, suffix: str = "") -> Path:
    """Returns the output path for ``name``: in ``folder`` without a separator, else a path.

    ``suffix`` is added where it is missing. Unlike ``resolve``, a file of that name in the working
    folder is ignored.
    """
    separators = os.sep + (os.altsep or "")
    path = Path(name).expanduser()
    if path.name in ("", ".."):
        return path
    if any(sign in name for sign in separators):
        return path if path.suffix or not suffix else path.with_name(f"{path.name}{suffix}")
    return folder / f"{name.removesuffix(suffix)}{suffix}"
