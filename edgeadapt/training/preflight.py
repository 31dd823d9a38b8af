"""What can be refused before torch is loaded, which takes seconds."""

from pathlib import Path

from edgeadapt.recipe import DataConfig
from edgeadapt.store.folders import check_free
from edgeadapt.store.run import UNFINISHED
from edgeadapt.training.datasets import check_there

__all__ = ["preflight"]


def preflight(data: DataConfig, target: Path | None, *, force: bool) -> None:
    """Checks what needs no torch; training checks it again.

    Args:
        data: What to train on.
        target: Folder to write, where it is named.
        force: Whether it may be replaced.

    Raises:
        DataError: The data names a file that is not there.
        OutputExistsError: There is something at ``target``.
    """
    check_there(data)
    if target is not None and not (target / UNFINISHED).is_dir():
        check_free(target, force=force)
