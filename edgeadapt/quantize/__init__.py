"""From an fp32 ONNX file to a quantized one, behind one table of schemes."""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from edgeadapt.config import Scheme
from edgeadapt.errors import MissingExtraError

__all__ = ["SCHEMES", "quantize"]


def _dynamic_int8(source: Path, target: Path) -> None:
    from edgeadapt.quantize.dynamic_int8 import quantize

    quantize(source, target)


SCHEMES: Mapping[Scheme, Callable[[Path, Path], None]] = MappingProxyType(
    {Scheme.DYNAMIC_INT8: _dynamic_int8}
)


def quantize(source: Path, target: Path, *, scheme: Scheme) -> None:
    """Writes a quantized copy of an ONNX file.

    Raises:
        MissingExtraError: onnx is not installed.
    """
    try:
        SCHEMES[scheme](source, target)
    except ModuleNotFoundError as error:
        raise MissingExtraError("--quantize", extra="quantize", missing=error.name) from None
