"""A tiny backbone with adapters, and the logits of edgeadapt and of the other library."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from edgeadapt.backbones import backbone_spec
from edgeadapt.interop import ForeignAdapter, Identity
from edgeadapt.models.classifier import AdaptedClassifier
from edgeadapt.models.unshare import unshare
from edgeadapt.recipe import AdapterConfig, Task
from tests.models.tiny import adapt, logits, make_model, randomize

LABELS = ("negative", "positive")
IDENTITY = Identity(
    labels=LABELS,
    task=Task.SINGLE_LABEL,
    pairs=False,
    tokenizer_sha256="7" * 64,
    backbone_sha256="b" * 64,
    backbone_config_sha256="c" * 64,
    backbone_layers=2,
    base_model="tiny/bert",
)


def at_hand(model: PreTrainedModel) -> dict[str, Any]:
    """The keyword arguments that say which backbone is at hand."""
    config = model.config.to_dict()
    return {"spec": backbone_spec(config["model_type"]), "config": config}


def attached(model: PreTrainedModel, config: AdapterConfig) -> AdaptedClassifier:
    """Attaches adapters as the pipeline does: layers that share weights are told apart."""
    spec = backbone_spec(model.config.model_type)
    return adapt(unshare(model, spec) if spec.groups_key else model, config)


def answers(model: PreTrainedModel, adapter: ForeignAdapter) -> Tensor:
    """Logits of a backbone with the adapter and its head in edgeadapt's form."""
    classifier = attached(model, adapter.config)
    adapter.copy_to(classifier.adapter_parameters(), classifier.backbone.head)
    return logits(classifier.model)


def random_adapter(
    model_type: str, config: AdapterConfig, *, head: bool = True, same: bool = False, **more: Any
) -> tuple[ForeignAdapter, Tensor]:
    """An adapter of random numbers, as edgeadapt would train it, and its logits.

    Args:
        model_type: Of the backbone.
        config: What to attach.
        head: Give it a random head too.
        same: Give all layers the same numbers.
        more: Further fields of the adapter.
    """
    classifier = attached(make_model(model_type), config)
    randomize(classifier)
    tensors = {name: p.detach().clone() for name, p in classifier.adapter_parameters().items()}
    if same:
        first = {name.split(".", 3)[3]: tensor for name, tensor in reversed(tensors.items())}
        tensors = {name: first[name.split(".", 3)[3]] for name in tensors}
    adapter = ForeignAdapter(
        config=config,
        tensors=tensors,
        head=random_like(classifier.backbone.head) if head else {},
        labels=LABELS if head else None,
        **more,
    )
    return adapter, answers(make_model(model_type), adapter)


def random_like(parameters: Mapping[str, nn.Parameter]) -> dict[str, Tensor]:
    """Random tensors of the same names and shapes."""
    generator = torch.Generator().manual_seed(5)
    return {name: torch.randn(p.shape, generator=generator) for name, p in parameters.items()}


@torch.no_grad()
def shake(model: nn.Module, *parts: str) -> None:
    """Makes the parameters with one of the parts in their names random."""
    generator = torch.Generator().manual_seed(3)
    for name, parameter in model.named_parameters():
        if any(part in name for part in parts):
            parameter.copy_(0.5 * torch.randn(parameter.shape, generator=generator))


def edit(path: Path, **changes: Any) -> None:
    """Changes values of a JSON file; a value of ... takes the key away."""
    values = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({key: v for key, v in values.items() if v is not ...}))


def edit_options(path: Path, **changes: Any) -> None:
    """The same with what is under ``config``."""
    options = json.loads(path.read_text())["config"] | changes
    edit(path, config={key: value for key, value in options.items() if value is not ...})


def same_adapters(one: ForeignAdapter, other: ForeignAdapter) -> bool:
    """Whether every field and every bit is the same."""
    tensors = [{**each.tensors, **each.head} for each in (one, other)]
    fields = [replace(each, tensors={}, head={}) for each in (one, other)]
    return (
        fields[0] == fields[1]
        and one.head.keys() == other.head.keys()
        and tensors[0].keys() == tensors[1].keys()
        and all(torch.equal(tensor, tensors[1][name]) for name, tensor in tensors[0].items())
    )
