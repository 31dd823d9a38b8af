"""Engines that run a bundle's variants, behind one contract."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from edgeadapt.bundle import Bundle
from edgeadapt.config import EngineName
from edgeadapt.errors import LayoutError
from edgeadapt.runtime.base import Engine

__all__ = ["ENGINES", "load_engine"]


def _onnxruntime(bundle: Bundle, variant: str, threads: int | None) -> Engine:
    from edgeadapt.runtime.onnxruntime_engine import OnnxRuntimeEngine

    return OnnxRuntimeEngine.load(bundle, variant, threads=threads)


def _torch(bundle: Bundle, variant: str, threads: int | None) -> Engine:
    from edgeadapt.runtime.torch_engine import TorchEngine

    return TorchEngine.load(bundle, variant, threads=threads)


ENGINES: Mapping[EngineName, Callable[[Bundle, str, int | None], Engine]] = MappingProxyType(
    {EngineName.ONNXRUNTIME: _onnxruntime, EngineName.TORCH: _torch}
)
"""Engine -> loader. A loader imports its library only when it is called."""


def load_engine(bundle: Bundle, variant: str, *, threads: int | None = None) -> Engine:
    """Loads a variant on the engine that the manifest names for it.

    Raises:
        UsageError: There is no such variant.
        IntegrityError: A file is not the one that was written.
        LayoutError: The manifest names an engine that there is none of.
        MissingExtraError: The engine's library is not installed.
    """
    name = bundle.variant(variant).engine
    if name not in list(EngineName):
        raise LayoutError(
            f"{bundle.path}: unknown engine {name!r} for the variant {variant!r}: expected one of "
            f"{', '.join(EngineName)}.",
            hint="Was the bundle written by a newer edgeadapt?",
        )
    return ENGINES[EngineName(name)](bundle, variant, threads)
