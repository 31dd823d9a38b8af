"""``[adapter]``: what is trained, and its shape."""

from dataclasses import dataclass

from edgeadapt.recipe.kinds import AdapterKind, Placement, Target

__all__ = ["AdapterConfig"]


@dataclass(frozen=True)
class AdapterConfig:
    """What is trained, and its shape."""

    start: str | None = None
    """A run, or the folder of an AdapterHub or PEFT adapter, whose weights training starts from;
    what is trained and its shape are then that adapter's."""
    method: str = "parallel+bitfit"
    """One kind of ``AdapterKind`` or several joined by ``+``. These two fold wholly into the
    backbone, so that they cost nothing there."""
    dimension: int = 64
    """Width of a bottleneck, in neurons."""
    reduction_factor: float | None = None
    """Hidden size over the width of a bottleneck; where given, it takes the place of
    ``dimension``."""
    activation: str | None = None
    """Non-linearity of a bottleneck; the backbone's own where none is given."""
    scaling: float = 1.0
    """Factor on the output of a bottleneck or LoRA. AdamW's steps do not see it, so that it acts
    like a factor on the learning rate of the up-projection: at 4 (He et al. 2022) halve the
    rate."""
    learn_scaling: bool = False
    """Train that factor, one per bottleneck, from ``scaling`` on."""
    placement: Placement | None = None
    """Sublayers that get a bottleneck; the kind's own where none is given."""
    layers: str | None = None
    """Transformer layers that get adapters, counted from 0, such as ``6-11`` or ``0,2-4``; all of
    them where none is given."""
    dropout: float = 0.0
    """Probability of dropping a bottleneck's output or LoRA's input neuron while training."""
    rank: int = 8
    """Rank of LoRA's products."""
    targets: str = "query+value"
    """Dense layers that LoRA is put on, joined by ``+``: see ``Target``."""
    original_ln_before: bool = False
    """Bottlenecks after a sublayer read the LayerNorm of its residual sum, not its output: the
    form of AdapterHub's ``seq_bn``."""

    @property
    def kinds(self) -> tuple[AdapterKind, ...]:
        """The kinds that ``method`` names, in its order."""
        return tuple(AdapterKind(part) for part in self.method.split("+"))

    @property
    def lora_targets(self) -> tuple[Target, ...]:
        """The dense layers that ``targets`` names, in its order."""
        return tuple(Target(part) for part in self.targets.split("+"))
