"""Every row of the table, held against the Hugging Face model it describes."""

import inspect
from dataclasses import FrozenInstanceError

import pytest
import torch
from torch import nn
from transformers import AutoConfig, AutoModelForSequenceClassification, PreTrainedModel

from edgeadapt.backbones import BACKBONES, BackboneSpec, backbone_spec
from edgeadapt.errors import ModelError
from tests.conftest import TINY_CONFIGS

every_backbone = pytest.mark.parametrize("spec", BACKBONES.values(), ids=list(BACKBONES))


def tiny(spec: BackboneSpec) -> PreTrainedModel:
    """A tiny random classifier with the padding id that real checkpoints have."""
    pad = {"pad_token_id": 1 if spec.model_type == "roberta" else 0}
    shape = TINY_CONFIGS[spec.model_type] | pad
    config = AutoConfig.for_model(spec.model_type, vocab_size=50, num_labels=2, **shape)
    return AutoModelForSequenceClassification.from_config(config).eval()


def logits_of(model: PreTrainedModel, length: int) -> torch.Tensor:
    with torch.inference_mode():
        return model(input_ids=torch.full((1, length), 7)).logits


def test_the_supported_model_types_are_pinned() -> None:
    assert sorted(BACKBONES) == ["bert", "distilbert", "electra", "roberta"]


def test_a_row_is_filed_under_its_own_model_type() -> None:
    assert {name: spec.model_type for name, spec in BACKBONES.items()} == {
        name: name for name in BACKBONES
    }


@every_backbone
def test_a_model_type_gives_its_row(spec: BackboneSpec) -> None:
    assert backbone_spec(spec.model_type) is spec


@pytest.mark.parametrize("model_type", ["gpt2", "BERT", "bert-base-uncased", "", None])
def test_an_unknown_model_type_is_refused_with_the_known_ones(model_type: str | None) -> None:
    with pytest.raises(ModelError) as caught:
        backbone_spec(model_type)

    assert repr(model_type) in str(caught.value)
    assert "bert, roberta, electra, distilbert" in str(caught.value)


def test_the_table_cannot_be_changed_by_accident() -> None:
    with pytest.raises(TypeError):
        BACKBONES["gpt2"] = BACKBONES["bert"]  # type: ignore[index]


def test_a_row_cannot_be_changed_by_accident() -> None:
    with pytest.raises(FrozenInstanceError):
        BACKBONES["bert"].encoder = "other"  # type: ignore[misc]


@every_backbone
def test_the_layer_list_has_all_layers(spec: BackboneSpec) -> None:
    layers = tiny(spec).get_submodule(spec.layers)

    assert isinstance(layers, nn.ModuleList)
    assert len(layers) == 2


@every_backbone
def test_each_layer_has_its_dense_layers_under_the_given_names(spec: BackboneSpec) -> None:
    for layer in tiny(spec).get_submodule(spec.layers):
        shapes = {
            name: layer.get_submodule(name).weight.shape
            for name in (spec.attention_output, spec.ffn_in, spec.ffn_out)
        }

        assert shapes == {
            spec.attention_output: (16, 16),
            spec.ffn_in: (24, 16),
            spec.ffn_out: (16, 24),
        }


@every_backbone
def test_the_config_keys_are_the_models(spec: BackboneSpec) -> None:
    config = tiny(spec).config

    assert getattr(config, spec.intermediate_key) == 24
    assert getattr(config, spec.activation_key) == "gelu"


@every_backbone
def test_every_weight_is_the_encoders_or_the_heads(spec: BackboneSpec) -> None:
    model = tiny(spec)
    prefixes = tuple(f"{name}." for name in (spec.encoder, *spec.head))

    stray = [name for name, _ in model.named_parameters() if not name.startswith(prefixes)]

    assert stray == []


@every_backbone
def test_every_head_module_has_weights_of_its_own(spec: BackboneSpec) -> None:
    model = tiny(spec)

    sizes = [len(list(model.get_submodule(name).parameters())) for name in spec.head]

    assert min(sizes) > 0


@every_backbone
def test_the_head_is_what_plain_transformers_initializes_anew(spec: BackboneSpec) -> None:
    model = tiny(spec)
    pooler = {name for name, _ in model.named_modules() if name.endswith(".pooler")}

    outside = {name for name, _ in model.named_children()} - {spec.encoder}
    with_weights = {n for n in outside if any(True for _ in model.get_submodule(n).parameters())}

    assert set(spec.head) == with_weights | pooler


@every_backbone
def test_segment_ids_are_given_only_to_models_that_take_them(spec: BackboneSpec) -> None:
    taken = "token_type_ids" in inspect.signature(tiny(spec).forward).parameters

    assert taken or not spec.token_type_ids


@every_backbone
def test_the_longest_text_is_the_position_table_less_the_offset(spec: BackboneSpec) -> None:
    model = tiny(spec)
    longest = model.config.max_position_embeddings - spec.position_offset

    assert logits_of(model, longest).shape == (1, 2)
    with pytest.raises((IndexError, RuntimeError)):
        logits_of(model, longest + 1)
