"""Give each layer of a weight-sharing backbone its own copy, for adapters that differ per layer.

ALBERT (Lan et al. 2020, arXiv 1909.11942) runs one group of layers many times. The same class holds
one set of weights per layer if the number of groups equals the number of layers. The logits stay
the same; the size is multiplied.
"""

from transformers import PreTrainedModel

from edgeadapt.backbones import BackboneSpec
from edgeadapt.errors import ModelError

__all__ = ["unshare"]


def unshare(model: PreTrainedModel, spec: BackboneSpec) -> PreTrainedModel:
    """Returns a stock model in which every layer has its own copy of its weights.

    Raises:
        ModelError: A group holds more than one layer.
    """
    assert spec.groups_key is not None
    config = model.config
    if config.inner_group_num != 1:
        raise ModelError(
            f"Groups of {config.inner_group_num} layers cannot be separated: expected "
            "inner_group_num = 1 in config.json.",
            hint="Use --method bitfit, head or full, which leave layers shared.",
        )
    depth, groups = getattr(config, spec.depth_key), getattr(config, spec.groups_key)
    if groups == depth:
        return model
    wider = type(config).from_dict(config.to_dict() | {spec.groups_key: depth})
    unshared = type(model)(wider)
    state = model.state_dict()
    prefix = f"{spec.layers}."
    copied = {name: tensor for name, tensor in state.items() if not name.startswith(prefix)}
    for layer in range(depth):
        used = f"{prefix}{layer * groups // depth}."
        for name, tensor in state.items():
            if name.startswith(used):
                copied[f"{prefix}{layer}.{name.removeprefix(used)}"] = tensor.clone()
    unshared.load_state_dict(copied, strict=True, assign=True)
    return unshared.to(model.dtype).train(model.training)
