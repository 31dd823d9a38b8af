"""Adapter kinds: parameters trained on a frozen backbone, and folding them into its weights."""

from collections.abc import Mapping
from types import MappingProxyType

from edgeadapt.adapters.base import Adapter, BackboneModel, Kept, Layer, Reads
from edgeadapt.adapters.bitfit import BitFit
from edgeadapt.adapters.compacter import Compacter
from edgeadapt.adapters.full import Full
from edgeadapt.adapters.head import Head
from edgeadapt.adapters.houlsby import Houlsby
from edgeadapt.adapters.ia3 import IA3
from edgeadapt.adapters.layernorm import LayerNorm
from edgeadapt.adapters.lora import LoRA
from edgeadapt.adapters.parallel import Parallel
from edgeadapt.adapters.sequential import Sequential
from edgeadapt.recipe import AdapterConfig, AdapterKind

__all__ = ["ADAPTERS", "Adapter", "BackboneModel", "Kept", "Layer", "Reads", "make_adapters"]

ADAPTERS: Mapping[AdapterKind, type[Adapter]] = MappingProxyType(
    {
        AdapterKind.PARALLEL: Parallel,
        AdapterKind.SEQUENTIAL: Sequential,
        AdapterKind.HOULSBY: Houlsby,
        AdapterKind.COMPACTER: Compacter,
        AdapterKind.LORA: LoRA,
        AdapterKind.IA3: IA3,
        AdapterKind.BITFIT: BitFit,
        AdapterKind.LAYERNORM: LayerNorm,
        AdapterKind.HEAD: Head,
        AdapterKind.FULL: Full,
    }
)


def make_adapters(config: AdapterConfig) -> dict[AdapterKind, Adapter]:
    """Makes one adapter for each kind in the configured method."""
    # In the order of the enum, so that a seed draws the same weights however the method is spelled.
    return {kind: ADAPTERS[kind](config) for kind in AdapterKind if kind in config.kinds}
