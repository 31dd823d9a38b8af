"""Where runs, bundles and records are, and how new ones are called."""

import os
from datetime import UTC, datetime
from pathlib import Path

from edgeadapt.storage import free_name

__all__ = ["bundles", "new_name", "records", "resolve", "runs"]


def _root() -> Path:
    return Path(os.environ.get("EDGEADAPT_ARTIFACTS", "artifacts"))


def runs() -> Path:
    """Returns the folder of runs."""
    return _root() / "runs"


def bundles() -> Path:
    """Returns the folder of bundles."""
    return _root() / "bundles"


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
    path = Path(name).expanduser()
    separators = os.sep + (os.altsep or "")
    named = folder / f"{name.removesuffix(suffix)}{suffix}"
    is_bare = name not in (".", "..") and not any(sign in name for sign in separators)
    if is_bare and (named.exists() or not path.exists()):
        return named
    return path
