"""Tiny classifiers in memory and on disk, for the tests of adapters, models and training."""

import copy
from functools import cache
from pathlib import Path

import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForSequenceClassification, PreTrainedModel

from edgeadapt.adapters import Encoder, make_adapters
from edgeadapt.backbones import backbone_spec
from edgeadapt.config import AdapterConfig, ModelConfig
from edgeadapt.models.classifier import AdaptedClassifier
from edgeadapt.models.sources import ModelSource, find_model
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
    """Attaches adapters to a model in memory; the up-projections are what they are at step 0."""
    encoder = Encoder.of(model, backbone_spec(model.config.model_type))
    adapters = dict(zip(map(str, config.kinds), make_adapters(config), strict=True))
    for adapter in adapters.values():
        adapter.attach(encoder)
    model.eval()
    return AdaptedClassifier(encoder, adapters)


def randomize(classifier: AdaptedClassifier, *, seed: int = 0) -> None:
    """Gives every parameter of the adapters a random value, the up-projections too."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in classifier.adapter_parameters().values():
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))


@torch.no_grad()
def logits(model: PreTrainedModel) -> Tensor:
    """Logits of shape ``(4, labels)`` for a fixed batch with padding."""
    lengths = torch.tensor([7, 4, 9, 1])
    mask = (torch.arange(9) < lengths[:, None]).long()
    ids = torch.randint(5, 90, mask.shape, generator=torch.Generator().manual_seed(0)) * mask
    result: Tensor = model(input_ids=ids, attention_mask=mask).logits
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
