"""Each row of the table of backbones, compared with the Hugging Face model that it describes."""

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import FrozenInstanceError

import pytest
import torch
from torch import nn
from transformers import AutoConfig, AutoModelForSequenceClassification, PreTrainedModel

from edgeadapt.backbones import BACKBONES, BackboneSpec, Projection, backbone_spec
from edgeadapt.errors import ModelError
from tests.conftest import TINY_CONFIGS

SUPPORTED = [
    "bert",
    "roberta",
    "xlm-roberta",
    "electra",
    "distilbert",
    "mpnet",
    "albert",
    "deberta-v2",
    "modernbert",
]

every_backbone = pytest.mark.parametrize("spec", BACKBONES.values(), ids=list(BACKBONES))


def tiny(spec: BackboneSpec, **changes: object) -> PreTrainedModel:
    """A tiny random classifier with the padding id that real checkpoints have."""
    pad = {"pad_token_id": 1 if spec.position_offset else 0}
    shape = TINY_CONFIGS[spec.model_type] | pad | changes
    config = AutoConfig.for_model(spec.model_type, vocab_size=50, num_labels=2, **shape)
    return AutoModelForSequenceClassification.from_config(config).eval()


def one_layer(spec: BackboneSpec) -> PreTrainedModel:
    """One layer, whose weights are so large that each of its parts moves the logits."""
    torch.manual_seed(0)
    model = tiny(spec, **{spec.depth_key: 1})
    with torch.no_grad():
        for parameter in model.parameters():
            noise = 0.5 * torch.randn_like(parameter)
            parameter.copy_(noise if parameter.ndim > 1 else parameter + noise)
    return model


def layers_of(model: PreTrainedModel, spec: BackboneSpec) -> list[nn.Module]:
    return list(model.get_submodule(spec.layers).children())


IDS = torch.tensor([[2, 10, 11, 12, 13, 14, 3]])


def answer(model: PreTrainedModel) -> torch.Tensor:
    with torch.inference_mode():
        return model(input_ids=IDS, attention_mask=torch.ones_like(IDS)).logits


@contextmanager
def changed(
    model: PreTrainedModel,
    spec: BackboneSpec,
    projection: Projection,
    change: Callable[[torch.Tensor], torch.Tensor],
) -> Iterator[None]:
    """Changes what a projection of the only layer says of the tokens."""
    (layer,) = layers_of(model, spec)

    def edit(_: object, __: object, output: torch.Tensor) -> torch.Tensor | None:
        if output.shape[-2] != IDS.shape[1]:
            return None  # DeBERTa sends relative positions through query and key too
        output = output.clone()
        rows = projection.rows(output.shape[-1])
        output[..., rows] = change(output[..., rows])
        return output

    hook = layer.get_submodule(projection.dense).register_forward_hook(edit)
    try:
        yield
    finally:
        hook.remove()


def later_tokens(values: torch.Tensor) -> torch.Tensor:
    """Changes every token but the first."""
    values = values.clone()
    generator = torch.Generator().manual_seed(0)
    values[..., 1:, :] += 2 * torch.randn(values[..., 1:, :].shape, generator=generator)
    return values


def logits_of(model: PreTrainedModel, length: int) -> torch.Tensor:
    with torch.inference_mode():
        return model(input_ids=torch.full((1, length), 7)).logits


def test_the_supported_model_types_are_pinned() -> None:
    assert list(BACKBONES) == SUPPORTED
    assert set(TINY_CONFIGS) == set(SUPPORTED)


def test_a_row_is_filed_under_its_own_model_type() -> None:
    assert {name: spec.model_type for name, spec in BACKBONES.items()} == {
        name: name for name in BACKBONES
    }


@every_backbone
def test_a_model_type_gives_its_row(spec: BackboneSpec) -> None:
    assert backbone_spec(spec.model_type) is spec


@pytest.mark.parametrize("model_type", ["gpt2", "deberta", "BERT", "bert-base-uncased", "", None])
def test_an_unknown_model_type_is_refused_with_the_known_ones(model_type: str | None) -> None:
    with pytest.raises(ModelError) as caught:
        backbone_spec(model_type)

    assert repr(model_type) in str(caught.value)
    assert f"expected one of {', '.join(SUPPORTED)}." in str(caught.value)


def test_the_table_cannot_be_changed_by_accident() -> None:
    with pytest.raises(TypeError):
        BACKBONES["gpt2"] = BACKBONES["bert"]  # type: ignore[index]


def test_a_row_cannot_be_changed_by_accident() -> None:
    with pytest.raises(FrozenInstanceError):
        BACKBONES["bert"].encoder = "other"  # type: ignore[misc]


@every_backbone
def test_the_layer_list_has_all_layers(spec: BackboneSpec) -> None:
    model = tiny(spec, **{spec.depth_key: 3})

    assert isinstance(model.get_submodule(spec.layers), nn.ModuleList)
    # Where layers share their weights, there are as many as differ.
    assert len(layers_of(model, spec)) == (1 if spec.groups_key else 3)


@every_backbone
def test_each_layer_has_its_dense_layers_under_the_given_names(spec: BackboneSpec) -> None:
    gates = 2 if spec.gate_bias_key else 1

    for layer in layers_of(tiny(spec), spec):
        shapes = {
            name: layer.get_submodule(name).weight.shape
            for name in (spec.attention_output, spec.ffn_in, spec.ffn_out)
        }

        assert shapes == {
            spec.attention_output: (16, 16),
            spec.ffn_in: (gates * 24, 16),
            spec.ffn_out: (16, 24),
        }


@every_backbone
def test_query_key_and_value_do_not_overlap_and_fill_their_dense_layers(
    spec: BackboneSpec,
) -> None:
    (layer,) = layers_of(one_layer(spec), spec)
    taken: dict[str, list[int]] = {}

    for projection in (spec.query, spec.key, spec.value):
        width = layer.get_submodule(projection.dense).out_features
        taken.setdefault(projection.dense, []).extend(range(width)[projection.rows(width)])

    for dense, rows in taken.items():
        assert sorted(rows) == list(range(layer.get_submodule(dense).out_features))


@every_backbone
def test_a_query_asks_for_its_own_token_only(spec: BackboneSpec) -> None:
    """All of these models answer with the first token."""
    model = one_layer(spec)
    expected = answer(model)
    moved = {}

    for name in ("query", "key", "value"):
        with changed(model, spec, getattr(spec, name), later_tokens):
            moved[name] = float((answer(model) - expected).abs().max())

    assert moved["query"] < 1e-6
    assert min(moved["key"], moved["value"]) > 1e-3


@every_backbone
def test_scores_are_products_of_query_and_key(spec: BackboneSpec) -> None:
    model = one_layer(spec)
    with changed(model, spec, spec.query, torch.zeros_like):
        expected = answer(model)

    with (
        changed(model, spec, spec.query, torch.zeros_like),
        changed(model, spec, spec.key, torch.zeros_like),
    ):
        found = answer(model)

    # What is left of DeBERTa's scores are relative positions times the other side.
    if spec.model_type != "deberta-v2":
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    assert (found - answer(model)).abs().max() > 1e-3


@every_backbone
def test_the_attention_sums_values_up(spec: BackboneSpec) -> None:
    model = one_layer(spec)
    (layer,) = layers_of(model, spec)
    summed: list[torch.Tensor] = []
    layer.get_submodule(spec.attention_output).register_forward_pre_hook(
        lambda _, args: summed.append(args[0])
    )

    for projection in (spec.value, spec.query, spec.key):
        with changed(model, spec, projection, torch.zeros_like):
            answer(model)

    without_value, without_query, without_key = (bool(each.any()) for each in summed)
    assert (without_value, without_query, without_key) == (False, True, True)


@every_backbone
@pytest.mark.parametrize("sublayer", ["attention", "ffn"])
def test_a_sublayer_ends_with_its_dense_layer_a_residual_sum_and_a_norm(
    spec: BackboneSpec, sublayer: str
) -> None:
    model = one_layer(spec)
    (layer,) = layers_of(model, spec)
    first, last, norm = (
        (spec.value.dense, spec.attention_output, spec.attention_norm)
        if sublayer == "attention"
        else (spec.ffn_in, spec.ffn_out, spec.ffn_norm)
    )
    if norm is None:
        assert spec.attention_norm is spec.ffn_norm is None
        return
    seen: dict[str, torch.Tensor] = {}
    for name in {first, last, norm}:
        layer.get_submodule(name).register_forward_hook(
            lambda _, given, out, name=name: seen.update({f"{name} in": given[0], name: out})
        )

    answer(model)

    assert isinstance(layer.get_submodule(norm), nn.LayerNorm)
    torch.testing.assert_close(
        seen[f"{norm} in"], seen[last] + seen[f"{first} in"], rtol=0, atol=1e-6
    )


@every_backbone
def test_the_config_keys_are_the_models(spec: BackboneSpec) -> None:
    wide = tiny(spec, **{spec.intermediate_key: 28, spec.depth_key: 1})
    (layer,) = layers_of(wide, spec)

    keys = (
        *(spec.activation_key, spec.intermediate_key, spec.depth_key),
        *(key for key in (spec.gate_bias_key, spec.groups_key) if key is not None),
    )
    assert getattr(wide.config, spec.activation_key) == "gelu"
    assert layer.get_submodule(spec.ffn_out).in_features == 28
    # A key that a model does not know would be kept as a setting of its own.
    assert AutoConfig.for_model(spec.model_type).to_dict().keys() >= set(keys)


def test_only_the_gated_ffn_has_a_key_for_its_biases_and_only_shared_layers_one_for_groups() -> (
    None
):
    assert {n: s.gate_bias_key for n, s in BACKBONES.items() if s.gate_bias_key} == {
        "modernbert": "mlp_bias"
    }
    assert {n: s.groups_key for n, s in BACKBONES.items() if s.groups_key} == {
        "albert": "num_hidden_groups"
    }


@every_backbone
def test_query_key_and_value_are_as_wide_as_the_model(spec: BackboneSpec) -> None:
    (layer,) = layers_of(one_layer(spec), spec)

    for projection in (spec.query, spec.key, spec.value):
        dense = layer.get_submodule(projection.dense)
        rows = projection.rows(dense.out_features)
        assert isinstance(dense, nn.Linear)
        assert (rows.stop - rows.start, dense.in_features) == (16, 16)


@every_backbone
def test_the_activation_key_decides_what_the_ffn_computes(spec: BackboneSpec) -> None:
    model = one_layer(spec)
    other = type(model)(
        type(model.config).from_dict(model.config.to_dict() | {spec.activation_key: "relu"})
    ).eval()
    other.load_state_dict(model.state_dict())

    assert (answer(model) - answer(other)).abs().max() > 1e-4


def test_the_gated_ffn_is_f_of_the_first_half_times_the_second() -> None:
    spec = BACKBONES["modernbert"]
    model = one_layer(spec)
    (layer,) = layers_of(model, spec)
    seen: dict[str, torch.Tensor] = {}
    layer.get_submodule(spec.ffn_in).register_forward_hook(
        lambda _, __, out: seen.update(first=out)
    )
    layer.get_submodule(spec.ffn_out).register_forward_pre_hook(
        lambda _, args: seen.update(last=args[0])
    )

    answer(model)

    a, g = seen["first"].chunk(2, dim=-1)
    torch.testing.assert_close(seen["last"], nn.functional.gelu(a) * g)
    assert not layer.get_submodule(spec.ffn_in).bias
    biased = tiny(spec, mlp_bias=True)
    for name in (spec.ffn_in, spec.ffn_out):
        assert layers_of(biased, spec)[0].get_submodule(name).bias is not None


def test_alberts_groups_key_tells_layers_apart() -> None:
    spec = BACKBONES["albert"]

    assert len(layers_of(tiny(spec, **{spec.groups_key: 2}), spec)) == 2


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


@pytest.mark.parametrize("model_type", sorted(set(SUPPORTED) - {"deberta-v2", "modernbert"}))
def test_the_longest_text_is_the_position_table_less_the_offset(model_type: str) -> None:
    spec = BACKBONES[model_type]
    model = tiny(spec)
    longest = model.config.max_position_embeddings - spec.position_offset

    assert logits_of(model, longest).shape == (1, 2)
    with pytest.raises((IndexError, RuntimeError)):
        logits_of(model, longest + 1)


@pytest.mark.parametrize("model_type", ["deberta-v2", "modernbert"])
def test_models_without_a_position_table_keep_no_position_for_themselves(model_type: str) -> None:
    assert BACKBONES[model_type].position_offset == 0
    assert logits_of(tiny(BACKBONES[model_type]), 41).shape == (1, 2)


@every_backbone
def test_heads_are_counted_where_the_table_says(spec: BackboneSpec) -> None:
    place = spec.attention
    if place is None:
        assert spec.model_type in {"mpnet", "albert", "deberta-v2"}
        return
    model = tiny(spec)
    heads, hidden = model.config.num_attention_heads, model.config.hidden_size
    for layer in layers_of(model, spec):
        module = layer.get_submodule(place.module)
        # ModernBERT of transformers 5 takes both from the weights.
        in_weights = spec.model_type == "modernbert" and not hasattr(module, place.count)
        assert in_weights or getattr(module, place.count) == heads
        assert in_weights or getattr(module, place.width) == hidden
