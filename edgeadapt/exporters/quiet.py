"""Silence the warnings of tracing."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["quiet_tracing"]


@contextmanager
def quiet_tracing() -> Iterator[None]:
    """Silences exporters' warnings for the block, most of which are about constant shapes.

    The parity gates check the exported model at other batch sizes and lengths, and so would find a
    shape that must not be constant.
    """
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "optimum.exporters.onnx")]
    before = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, before, strict=True):
                logger.setLevel(level)
