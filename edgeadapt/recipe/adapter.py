"""``[adapter]``: what is trained, and its shape."""

import re
import sys
from dataclasses import dataclass

from edgeadapt.recipe.fields import FRACTION, Joined, Range, above, at_least, option, setting
from edgeadapt.recipe.kinds import AdapterKind, LoraTarget, Placement

__all__ = ["AdapterConfig"]

_NUMBER = rf"\d{{1,{sys.int_info.default_max_str_digits}}}"  # longer ones Python does not convert
_LAYERS = re.compile(rf"{_NUMBER}(-{_NUMBER})?(,{_NUMBER}(-{_NUMBER})?)*", re.ASCII)


def _are_layers(listed: str) -> bool:
    return _LAYERS.fullmatch(listed) is not None


@dataclass(frozen=True)
class AdapterConfig:
    """What is trained, and its shape."""

    start: str | None = option(
        None,
        "Start from this run's adapter, or AdapterHub's or PEFT's; its shape counts.",
        flag="--adapter",
        metavar="RUN|DIR",
    )
    method: str = option(
        "parallel+bitfit",
        f"What is trained: {', '.join(AdapterKind)}.",
        details="Several are joined by `+`. The two of the default fold wholly into the backbone, "
        "so that they cost nothing there.",
        rule=Joined(AdapterKind, "method"),
        metavar="KIND[+KIND]",
    )
    dimension: int = option(
        64, "Bottleneck width in neurons; {default}.", rule=at_least(1), metavar="N"
    )
    reduction_factor: float | None = option(
        None,
        "Hidden size over bottleneck width, in place of --dimension.",
        rule=above(0),
        metavar="X",
    )
    activation: str | None = option(
        None, "Bottleneck non-linearity; the backbone's own if left out.", metavar="NAME"
    )
    scaling: float = option(
        1.0,
        "Factor on a bottleneck's or LoRA's output.",
        details="AdamW's steps do not see it, so that it acts like a factor on the learning rate "
        "of the up-projection: at 4 (He et al. 2022) halve the rate.",
        metavar="X",
    )
    learn_scaling: bool = option(
        False, "Train each bottleneck's factor.", details="It starts from `scaling`."
    )
    placement: Placement | None = option(
        None,
        f"Sublayers with bottlenecks: {', '.join(Placement)}; the method's own if left out.",
        metavar="NAME",
    )
    layers: str | None = option(
        None,
        "Layers with adapters, from 0, such as 6-11 or 0,2-4; all if left out.",
        rule=Range("numbers and ranges such as 6-11 or 0,2-4", _are_layers),
        flag="--adapter-layers",
        metavar="LIST",
    )
    dropout: float = option(
        0.0,
        "Dropout inside the adapter; {default}.",
        details="It drops a bottleneck's output or LoRA's input.",
        rule=FRACTION,
        metavar="P",
    )
    rank: int = option(8, "Rank of LoRA's products; {default}.", rule=at_least(1), metavar="N")
    targets: str = option(
        "query+value",
        f"What LoRA is put on: {', '.join(LoraTarget)}.",
        rule=Joined(LoraTarget, "target"),
        metavar="NAME[+NAME]",
    )
    original_ln_before: bool = setting(
        False,
        "Bottlenecks after a sublayer read the LayerNorm of its residual sum, not its output: the "
        "form of AdapterHub's `seq_bn`.",
    )

    @property
    def kinds(self) -> tuple[AdapterKind, ...]:
        """The kinds that ``method`` names, in its order."""
        return tuple(AdapterKind(part) for part in self.method.split("+"))

    @property
    def lora_targets(self) -> tuple[LoraTarget, ...]:
        """The dense layers that ``targets`` names, in its order."""
        return tuple(LoraTarget(part) for part in self.targets.split("+"))
