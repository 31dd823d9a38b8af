"""Load a bundle's variants on one of several engines with a common interface."""

import warnings
from collections.abc import Callable, Mapping
from types import MappingProxyType

from edgeadapt.errors import LayoutError
from edgeadapt.escape import terminal
from edgeadapt.platforms import runs_like, this_platform
from edgeadapt.recipe import EngineName, Platform
from edgeadapt.runtime.base import Engine, LoadedModel, TextByText
from edgeadapt.store.bundle import Bundle

__all__ = ["ENGINES", "engine_class", "load_engine"]


def _onnxruntime() -> type[Engine]:
    from edgeadapt.runtime.onnxruntime_engine import OnnxRuntimeEngine

    return OnnxRuntimeEngine


def _openvino() -> type[Engine]:
    from edgeadapt.runtime.openvino_engine import OpenVinoEngine

    return OpenVinoEngine


def _torch() -> type[Engine]:
    from edgeadapt.runtime.torch_engine import TorchEngine

    return TorchEngine


ENGINES: Mapping[EngineName, Callable[[], type[Engine]]] = MappingProxyType(
    {
        EngineName.ONNXRUNTIME: _onnxruntime,
        EngineName.OPENVINO: _openvino,
        EngineName.TORCH: _torch,
    }
)
"""Engine -> function that imports its library and returns the class."""


def engine_class(bundle: Bundle, variant: str, engine: str | None = None) -> type[Engine]:
    """Imports an engine and returns its class: by default the one in the manifest.

    Raises:
        UsageError: There is no such variant.
        LayoutError: The manifest names an unknown engine.
        MissingExtraError: The engine's library is not installed.
    """
    name = engine or bundle.variant(variant).engine
    if name not in list(EngineName):
        raise LayoutError(
            f"{bundle.path}: unknown engine {name!r} for the variant {variant!r}: expected one of "
            f"{', '.join(EngineName)}.",
            hint="If the bundle was written by a newer edgeadapt, upgrade this one.",
        )
    return ENGINES[EngineName(name)]()


def load_engine(
    bundle: Bundle, variant: str, *, threads: int | None = None, engine: str | None = None
) -> LoadedModel:
    """Loads a variant on an engine: by default the one in the manifest.

    A variant whose logits depend on the batch is run text by text. Warns if a quantized variant may
    compute other logits on this CPU than where it was validated.

    Raises:
        UsageError: There is no such variant.
        IntegrityError: A file does not match its hash.
        LayoutError: The manifest names an unknown engine.
        MissingExtraError: The engine's library is not installed.
    """
    chosen = bundle.variant(variant)
    made_for = chosen.platform
    if made_for and not runs_like(Platform(made_for), this_platform()):
        warnings.warn(
            f"{terminal(f'{bundle.name}:{variant}')} was quantized for {made_for}, and this CPU is "
            f"{this_platform()}: its 8-bit products can overflow here and give other labels. "
            "Export it with --target portable.",
            stacklevel=2,
        )
    model = engine_class(bundle, variant, engine).load(bundle, variant, threads=threads)
    return model if chosen.is_batchable else TextByText(model)
