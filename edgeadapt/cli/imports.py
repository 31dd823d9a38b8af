"""Turning a missing optional dependency into the name of the extra that brings it."""

from collections.abc import Iterator
from contextlib import contextmanager

from edgeadapt.errors import MissingExtraError

__all__ = ["train_tier"]


@contextmanager
def train_tier(what: str) -> Iterator[None]:
    """Around an import of the train tier.

    Raises:
        MissingExtraError: A module of the extra ``[train]`` is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name and error.name.split(".")[0] == "edgeadapt":
            raise
        raise MissingExtraError(what, extra="train", missing=error.name) from None
