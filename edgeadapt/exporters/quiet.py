"""Tracing without its warnings."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["quiet_tracing"]


@contextmanager
def quiet_tracing() -> Iterator[None]:
    """Keeps exporters from warning of every shape that they treat as constant.

    The parity gates, at other batch sizes and lengths, judge whether they were right to.
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
