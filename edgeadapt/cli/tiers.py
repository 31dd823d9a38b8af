"""Report a missing optional dependency with the name of its extra."""

from collections.abc import Iterator
from contextlib import contextmanager

from edgeadapt.errors import MissingExtraError

__all__ = ["onnx_tier", "train_tier"]


@contextmanager
def train_tier(what: str) -> Iterator[None]:
    """Context manager around imports of the train tier.

    Raises:
        MissingExtraError: A module of the extra ``[train]`` is not installed.
    """
    with _brought_by("train", what):
        yield


@contextmanager
def onnx_tier(what: str) -> Iterator[None]:
    """Context manager around imports of the onnx tier.

    Raises:
        MissingExtraError: A module of the extra ``[quantize]`` is not installed.
    """
    with _brought_by("quantize", what):
        yield


@contextmanager
def _brought_by(extra: str, what: str) -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name and error.name.split(".")[0] == "edgeadapt":
            raise
        raise MissingExtraError(what, extra=extra, missing=error.name) from None
