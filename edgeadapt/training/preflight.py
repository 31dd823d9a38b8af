"""Checks that run before torch is loaded, which takes seconds."""

from pathlib import Path

from edgeadapt.recipe import DataConfig
from edgeadapt.store.folders import check_free
from edgeadapt.store.run import UNFINISHED, Run
from edgeadapt.training.datasets import check_there

__all__ = ["preflight"]


def preflight(data: DataConfig, target: Path | None, *, force: bool) -> None:
    """Checks data and output paths early; training checks them again.

    Args:
        data: The data to train on.
        target: Folder to write; ``None`` if the user named none.
        force: Whether an existing folder may be overwritten.

    Raises:
        DataError: The data names a file that does not exist.
        OutputExistsError: ``target`` exists and may not be overwritten.
    """
    check_there(data)
    if target is not None and not (target / UNFINISHED).is_dir():
        check_free(target, force=force, known_by=Run.MANIFEST)
