"""Tiny classifiers in memory and on disk, for the tests of adapters, models and training."""

import copy
from functools import cache
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForSequenceClassification, PreTrainedModel

from edgeadapt.adapters import BackboneModel, make_adapters
from edgeadapt.backbones import backbone_spec
from edgeadapt.models.classifier import AdaptedClassifier
from edgeadapt.models.sources import ModelSource, find_model
from edgeadapt.models.unshare import unshare
from edgeadapt.recipe import AdapterConfig, ModelConfig
from tests.conftest import TINY_CONFIGS, make_checkpoint, make_tokenizer

LABELS = ("negative", "positive")
HIDDEN, INTERMEDIATE, LAYERS = 16, 24, 2
"""Widths and depth of every model in ``TINY_CONFIGS``."""


def make_sources(folder: Path) -> dict[str, ModelSource]:
    """Saves one tiny checkpoint per backbone; model type -> where it is."""
    return {
        model_type: find_model(
            ModelConfig(id=str(make_checkpoint(folder / model_type, model_type)))
        )
        for model_type in TINY_CONFIGS
    }


def make_model(model_type: str, **config: object) -> PreTrainedModel:
    """A classifier in evaluation mode with weights so large that every layer moves the logits."""
    return copy.deepcopy(_model(model_type, tuple(config.items())))


def adapt(model: PreTrainedModel, config: AdapterConfig) -> AdaptedClassifier:
    """Attaches adapters to a model in memory, as ``AdaptedClassifier.build`` does to a loaded one.

    Where layers that share weights have to be told apart, the model is a new one.
    """
    spec, before = backbone_spec(model.config.model_type), model.num_parameters()
    adapters = make_adapters(config)
    if spec.groups_key and any(adapter.per_layer for adapter in adapters.values()):
        model = unshare(model, spec)
    unshared = model.num_parameters() - before
    backbone = BackboneModel.of(model, spec)
    for adapter in adapters.values():
        adapter.attach(backbone)
    model.eval()
    by_kind = {str(kind): adapter for kind, adapter in adapters.items()}
    return AdaptedClassifier(backbone, by_kind, unshared_parameters=unshared)


def randomize(classifier: AdaptedClassifier, *, seed: int = 0) -> None:
    """Gives every parameter of the adapters a random value, the up-projections too."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in classifier.adapter_parameters().values():
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))


def randomized(model_type: str, config: AdapterConfig, *, seed: int = 0) -> AdaptedClassifier:
    """A backbone in float64 with adapters that hold random values."""
    classifier = adapt(make_model(model_type).double(), config)
    randomize(classifier, seed=seed)
    return classifier


def place(classifier: AdaptedClassifier, name: str, layer: int = 0) -> nn.Module:
    """What is at a dotted name of a transformer layer."""
    return classifier.backbone.layers()[layer].module.get_submodule(name)


def batch() -> dict[str, Tensor]:
    """Four texts of different lengths, padded: ids and mask of shape ``(4, 9)``."""
    lengths = torch.tensor([7, 4, 9, 1])
    mask = (torch.arange(9) < lengths[:, None]).long()
    ids = torch.randint(5, 90, mask.shape, generator=torch.Generator().manual_seed(0)) * mask
    return {"input_ids": ids, "attention_mask": mask}


@torch.no_grad()
def logits(model: nn.Module) -> Tensor:
    """Logits of shape ``(4, labels)`` for the batch."""
    result: Tensor = model(**batch()).logits
    return result


@cache
def _model(model_type: str, config: tuple[tuple[str, object], ...]) -> PreTrainedModel:
    vocabulary = make_tokenizer().get_vocab_size()
    values = {"vocab_size": vocabulary, **TINY_CONFIGS[model_type], **dict(config)}
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        model = AutoModelForSequenceClassification.from_config(
            AutoConfig.for_model(model_type, **values)
        )
        for parameter in model.parameters():
            noise = 0.3 * torch.randn_like(parameter)
            # LayerNorm's weights stay around 1.
            parameter.copy_(noise if parameter.ndim > 1 else parameter + noise)
    return model.eval()
