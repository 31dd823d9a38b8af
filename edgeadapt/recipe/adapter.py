"""``[adapter]``: the kind and shape of the adapters."""

import re
import sys
from dataclasses import dataclass

from edgeadapt.recipe.fields import FRACTION, Joined, Range, above, at_least, option, setting
from edgeadapt.recipe.kinds import AdapterKind, LoraTarget, Placement

__all__ = ["AdapterConfig"]

_NUMBER = rf"\d{{1,{sys.int_info.default_max_str_digits}}}"  # Python refuses to convert longer ones
_LAYERS = re.compile(rf"{_NUMBER}(-{_NUMBER})?(,{_NUMBER}(-{_NUMBER})?)*", re.ASCII)


def _are_layers(listed: str) -> bool:
    return _LAYERS.fullmatch(listed) is not None


@dataclass(frozen=True)
class AdapterConfig:
    """The kind and shape of the adapters."""

    start: str | None = option(
        None,
        "Start from the adapter of a run, of AdapterHub or of PEFT; its shape is used.",
        flag="--adapter",
        metavar="RUN|DIR",
    )
    method: str = option(
        "parallel+bitfit",
        f"What is trained: {', '.join(AdapterKind)}.",
        details="Join several kinds by `+`. Both kinds of the default fold completely into the "
        "backbone, so they cost nothing at inference.",
        rule=Joined(AdapterKind, "method"),
        metavar="KIND[+KIND]",
    )
    dimension: int = option(
        64, "Bottleneck width in neurons (default: {default}).", rule=at_least(1), metavar="N"
    )
    reduction_factor: float | None = option(
        None,
        "Hidden size divided by bottleneck width; replaces --dimension.",
        rule=above(0),
        metavar="X",
    )
    activation: str | None = option(
        None, "Bottleneck non-linearity (default: that of the backbone).", metavar="NAME"
    )
    scaling: float = option(
        1.0,
        "Factor on the output of a bottleneck or of LoRA.",
        details="AdamW normalizes gradients, so the factor acts like one on the learning rate of "
        "the up-projection: with 4 (He et al. 2022), halve the learning rate.",
        metavar="X",
    )
    learn_scaling: bool = option(
        False, "Train the factor of each bottleneck.", details="Its initial value is `scaling`."
    )
    placement: Placement | None = option(
        None,
        f"Sublayers with bottlenecks: {', '.join(Placement)} (default: depends on --method).",
        metavar="NAME",
    )
    layers: str | None = option(
        None,
        "Layers with adapters, counted from 0, such as 6-11 or 0,2-4 (default: all).",
        rule=Range("numbers and ranges such as 6-11 or 0,2-4", _are_layers),
        flag="--adapter-layers",
        metavar="LIST",
    )
    dropout: float = option(
        0.0,
        "Dropout inside the adapter (default: {default}).",
        details="It applies to the output of a bottleneck or the input of LoRA.",
        rule=FRACTION,
        metavar="P",
    )
    rank: int = option(8, "Rank of LoRA (default: {default}).", rule=at_least(1), metavar="N")
    targets: str = option(
        "query+value",
        f"Dense layers with LoRA: {', '.join(LoraTarget)}.",
        rule=Joined(LoraTarget, "target"),
        metavar="NAME[+NAME]",
    )
    original_ln_before: bool = setting(
        False,
        "Bottlenecks after a sublayer take the LayerNorm of its residual sum as input, not its "
        "output, as AdapterHub's `seq_bn` does.",
    )

    @property
    def kinds(self) -> tuple[AdapterKind, ...]:
        """The kinds in ``method``, in order."""
        return tuple(AdapterKind(part) for part in self.method.split("+"))

    @property
    def lora_targets(self) -> tuple[LoraTarget, ...]:
        """The dense layers in ``targets``, in order."""
        return tuple(LoraTarget(part) for part in self.targets.split("+"))
