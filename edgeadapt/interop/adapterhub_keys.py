"""AdapterHub's names of a bottleneck's tensors, and its places in each backbone."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import torch
from torch import Tensor

from edgeadapt.adapters.houlsby import Houlsby
from edgeadapt.adapters.sequential import Sequential
from edgeadapt.backbones import BackboneSpec
from edgeadapt.errors import ModelError
from edgeadapt.interop.files import refused
from edgeadapt.interop.layers import (
    bottleneck_width,
    hidden_size,
    layer_numbers,
    stored_layers,
)
from edgeadapt.recipe import AdapterConfig, AdapterKind, Placement

__all__ = ["Entry", "Layout", "entries", "in_todays_words", "layout_of", "named", "placement_of"]


@dataclass(frozen=True)
class Layout:
    """The places of AdapterHub's modules in a backbone; names are relative to a layer."""

    attention: str
    ffn: str
    model_class: str
    """The library's class with flexible heads."""
    swapped: bool = False
    """Whether the library swaps the attention's input and output for this backbone."""


_BERT = Layout("attention.output", "output", "BertAdapterModel")

_LAYOUTS: Mapping[str, Layout] = MappingProxyType(
    {
        "bert": _BERT,
        "roberta": Layout(_BERT.attention, _BERT.ffn, "RobertaAdapterModel"),
        "xlm-roberta": Layout(_BERT.attention, _BERT.ffn, "XLMRobertaAdapterModel"),
        "electra": Layout(_BERT.attention, _BERT.ffn, "ElectraAdapterModel"),
        "deberta-v2": Layout(_BERT.attention, _BERT.ffn, "DebertaV2AdapterModel"),
        "distilbert": Layout("attention_adapters", "output_adapters", "DistilBertAdapterModel"),
        "albert": Layout(
            "albert_layers.0.attention.attention_adapters",
            "albert_layers.0.output_adapters",
            "AlbertAdapterModel",
            swapped=True,
        ),
    }
)
"""ModernBERT is not supported: adapters 1.3 adds a random bias to its Wqkv and does not save it, so
that no other program can reproduce the logits."""

_LEGACY = MappingProxyType(
    {
        f".{place}_text_{use}_adapters.": ".adapters."
        for place in ("attention", "layer")
        for use in ("task", "lang")
    }
)
"""Part of a key in files of version 1 -> the part in newer files."""

_PARAMETERS = MappingProxyType(
    {
        "down.weight": "adapter_down.0.weight",
        "down.bias": "adapter_down.0.bias",
        "up.weight": "adapter_up.weight",
        "up.bias": "adapter_up.bias",
        "scaling": "scaling",
    }
)
"""edgeadapt's name of a parameter -> AdapterHub's."""

_PLACEMENTS: Mapping[str, Placement] = MappingProxyType(
    {
        AdapterKind.SEQUENTIAL: Sequential.placement,
        AdapterKind.HOULSBY: Houlsby.placement,
        AdapterKind.PARALLEL: Placement.FFN,
    }
)
"""Kind -> its default placement."""


def placement_of(adapter: AdapterConfig, *, where: Path) -> Placement:
    """Returns the sublayers that have a bottleneck.

    Raises:
        ModelError: AdapterHub's format does not support the method.
    """
    if adapter.method not in _PLACEMENTS:
        raise refused(
            where,
            f"the method {adapter.method}",
            supported=f"in AdapterHub's format {', '.join(map(str, _PLACEMENTS))}",
            hint="LoRA can be written in PEFT's format.",
        )
    return adapter.placement or _PLACEMENTS[adapter.method]


def layout_of(spec: BackboneSpec, folder: Path) -> Layout:
    """Returns the places of AdapterHub's modules in a backbone.

    Raises:
        ModelError: AdapterHub's format does not support this backbone.
    """
    if spec.model_type not in _LAYOUTS:
        raise refused(
            folder,
            f"the model type {spec.model_type}",
            supported=f"in AdapterHub's format {', '.join(_LAYOUTS)}",
            hint="For other backbones use LoRA in PEFT's format.",
        )
    return _LAYOUTS[spec.model_type]


def check_reading(adapter: AdapterConfig, layout: Layout, *, where: Path) -> None:
    """Checks that bottlenecks after the attention have the same input in both libraries.

    With ``original_ln_before`` the attention's input and output are summed, so that swapping them
    has no effect.

    Raises:
        ModelError: In AdapterHub the bottlenecks read the attention's input.
    """
    placement = placement_of(adapter, where=where)
    if layout.swapped and "attention" in placement.sublayers and not adapter.original_ln_before:
        raise refused(
            where,
            "mh_adapter without original_ln_before on ALBERT, where the library's bottleneck reads "
            "the attention's input instead of its output",
            supported="mh_adapter = false, or original_ln_before = true",
        )


@dataclass(frozen=True)
class Entry:
    """One tensor, with its names in edgeadapt and AdapterHub."""

    name: str
    """edgeadapt's name."""
    shape: tuple[int, ...]
    """edgeadapt's shape."""
    module: str
    """AdapterHub's name of the module, without the encoder's prefix."""
    parameter: str
    """AdapterHub's name of the parameter in the module."""

    @property
    def foreign_shape(self) -> tuple[int, ...]:
        """AdapterHub's shape: a scalar, such as a learned scaling, has the shape (1,) there."""
        return self.shape or (1,)

    def key(self, adapter_name: str) -> str:
        """Returns AdapterHub's name, without the encoder's prefix."""
        return f"{self.module}.adapters.{adapter_name}.{self.parameter}"


def entries(
    adapter: AdapterConfig, layout: Layout, *, spec: BackboneSpec, config: Mapping[str, object]
) -> Iterator[Entry]:
    """Lists the tensors of an attached adapter, layer by layer."""
    hidden, stored = hidden_size(config), stored_layers(spec, config)
    width = bottleneck_width(adapter, hidden)
    shapes: dict[str, tuple[int, ...]] = {
        "down.weight": (width, hidden),
        "down.bias": (width,),
        "up.weight": (hidden, width),
        "up.bias": (hidden,),
    }
    if adapter.learn_scaling:
        shapes["scaling"] = ()
    placement = adapter.placement or _PLACEMENTS[adapter.method]
    layers = spec.layers.removeprefix(f"{spec.encoder}.")
    for layer in layer_numbers(adapter.layers, len(stored)):
        for sublayer in placement.sublayers:
            site = layout.attention if sublayer == "attention" else layout.ffn
            for parameter, shape in shapes.items():
                yield Entry(
                    name=f"{adapter.method}.layers.{layer}.{sublayer}.{parameter}",
                    shape=shape,
                    module=f"{layers}.{stored[layer]}.{site}",
                    parameter=_PARAMETERS[parameter],
                )


def in_todays_words(
    found: Mapping[str, Tensor], spec: BackboneSpec, path: Path
) -> dict[str, Tensor]:
    """Returns tensors by their current names, without the encoder's prefix.

    Files saved from a bare encoder have no prefix, and files of version 1 have other names.

    Raises:
        ModelError: Two tensors have the same current name.
    """
    renamed = {}
    for key, tensor in found.items():
        short = key.removeprefix(f"{spec.encoder}.")
        for old, new in _LEGACY.items():
            short = short.replace(old, new)
        short = short.replace("invertible_lang_adapters.", "invertible_adapters.")
        if short in renamed:
            raise ModelError(
                f"{path}: {key}: expected one tensor for {short}, found two.",
                hint="Save the adapter again.",
            )
        renamed[short] = tensor
    return renamed


def named(
    entries: Iterable[Entry], tensors: Mapping[str, Tensor], *, name: str, spec: BackboneSpec
) -> dict[str, Tensor]:
    """Returns the tensors by AdapterHub's names.

    Raises:
        ModelError: Layers that share their weights have different adapters.
    """
    written: dict[str, Tensor] = {}
    for entry in entries:
        key, tensor = f"{spec.encoder}.{entry.key(name)}", tensors[entry.name]
        if key in written and not torch.equal(written[key], tensor.reshape(entry.foreign_shape)):
            raise refused(
                "The adapter",
                f"different adapters for layers of {spec.model_type} that share their weights",
                supported="in this format one adapter for all layers of a group",
            )
        written[key] = tensor.reshape(entry.foreign_shape)
    return written
