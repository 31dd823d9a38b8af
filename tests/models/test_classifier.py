"""A backbone with adapters and a head: built, frozen, hashed, saved and restored."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import PreTrainedModel
from transformers.utils import logging as transformers_logging

from edgeadapt.backbones import backbone_spec
from edgeadapt.errors import IntegrityError, ModelError
from edgeadapt.models.classifier import AdaptedClassifier, load_stock
from edgeadapt.models.seeds import seeded
from edgeadapt.models.sources import ModelSource, find_model
from edgeadapt.models.unshare import unshare
from edgeadapt.recipe import AdapterConfig, AdapterKind, ModelConfig
from edgeadapt.runtime.torch_engine import quiet_transformers
from tests.conftest import TINY_CONFIGS, make_checkpoint
from tests.models.tiny import LABELS, batch, logits, make_model, randomize

pytestmark = pytest.mark.transformers5

ADAPTER_FILE, HEAD_FILE = "adapter.safetensors", "head.safetensors"
STRUCTURAL = ("parallel", "sequential", "houlsby", "compacter", "lora", "ia3")
"""The kinds that bring weights of their own."""
COMBINED = ("parallel+bitfit", "parallel+lora+ia3+bitfit", "houlsby+lora+layernorm")


def build(source: ModelSource, method: str = "parallel", *, seed: int = 0) -> AdaptedClassifier:
    config = AdapterConfig(method=method, dimension=4)
    with seeded(seed):
        classifier = AdaptedClassifier.build(source, LABELS, config)
    classifier.model.eval()
    return classifier


def saved(model: PreTrainedModel, folder: Path) -> ModelSource:
    model.save_pretrained(folder)
    return find_model(ModelConfig(id=str(folder)))


def cut(source: ModelSource, depth: int, *, method: str = "head") -> AdaptedClassifier:
    config = AdapterConfig(method=method, dimension=4)
    classifier = AdaptedClassifier.build(source, LABELS, config, depth=depth)
    classifier.model.eval()
    return classifier


def changed_tensors(file: Path, change: str) -> str:
    """Damages one tensor of a safetensors file and returns the name to look for."""
    tensors = load_file(file)
    name = sorted(tensors)[0]
    if change == "missing":
        del tensors[name]
    elif change == "misshapen":
        tensors[name] = torch.zeros(3, 3, 3)
    else:
        name = "surplus.weight"
        tensors[name] = torch.zeros(2)
    save_file(tensors, file, metadata={"format": "pt"})
    return name


@pytest.fixture
def own_copy(sources: dict[str, ModelSource], tmp_path: Path) -> ModelSource:
    """A tiny BERT that a test may damage."""
    folder = tmp_path / "checkpoint"
    shutil.copytree(sources["bert"].folder, folder)
    return find_model(ModelConfig(id=str(folder)))


@pytest.mark.parametrize("model_type", TINY_CONFIGS)
def test_a_classifier_is_built_on_every_backbone(
    sources: dict[str, ModelSource], model_type: str
) -> None:
    model = build(sources[model_type]).model

    assert model.config.model_type == model_type
    assert model.config.id2label == {0: "negative", 1: "positive"}
    assert logits(model).shape == (4, 2)


def test_adapters_are_known_by_their_kinds(sources: dict[str, ModelSource]) -> None:
    classifier = build(sources["bert"], "lora+parallel+head")

    assert list(classifier.adapters) == ["parallel", "lora", "head"]
    prefixes = {name.split(".")[0] for name in classifier.adapter_parameters()}
    assert prefixes == {"parallel", "lora"}


def test_the_backbones_weights_are_the_checkpoints(sources: dict[str, ModelSource]) -> None:
    stored = load_file(sources["bert"].folder / "model.safetensors")

    pretrained = build(sources["bert"]).backbone.pretrained

    for name, parameter in pretrained.items():
        assert torch.equal(parameter, stored[name.removeprefix("bert.")]), name


def test_parameters_are_counted(sources: dict[str, ModelSource]) -> None:
    classifier = build(sources["distilbert"])

    trained, total = classifier.count_parameters()

    adapter = 2 * (2 * 16 * 4 + 4 + 16)
    head = (16 * 16 + 16) + (16 * 2 + 2)
    assert trained == adapter + head
    assert total == sum(p.numel() for p in make_model("distilbert").parameters()) + adapter


def test_new_weights_follow_the_seed(sources: dict[str, ModelSource]) -> None:
    one, same, other = (build(sources["bert"], seed=seed).trained() for seed in (1, 1, 2))

    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["classifier.weight"], other["classifier.weight"])
    name = "parallel.layers.0.ffn.down.weight"
    assert not torch.equal(one[name], other[name])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("parallel+lora", "lora+parallel"),
        ("bitfit+ia3+lora+houlsby", "houlsby+lora+ia3+bitfit"),
        ("lora+compacter", "compacter+lora"),
    ],
)
@pytest.mark.parametrize("model_type", ["bert", "albert", "modernbert"])
def test_new_weights_do_not_depend_on_the_order_of_the_methods_kinds(
    sources: dict[str, ModelSource], model_type: str, one: str, other: str
) -> None:
    first, second = (build(sources[model_type], method, seed=3) for method in (one, other))

    found = second.trained()
    assert first.trained().keys() == found.keys()
    assert all(torch.equal(p, found[name]) for name, p in first.trained().items())
    assert first.frozen_sha256() == second.frozen_sha256()


@pytest.mark.parametrize("model_type", TINY_CONFIGS)
def test_what_the_checkpoint_lacks_of_the_head_is_new(
    sources: dict[str, ModelSource], model_type: str
) -> None:
    stored = load_file(sources[model_type].folder / "model.safetensors")

    classifier = build(sources[model_type])

    prefix = f"{sources[model_type].spec.encoder}."
    absent = {n for n in classifier.backbone.head if n.removeprefix(prefix) not in stored}
    assert classifier.new_head == absent
    assert any(name.startswith("classifier.") for name in absent)


@pytest.mark.parametrize("model_type", TINY_CONFIGS)
def test_a_checkpoint_with_its_head_brings_nothing_new(model_type: str, tmp_path: Path) -> None:
    model = make_model(model_type)
    model.save_pretrained(tmp_path)

    classifier = build(find_model(ModelConfig(id=str(tmp_path))))

    assert classifier.new_head == frozenset()
    torch.testing.assert_close(logits(classifier.model), logits(model), rtol=0, atol=1e-5)


def test_a_head_for_other_labels_is_new_and_the_pooler_below_is_not(tmp_path: Path) -> None:
    make_model("bert", num_labels=3).save_pretrained(tmp_path)

    classifier = build(find_model(ModelConfig(id=str(tmp_path))))

    assert classifier.new_head == {"classifier.weight", "classifier.bias"}
    assert "bert.pooler.dense.weight" in classifier.backbone.head


def test_a_checkpoint_with_a_head_for_other_labels_gets_a_new_head(tmp_path: Path) -> None:
    make_model("bert", num_labels=3).save_pretrained(tmp_path)

    classifier = build(find_model(ModelConfig(id=str(tmp_path))))

    assert logits(classifier.model).shape == (4, 2)


@pytest.mark.parametrize("depth", [1, 3, 4])
@pytest.mark.parametrize("model_type", sorted(set(TINY_CONFIGS) - {"albert"}))
def test_with_fewer_layers_the_first_ones_answer(
    model_type: str, depth: int, tmp_path: Path
) -> None:
    spec = backbone_spec(model_type)
    model = make_model(model_type, **{spec.depth_key: 4})

    classifier = cut(saved(model, tmp_path), depth)

    model.set_submodule(spec.layers, model.get_submodule(spec.layers)[:depth])
    assert getattr(classifier.model.config, spec.depth_key) == depth
    assert len(classifier.backbone.layers()) == depth
    torch.testing.assert_close(logits(classifier.model), logits(model), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("groups", "depth"), [(1, 1), (1, 3), (2, 2), (2, 4), (4, 1), (4, 2), (4, 3), (4, 4)]
)
@pytest.mark.parametrize("method", ["head", "ia3"])
def test_with_fewer_layers_each_of_alberts_keeps_the_weights_it_had(
    groups: int, depth: int, method: str, tmp_path: Path
) -> None:
    model = make_model("albert", num_hidden_layers=4, num_hidden_groups=groups)

    classifier = cut(saved(model, tmp_path), depth, method=method)

    by_hand = unshare(model, backbone_spec("albert"))
    by_hand.config.num_hidden_layers = by_hand.config.num_hidden_groups = depth
    assert classifier.model.config.num_hidden_layers == depth
    torch.testing.assert_close(logits(classifier.model), logits(by_hand), rtol=0, atol=1e-5)


@pytest.mark.parametrize(("groups", "depth", "multiple"), [(2, 1, 2), (2, 3, 2), (3, 3, 2)])
def test_a_depth_that_no_number_of_groups_gives_is_refused(
    groups: int, depth: int, multiple: int, tmp_path: Path
) -> None:
    layers = multiple * groups
    model = make_model("albert", num_hidden_layers=layers, num_hidden_groups=groups)

    with pytest.raises(ModelError, match=f"expected a multiple of {multiple}") as caught:
        cut(saved(model, tmp_path), depth)

    assert f"--backbone-layers {depth}" in str(caught.value)


@pytest.mark.parametrize("model_type", TINY_CONFIGS)
def test_more_layers_than_there_are_is_refused_with_their_number(
    sources: dict[str, ModelSource], model_type: str
) -> None:
    with pytest.raises(ModelError, match="--backbone-layers 3: expected 1 to 2, the layers of"):
        cut(sources[model_type], 3)


@pytest.mark.parametrize("model_type", TINY_CONFIGS)
def test_adapters_go_on_the_layers_that_are_left(
    sources: dict[str, ModelSource], model_type: str
) -> None:
    classifier = cut(sources[model_type], 1, method="parallel")

    assert {name.split(".")[2] for name in classifier.adapter_parameters()} == {"0"}


def test_a_layer_that_was_cut_off_cannot_carry_an_adapter(
    sources: dict[str, ModelSource],
) -> None:
    config = AdapterConfig(method="parallel", dimension=4, layers="1")

    with pytest.raises(ModelError, match=r"--method parallel: Adapter layers 1: .* from 0 to 0"):
        AdaptedClassifier.build(sources["bert"], LABELS, config, depth=1)


@pytest.mark.parametrize("model_type", TINY_CONFIGS)
def test_a_checkpoint_cut_by_hand_gives_the_same_backbone(model_type: str, tmp_path: Path) -> None:
    spec = backbone_spec(model_type)
    whole = saved(make_model(model_type, **{spec.depth_key: 2}), tmp_path / "whole")
    folder = shutil.copytree(whole.folder, tmp_path / "short")
    settings = json.loads((folder / "config.json").read_text())
    settings[spec.depth_key] = 1
    if "layer_types" in settings:  # one per layer, as transformers 5 writes it
        settings["layer_types"] = settings["layer_types"][:1]
    (folder / "config.json").write_text(json.dumps(settings))
    if spec.groups_key is None:
        tensors = load_file(folder / "model.safetensors")
        kept = {n: t for n, t in tensors.items() if not n.startswith(f"{spec.layers}.1.")}
        assert len(kept) < len(tensors)
        save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})

    by_hand = build(find_model(ModelConfig(id=str(folder))), "head")

    classifier = cut(whole, 1)
    assert torch.equal(logits(classifier.model), logits(by_hand.model))
    assert classifier.frozen_sha256() == by_hand.frozen_sha256()


def one_of_alberts(model: PreTrainedModel) -> int:
    """Number of weights of a layer."""
    layer = model.get_submodule("albert.encoder.albert_layer_groups.0")
    return sum(parameter.numel() for parameter in layer.parameters())


@pytest.mark.parametrize("method", ["bitfit", "layernorm", "head", "full", "bitfit+head"])
def test_what_trains_in_place_leaves_alberts_layers_shared(
    sources: dict[str, ModelSource], method: str
) -> None:
    stock = make_model("albert")

    classifier = build(sources["albert"], method)

    assert classifier.unshared_parameters == 0
    assert classifier.model.config.num_hidden_groups == 1
    assert len(classifier.backbone.layers()) == 1
    assert classifier.count_parameters()[1] == stock.num_parameters()


@pytest.mark.parametrize("method", [*STRUCTURAL, *COMBINED])
def test_what_is_attached_per_layer_copies_alberts_weights_and_counts_the_copies(
    sources: dict[str, ModelSource], method: str
) -> None:
    stock = make_model("albert")
    added = one_of_alberts(stock)  # two layers, one group

    classifier = build(sources["albert"], method)

    assert classifier.unshared_parameters == added
    assert classifier.model.config.num_hidden_groups == 2
    assert [layer.number for layer in classifier.backbone.layers()] == [0, 1]
    own = {id(parameter) for parameter in classifier.backbone.pretrained.values()}
    adapters = [p for p in classifier.adapter_parameters().values() if id(p) not in own]
    grown = added + sum(parameter.numel() for parameter in adapters)
    assert classifier.count_parameters()[1] == stock.num_parameters() + grown


@pytest.mark.parametrize(("groups", "copies"), [(1, 3), (2, 2), (4, 0)])
def test_only_layers_that_share_a_group_are_copied(
    groups: int, copies: int, tmp_path: Path
) -> None:
    model = make_model("albert", num_hidden_layers=4, num_hidden_groups=groups)

    classifier = build(saved(model, tmp_path), "lora")

    assert classifier.unshared_parameters == copies * one_of_alberts(model)


@pytest.mark.parametrize("model_type", sorted(set(TINY_CONFIGS) - {"albert"}))
def test_a_backbone_whose_layers_share_nothing_grows_by_its_adapter_only(
    sources: dict[str, ModelSource], model_type: str
) -> None:
    classifier = build(sources[model_type], "lora")

    assert classifier.unshared_parameters == 0
    adapter = sum(p.numel() for p in classifier.adapter_parameters().values())
    expected = make_model(model_type).num_parameters() + adapter
    assert classifier.count_parameters()[1] == expected


@pytest.mark.parametrize("method", STRUCTURAL)
def test_groups_of_several_layers_are_refused_by_what_is_attached_per_layer(
    method: str, tmp_path: Path
) -> None:
    source = saved(make_model("albert", inner_group_num=2), tmp_path)

    with pytest.raises(ModelError, match=r"Groups of 2 layers.*expected inner_group_num = 1"):
        build(source, method)

    assert build(source, "bitfit").model.config.inner_group_num == 2


def test_a_checkpoint_that_lacks_an_encoder_weight_is_refused(own_copy: ModelSource) -> None:
    file = own_copy.folder / "model.safetensors"
    tensors = load_file(file)
    del tensors["encoder.layer.1.output.dense.weight"]
    save_file(tensors, file, metadata={"format": "pt"})

    with pytest.raises(ModelError, match=r"not a whole bert checkpoint.*found 1 missing") as caught:
        build(own_copy)

    assert str(own_copy.folder) in str(caught.value)
    assert "encoder.layer.1.output.dense.weight" in str(caught.value)


def test_a_checkpoint_with_a_misshapen_encoder_weight_is_refused(own_copy: ModelSource) -> None:
    file = own_copy.folder / "model.safetensors"
    tensors = load_file(file)
    tensors["encoder.layer.1.output.dense.weight"] = torch.zeros(16, 25)
    save_file(tensors, file, metadata={"format": "pt"})

    with pytest.raises(ModelError) as caught:
        build(own_copy)

    assert str(own_copy.folder) in str(caught.value)
    assert "encoder.layer.1.output.dense.weight" in str(caught.value)


def test_the_form_in_which_a_checkpoint_answers_does_not_matter(
    sources: dict[str, ModelSource], own_copy: ModelSource
) -> None:
    file = own_copy.folder / "config.json"
    form = {"return_dict": False, "output_hidden_states": True, "output_attentions": True}
    file.write_text(json.dumps({**own_copy.config, **form, "torchscript": True}))

    asked = build(find_model(ModelConfig(id=str(own_copy.folder)))).model

    assert torch.equal(logits(asked), logits(build(sources["bert"]).model))
    assert (asked.config.return_dict, asked.config.output_hidden_states) == (True, False)


@pytest.mark.parametrize("key", ["hidden_act", "hidden_size", "num_attention_heads", "vocab_size"])
@pytest.mark.parametrize("value", ["odd", -3, 0, 7])
def test_settings_that_make_no_model_of_these_weights_are_refused(
    own_copy: ModelSource, key: str, value: object
) -> None:
    (own_copy.folder / "config.json").write_text(json.dumps({**own_copy.config, key: value}))

    with pytest.raises(ModelError) as caught:
        build(find_model(ModelConfig(id=str(own_copy.folder))))

    assert str(own_copy.folder) in caught.value.message


def test_a_checkpoint_without_weights_is_refused(own_copy: ModelSource) -> None:
    (own_copy.folder / "model.safetensors").unlink()

    with pytest.raises(ModelError, match="cannot be loaded") as caught:
        build(own_copy)

    assert str(own_copy.folder) in str(caught.value)


def test_a_checkpoint_that_breaks_off_is_refused(own_copy: ModelSource) -> None:
    file = own_copy.folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:5000])

    with pytest.raises(ModelError) as caught:
        build(own_copy)

    assert str(own_copy.folder) in str(caught.value)


@pytest.mark.parametrize(
    "name",
    [
        "bert.embeddings.word_embeddings.weight",
        "bert.embeddings.LayerNorm.bias",
        "bert.encoder.layer.0.intermediate.dense.weight",
        "bert.encoder.layer.1.attention.self.key.bias",
    ],
)
def test_the_frozen_hash_changes_with_a_frozen_weight(
    sources: dict[str, ModelSource], name: str
) -> None:
    classifier = build(sources["bert"])
    before = classifier.frozen_sha256()

    weight = classifier.backbone.pretrained[name].data.view(-1)
    weight[0] = torch.nextafter(weight[0], torch.tensor(torch.inf))

    assert classifier.frozen_sha256() != before


@pytest.mark.parametrize("method", [*AdapterKind, "parallel+bitfit"])
def test_the_frozen_hash_does_not_change_with_trained_weights(
    sources: dict[str, ModelSource], method: str
) -> None:
    classifier = build(sources["bert"], method)
    before = classifier.frozen_sha256()

    for parameter in classifier.trained().values():
        parameter.data += 1.0

    assert classifier.frozen_sha256() == before


@pytest.mark.parametrize("method", [*AdapterKind, *COMBINED])
@pytest.mark.parametrize("model_type", ["bert", "albert", "modernbert"])
def test_three_training_steps_with_dropout_and_decay_leave_the_frozen_hash_as_it_was(
    sources: dict[str, ModelSource], model_type: str, method: str
) -> None:
    config = AdapterConfig(method=method, dimension=4, dropout=0.5, learn_scaling=True)
    classifier = AdaptedClassifier.build(sources[model_type], LABELS, config)
    trained = classifier.trained()
    frozen = classifier.frozen_sha256()
    before = {name: parameter.detach().clone() for name, parameter in trained.items()}
    # Over all parameters: what has no gradient has to keep out by itself.
    optimizer = torch.optim.AdamW(classifier.model.parameters(), lr=0.01, weight_decay=0.1)
    classifier.model.train()

    for _ in range(3):
        given = classifier.model(**batch(), labels=torch.tensor([0, 1, 1, 0]))
        given.loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    assert classifier.frozen_sha256() == frozen
    still = {name for name, p in trained.items() if torch.equal(p, before[name])}
    # Softmax takes away what is added to all scores alike.
    assert {name for name in still if not name.endswith("key.bias")} == set()


def test_under_bitfit_a_matrix_is_frozen(sources: dict[str, ModelSource]) -> None:
    classifier = build(sources["bert"], "bitfit")
    before = classifier.frozen_sha256()

    classifier.backbone.pretrained["bert.encoder.layer.0.output.dense.weight"].data += 1.0

    assert classifier.frozen_sha256() != before


def test_the_frozen_hash_tells_weights_that_are_swapped(sources: dict[str, ModelSource]) -> None:
    classifier = build(sources["bert"])
    before = classifier.frozen_sha256()
    name = "bert.encoder.layer.{}.attention.self.query.weight"
    first, second = (classifier.backbone.pretrained[name.format(layer)] for layer in (0, 1))

    first.data, second.data = second.data, first.data

    assert classifier.frozen_sha256() != before


def test_the_frozen_hash_identifies_the_backbone_whatever_is_attached(
    sources: dict[str, ModelSource],
) -> None:
    methods = ("head", *STRUCTURAL, "parallel+lora+ia3", "ia3+parallel+head")

    hashes = {build(sources["bert"], m, seed=n).frozen_sha256() for n, m in enumerate(methods)}

    assert len(hashes) == 1
    assert build(sources["roberta"]).frozen_sha256() not in hashes


@pytest.mark.parametrize("method", [*AdapterKind, *COMBINED])
@pytest.mark.parametrize("model_type", ["bert", "albert", "modernbert"])
def test_saved_weights_come_back_bit_for_bit(
    sources: dict[str, ModelSource], tmp_path: Path, model_type: str, method: str
) -> None:
    written, read = (build(sources[model_type], method, seed=seed) for seed in (1, 2))
    randomize(written)
    assert not torch.equal(logits(read.model), logits(written.model))
    written.save(tmp_path)

    read.load(tmp_path)

    expected = written.trained()
    assert all(torch.equal(p, expected[name]) for name, p in read.trained().items())
    assert torch.equal(logits(read.model), logits(written.model))


def test_loading_leaves_the_parameters_trainable(
    sources: dict[str, ModelSource], tmp_path: Path
) -> None:
    classifier = build(sources["bert"])
    classifier.save(tmp_path)

    classifier.load(tmp_path)

    assert all(parameter.requires_grad for parameter in classifier.trained().values())


def test_adapters_and_head_are_saved_and_nothing_else(
    sources: dict[str, ModelSource], tmp_path: Path
) -> None:
    classifier = build(sources["bert"], "parallel+bitfit")

    classifier.save(tmp_path / "weights")

    assert {file.name for file in (tmp_path / "weights").iterdir()} == {ADAPTER_FILE, HEAD_FILE}
    adapter, head = (load_file(tmp_path / "weights" / f) for f in (ADAPTER_FILE, HEAD_FILE))
    assert adapter.keys() == classifier.adapter_parameters().keys()
    assert head.keys() == classifier.backbone.head.keys()


def test_head_only_training_saves_no_adapter(
    sources: dict[str, ModelSource], tmp_path: Path
) -> None:
    build(sources["bert"], "head").save(tmp_path)

    assert [file.name for file in tmp_path.iterdir()] == [HEAD_FILE]


@pytest.mark.parametrize("file", [ADAPTER_FILE, HEAD_FILE])
@pytest.mark.parametrize("change", ["missing", "unexpected", "misshapen"])
def test_weights_with_an_odd_tensor_are_refused(
    sources: dict[str, ModelSource], tmp_path: Path, file: str, change: str
) -> None:
    classifier = build(sources["bert"])
    classifier.save(tmp_path)
    name = changed_tensors(tmp_path / file, change)

    with pytest.raises(IntegrityError, match="missing, unexpected or of another shape") as caught:
        classifier.load(tmp_path)

    assert str(tmp_path / file) in str(caught.value)
    assert name in str(caught.value)


@pytest.mark.parametrize("file", [ADAPTER_FILE, HEAD_FILE])
def test_weights_with_a_missing_file_are_refused(
    sources: dict[str, ModelSource], tmp_path: Path, file: str
) -> None:
    classifier = build(sources["bert"])
    classifier.save(tmp_path)
    (tmp_path / file).unlink()

    with pytest.raises(IntegrityError, match=file):
        classifier.load(tmp_path)


def test_weights_that_break_off_are_refused(
    sources: dict[str, ModelSource], tmp_path: Path
) -> None:
    classifier = build(sources["bert"])
    classifier.save(tmp_path)
    (tmp_path / HEAD_FILE).write_bytes((tmp_path / HEAD_FILE).read_bytes()[:100])

    with pytest.raises(IntegrityError, match=HEAD_FILE):
        classifier.load(tmp_path)


@pytest.mark.parametrize("method", ["head", "sequential", "parallel+bitfit"])
def test_weights_of_another_method_are_refused(
    sources: dict[str, ModelSource], tmp_path: Path, method: str
) -> None:
    build(sources["bert"], "parallel").save(tmp_path)

    with pytest.raises(IntegrityError, match=ADAPTER_FILE):
        build(sources["bert"], method).load(tmp_path)


@pytest.mark.parametrize("model_type", TINY_CONFIGS)
def test_a_stock_checkpoint_loads_ready_to_answer(model_type: str, tmp_path: Path) -> None:
    model = make_model(model_type)
    model.save_pretrained(tmp_path)

    loaded = load_stock(tmp_path)

    assert type(loaded) is type(model)
    assert not loaded.training
    torch.testing.assert_close(logits(loaded), logits(model), rtol=0, atol=1e-5)


@pytest.mark.parametrize("change", ["missing", "unexpected", "misshapen"])
def test_a_stock_checkpoint_with_an_odd_key_is_refused(tmp_path: Path, change: str) -> None:
    make_model("bert").save_pretrained(tmp_path)
    name = changed_tensors(tmp_path / "model.safetensors", change)

    with pytest.raises(ModelError) as caught:
        load_stock(tmp_path)

    assert str(tmp_path) in str(caught.value)
    assert name in str(caught.value)


def test_an_encoder_without_a_head_is_no_stock_classifier(tmp_path: Path) -> None:
    make_checkpoint(tmp_path)

    with pytest.raises(ModelError, match=r"expected no missing.*classifier\.bias"):
        load_stock(tmp_path)


def test_loading_a_stock_checkpoint_prints_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    make_model("bert").save_pretrained(tmp_path)
    capfd.readouterr()

    load_stock(tmp_path)

    assert "".join(capfd.readouterr()) == ""


@pytest.fixture
def transformers_voice() -> Iterator[None]:
    """Lets a test change how much transformers says."""
    verbosity = transformers_logging.get_verbosity()
    bars = transformers_logging.is_progress_bar_enabled()
    yield
    transformers_logging.set_verbosity(verbosity)
    show_bars(bars)


def show_bars(shown: bool) -> None:
    if shown:
        transformers_logging.enable_progress_bar()
    else:
        transformers_logging.disable_progress_bar()


@pytest.mark.usefixtures("transformers_voice")
@pytest.mark.parametrize("bars", [True, False])
def test_transformers_is_as_loud_as_before_even_after_an_error(bars: bool) -> None:
    transformers_logging.set_verbosity_info()
    show_bars(bars)

    seen: list[tuple[int, bool]] = []

    def fail() -> None:
        with quiet_transformers():
            bar = transformers_logging.is_progress_bar_enabled()
            seen.append((transformers_logging.get_verbosity(), bar))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()

    assert seen == [(transformers_logging.ERROR, False)]
    assert transformers_logging.get_verbosity() == transformers_logging.INFO
    assert transformers_logging.is_progress_bar_enabled() is bars
