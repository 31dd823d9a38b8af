"""Adapter kinds: what is trained on a frozen backbone, and how it folds back into it."""

from collections.abc import Mapping
from types import MappingProxyType

from edgeadapt.adapters.base import Adapter, Encoder, Leftover
from edgeadapt.adapters.bitfit import BitFit
from edgeadapt.adapters.full import Full
from edgeadapt.adapters.head import Head
from edgeadapt.adapters.houlsby import Houlsby
from edgeadapt.adapters.parallel import Parallel
from edgeadapt.adapters.sequential import Sequential
from edgeadapt.config import AdapterConfig, AdapterKind

__all__ = ["ADAPTERS", "Adapter", "Encoder", "Leftover", "make_adapters"]

ADAPTERS: Mapping[AdapterKind, type[Adapter]] = MappingProxyType(
    {
        AdapterKind.PARALLEL: Parallel,
        AdapterKind.SEQUENTIAL: Sequential,
        AdapterKind.HOULSBY: Houlsby,
        AdapterKind.BITFIT: BitFit,
        AdapterKind.HEAD: Head,
        AdapterKind.FULL: Full,
    }
)


def make_adapters(config: AdapterConfig) -> list[Adapter]:
    """Makes one adapter per kind that the configured method names."""
    return [ADAPTERS[kind](config) for kind in config.kinds]
