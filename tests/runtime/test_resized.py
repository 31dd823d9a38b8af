"""Models whose layers have different widths: what stays answers as before, what goes is gone."""

import copy
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification, PreTrainedModel

from edgeadapt.backbones import BACKBONES, BackboneSpec, backbone_spec
from edgeadapt.errors import ModelError
from edgeadapt.models.classifier import load_stock
from edgeadapt.recipe import AdapterConfig
from edgeadapt.runtime.resized import (
    KeptWidths,
    keep_layers,
    resize,
    shaped,
    structure_of,
    unequal_structure,
)
from edgeadapt.store.structure import Structure
from tests.models.tiny import HIDDEN, INTERMEDIATE, LAYERS, adapt, logits, make_model

HEADS, SIZE = 4, HIDDEN // 4
WITH_HEADS = [name for name, spec in BACKBONES.items() if spec.attention is not None]
WITH_NEURONS = [name for name, spec in BACKBONES.items() if spec.groups_key is None]
HEADS_KEY = {"distilbert": "n_heads"}

every_backbone = pytest.mark.parametrize("model_type", BACKBONES)
with_heads = pytest.mark.parametrize("model_type", WITH_HEADS)
with_neurons = pytest.mark.parametrize("model_type", WITH_NEURONS)


def made(model_type: str, **config: object) -> tuple[PreTrainedModel, BackboneSpec]:
    """A classifier of four heads per layer."""
    heads = {HEADS_KEY.get(model_type, "num_attention_heads"): HEADS}
    return make_model(model_type, **(heads | config)), backbone_spec(model_type)


def layer(model: PreTrainedModel, spec: BackboneSpec, number: int = 0) -> nn.Module:
    return list(model.get_submodule(spec.layers).children())[number]


def without_columns(model: PreTrainedModel, name: str, columns: list[int]) -> Tensor:
    """The logits where a dense layer does not read some of its inputs."""
    changed = copy.deepcopy(model)
    with torch.no_grad():
        changed.get_submodule(name).weight[:, columns] = 0
    return logits(changed)


@every_backbone
def test_a_stock_model_has_the_widths_of_its_config(model_type: str) -> None:
    model, spec = made(model_type)

    assert structure_of(model, spec) == Structure((HEADS,) * LAYERS, (INTERMEDIATE,) * LAYERS)


@with_neurons
def test_keeping_everything_changes_no_logits(model_type: str) -> None:
    model, spec = made(model_type)
    expected = logits(model)
    heads = None if spec.attention is None else range(HEADS)

    resize(model, spec, [KeptWidths(heads, range(INTERMEDIATE))] * LAYERS)

    torch.testing.assert_close(logits(model), expected, rtol=0, atol=1e-5)


@with_heads
def test_heads_and_neurons_may_change_places(model_type: str) -> None:
    model, spec = made(model_type)
    expected = logits(model)

    resize(model, spec, [KeptWidths((2, 0, 3, 1), tuple(reversed(range(INTERMEDIATE))))] * LAYERS)

    torch.testing.assert_close(logits(model), expected, rtol=0, atol=1e-5)


@with_heads
@pytest.mark.parametrize("kept", [(0, 2, 3), (1,), ()])
def test_a_head_that_is_not_kept_counts_no_longer(model_type: str, kept: tuple[int, ...]) -> None:
    model, spec = made(model_type)
    columns = [
        head * SIZE + row for head in range(HEADS) if head not in kept for row in range(SIZE)
    ]
    expected = without_columns(model, f"{spec.layers}.1.{spec.attention_output}", columns)
    before = model.num_parameters()

    resize(model, spec, [KeptWidths(), KeptWidths(heads=kept)])

    assert structure_of(model, spec).heads == (HEADS, len(kept))
    torch.testing.assert_close(logits(model), expected, rtol=0, atol=1e-5)
    removed = (HEADS - len(kept)) * SIZE * HIDDEN * 4
    assert before - model.num_parameters() >= removed - HIDDEN  # zeros where there was no bias


@with_neurons
@pytest.mark.parametrize("kept", [(0, 5, 7, 23), (11,), ()])
def test_a_neuron_that_is_not_kept_counts_no_longer(model_type: str, kept: tuple[int, ...]) -> None:
    model, spec = made(model_type)
    columns = [neuron for neuron in range(INTERMEDIATE) if neuron not in kept]
    expected = without_columns(model, f"{spec.layers}.0.{spec.ffn_out}", columns)

    resize(model, spec, [KeptWidths(neurons=kept), KeptWidths()])

    assert structure_of(model, spec).neurons == (len(kept), INTERMEDIATE)
    torch.testing.assert_close(logits(model), expected, rtol=0, atol=1e-5)


@with_heads
def test_a_layer_of_neither_heads_nor_neurons_computes_no_product(model_type: str) -> None:
    model, spec = made(model_type)

    resize(model, spec, [KeptWidths((), ()), KeptWidths()])

    first = layer(model, spec)
    assert not [module for module in first.modules() if isinstance(module, nn.Linear)]
    assert structure_of(model, spec) == Structure((0, HEADS), (0, INTERMEDIATE))
    assert logits(model).isfinite().all()


@with_heads
def test_a_model_can_be_resized_again_down_to_nothing(model_type: str) -> None:
    model, spec = made(model_type)

    resize(model, spec, [KeptWidths((3, 1), (5, 6)), KeptWidths((), ())])
    resize(model, spec, [KeptWidths((1,), (0,)), KeptWidths((), ())])

    assert structure_of(model, spec) == Structure((1, 0), (1, 0))
    direct, _ = made(model_type)
    resize(direct, spec, [KeptWidths((1,), (5,)), KeptWidths((), ())])
    torch.testing.assert_close(logits(model), logits(direct), rtol=0, atol=1e-6)


@with_neurons
def test_equal_widths_give_a_stock_checkpoint(model_type: str, tmp_path: Path) -> None:
    model, spec = made(model_type)
    resize(model, spec, [KeptWidths(neurons=(1, 2, 3)), KeptWidths(neurons=(7, 8, 9))])

    model.save_pretrained(tmp_path)

    torch.testing.assert_close(logits(load_stock(tmp_path)), logits(model), rtol=0, atol=1e-6)


@with_heads
def test_the_weights_of_a_resized_model_fit_a_new_one_of_its_structure(model_type: str) -> None:
    model, spec = made(model_type)
    resize(model, spec, [KeptWidths((1, 2), ()), KeptWidths((), (3, 4, 5))])
    again = AutoModelForSequenceClassification.from_config(model.config).eval()

    shaped(again, spec, structure_of(model, spec))

    assert structure_of(again, spec) == Structure((2, 0), (0, 3))
    again.load_state_dict(model.state_dict(), strict=True)
    torch.testing.assert_close(logits(again), logits(model), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("structure", "expected"),
    [
        (Structure((2,), (3,)), "expected 2 layers, the num_hidden_layers of config.json, found 1"),
        (Structure((2, 5), (3, 3)), r"heads\.1: expected at most 4, .*, found 5"),
        (Structure((2, 4), (10**15, 3)), r"neurons\.0: expected at most 24, .*, found 1,000,0"),
    ],
)
def test_a_structure_that_the_config_does_not_allow_is_refused(
    structure: Structure, expected: str
) -> None:
    model, spec = made("bert")

    with pytest.raises(ModelError, match=expected):
        shaped(model, spec, structure)


@pytest.mark.parametrize("model_type", ["mpnet", "deberta-v2"])
def test_heads_with_relative_positions_are_not_pruned(model_type: str) -> None:
    model, spec = made(model_type)

    with pytest.raises(ModelError, match=f"attention heads of {model_type} models cannot be"):
        resize(model, spec, [KeptWidths(heads=(0,)), KeptWidths()])


def test_layers_that_share_weights_are_not_resized() -> None:
    model, spec = made("albert")

    with pytest.raises(ModelError, match="albert models cannot have different widths"):
        resize(model, spec, [KeptWidths(neurons=(0,)), KeptWidths()])


@pytest.mark.parametrize(
    ("kept", "expected"),
    [
        ([KeptWidths()], "expected those of all 2 layers"),
        ([KeptWidths(), KeptWidths(heads=(0, 4))], "heads to keep of layer 1: .* 4, found 4"),
        ([KeptWidths(neurons=(-1,)), KeptWidths()], "neurons to keep of layer 0: .* found -1"),
        ([KeptWidths(neurons=(2, 2)), KeptWidths()], "found one of them twice"),
    ],
)
def test_what_a_layer_does_not_have_is_refused_before_anything_changes(
    kept: list[KeptWidths], expected: str
) -> None:
    model, spec = made("bert")
    before = logits(model)

    with pytest.raises(ModelError, match=expected):
        resize(model, spec, kept)

    assert torch.equal(logits(model), before)


def test_a_model_with_adapters_is_not_resized() -> None:
    classifier = adapt(make_model("bert"), AdapterConfig(method="lora"))

    with pytest.raises(ModelError, match=r"attention\.self\.query is a .*: expected a dense layer"):
        resize(classifier.model, classifier.backbone.spec, [KeptWidths(heads=(0,))] * LAYERS)


@every_backbone
def test_the_first_layers_alone_are_a_stock_model(model_type: str, tmp_path: Path) -> None:
    model, spec = made(model_type)
    shallow, _ = made(model_type, **{spec.depth_key: 1})
    names = shallow.state_dict().keys()
    shallow.load_state_dict({k: v for k, v in model.state_dict().items() if k in names})

    keep_layers(model, spec, range(1))

    assert structure_of(model, spec) == Structure((HEADS,), (INTERMEDIATE,))
    torch.testing.assert_close(logits(model), logits(shallow), rtol=0, atol=1e-6)
    model.save_pretrained(tmp_path)
    torch.testing.assert_close(logits(load_stock(tmp_path)), logits(model), rtol=0, atol=1e-6)


def test_a_resized_model_can_lose_layers() -> None:
    model, spec = made("bert")
    resize(model, spec, [KeptWidths((0,), (1, 2)), KeptWidths()])

    keep_layers(model, spec, range(1))

    assert structure_of(model, spec) == Structure((1,), (2,))
    assert logits(model).isfinite().all()


def test_a_resized_model_whose_other_widths_are_cut_off_is_stock_again(tmp_path: Path) -> None:
    model, spec = made("bert")
    resize(model, spec, [KeptWidths(neurons=(1, 2)), KeptWidths((), ())])
    assert unequal_structure(model, spec) == Structure((HEADS, 0), (2, 0))

    keep_layers(model, spec, range(1))

    assert unequal_structure(model, spec) is None
    model.save_pretrained(tmp_path)
    torch.testing.assert_close(logits(load_stock(tmp_path)), logits(model), rtol=0, atol=1e-6)


@pytest.mark.parametrize("depth", [0, 3])
def test_a_depth_that_the_model_does_not_have_is_refused(depth: int) -> None:
    model, spec = made("bert")

    with pytest.raises(ModelError, match=f"{depth} layers: expected 1 to 2"):
        keep_layers(model, spec, range(depth))


def test_groups_of_layers_that_share_weights_are_not_cut() -> None:
    model, spec = made("albert", num_hidden_layers=4, num_hidden_groups=2)

    with pytest.raises(ModelError, match="3 layers: expected a multiple of 2"):
        keep_layers(model, spec, range(3))
    keep_layers(model, spec, range(2))

    assert (model.config.num_hidden_layers, model.config.num_hidden_groups) == (2, 1)
    assert logits(model).isfinite().all()
