"""AdapterHub's format against the library that defines it: the same logits, both ways."""

import json
from pathlib import Path
from typing import Any

import adapters
import pytest
import torch
from adapters import AutoAdapterModel
from torch import Tensor
from transformers import AutoModel, PreTrainedModel

from edgeadapt.backbones import backbone_spec
from edgeadapt.errors import IntegrityError, MissingError, ModelError, OutputExistsError
from edgeadapt.interop import ForeignAdapter, Format, adapterhub, detect
from edgeadapt.interop.adapterhub_config import Backbone, to_options
from edgeadapt.models.merge import merge
from edgeadapt.recipe import AdapterConfig, Placement
from tests.interop.foreign import (
    IDENTITY,
    LABELS,
    answers,
    at_hand,
    attached,
    edit,
    edit_options,
    random_adapter,
    same_adapters,
    shake,
)
from tests.models.tiny import logits, make_model

BACKBONES = ("bert", "roberta", "xlm-roberta", "electra", "distilbert", "albert", "deberta-v2")
NAMED = ("seq_bn[reduction_factor=4]", "double_seq_bn[reduction_factor=4]", "par_bn")
KINDS = {
    "seq_bn": AdapterConfig(method="sequential", dimension=3, activation="relu",
                            original_ln_before=True),
    "plain": AdapterConfig(method="sequential", dimension=3, activation="gelu", scaling=0.5),
    "double_seq_bn": AdapterConfig(method="houlsby", dimension=5, activation="swish"),
    "par_bn": AdapterConfig(method="parallel", dimension=8, activation="relu", scaling=4.0),
    "learned": AdapterConfig(method="parallel", dimension=4, learn_scaling=True),
    "factor": AdapterConfig(method="sequential", reduction_factor=3.0, activation="tanh"),
    "attention": AdapterConfig(method="parallel", dimension=4, placement=Placement.ATTENTION),
    "one layer": AdapterConfig(method="houlsby", dimension=4, layers="1", dropout=0.1),
}  # fmt: skip
"""What edgeadapt attaches -> what AdapterHub has to make of it."""


def adapted(model: PreTrainedModel, options: Any) -> PreTrainedModel:
    """The library's own model with a random adapter in it, active."""
    adapters.init(model)
    model.add_adapter("a", config=options)
    model.set_active_adapters("a")
    shake(model, ".adapters.a.")
    return model.eval()


def flexible(model_type: str, **head: Any) -> PreTrainedModel:
    """The library's class with flexible heads, on the same backbone as ``make_model``'s."""
    stock = make_model(model_type)
    model = AutoAdapterModel.from_config(stock.config)
    model.load_state_dict(stock.state_dict(), strict=False)
    if head:
        model.add_classification_head("a", id2label=dict(enumerate(LABELS)), **head)
        shake(model, "heads.a.")
    return model.eval()


def read(folder: Path, model_type: str = "bert") -> ForeignAdapter:
    return adapterhub.read(folder, **at_hand(make_model(model_type)))


def close(one: Tensor, other: Tensor) -> bool:
    return torch.allclose(one, other, atol=1e-5, rtol=0)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A seq_bn with a static head, as the library wrote it, to be changed."""
    model = adapted(make_model("bert"), "seq_bn[reduction_factor=4]")
    model.save_adapter(str(tmp_path / "saved"), "a")
    return tmp_path / "saved"


@pytest.mark.parametrize(
    ("model_type", "options"),
    [
        (model_type, options)
        for model_type in BACKBONES
        for options in NAMED
        if (model_type, options) != ("albert", NAMED[1])
    ]
    + [("albert", "double_seq_bn[reduction_factor=4,original_ln_before=True]")],
)
def test_what_the_library_saved_from_a_stock_class_gives_its_logits(
    model_type: str, options: str, tmp_path: Path
) -> None:
    theirs = adapted(make_model(model_type), options)
    shake(theirs, "classifier.")
    theirs.save_adapter(str(tmp_path / "a"), "a")

    adapter = read(tmp_path / "a", model_type)

    plain = logits(make_model(model_type))
    expected = logits(theirs)
    assert not torch.allclose(expected, plain, atol=0.05)
    assert close(answers(make_model(model_type), adapter), expected)
    assert adapter.labels == ("LABEL_0", "LABEL_1")
    assert detect(tmp_path / "a") is Format.ADAPTERHUB


@pytest.mark.parametrize(
    "options",
    [
        {"scaling": "learned"},
        {"leave_out": [0]},
        {"original_ln_before": False, "residual_before_ln": False},
        {"mh_adapter": True, "output_adapter": False},
        {"mh_adapter": True},
        {"reduction_factor": {"0": 4, "default": 4}},
        {"reduction_factor": 5.0},
        {"reduction_factor": 99},
        {"reduction_factor": 0.5, "non_linearity": "leakyrelu"},
        {"is_parallel": True, "non_linearity": "gelu", "scaling": 2.0},
        {"is_parallel": True, "mh_adapter": True, "scaling": "learned"},
        {"dropout": 0.3, "init_weights": "mam_adapter"},
    ],
    ids=str,
)
def test_options_mean_what_they_mean_to_the_library(options: Any, tmp_path: Path) -> None:
    config = adapters.SeqBnConfig(**{"reduction_factor": 4, **options})
    theirs = adapted(make_model("bert"), config)
    theirs.save_adapter(str(tmp_path / "a"), "a")

    adapter = read(tmp_path / "a")

    assert close(answers(make_model("bert"), adapter), logits(theirs))


def test_what_was_saved_from_a_bare_encoder_has_no_head(tmp_path: Path) -> None:
    stock = make_model("bert")
    encoder = AutoModel.from_config(stock.config)
    encoder.load_state_dict(stock.bert.state_dict())
    bare = adapted(encoder, "double_seq_bn[reduction_factor=4]")
    bare.save_adapter(str(tmp_path / "a"), "a")
    stock.bert = bare

    adapter = read(tmp_path / "a")

    assert (adapter.head, adapter.labels) == ({}, None)
    assert close(answers(make_model("bert"), adapter), logits(stock))


@pytest.mark.parametrize(
    ("model_type", "head"),
    [
        ("bert", {"layers": 2}),
        ("bert", {"layers": 1, "use_pooler": True}),
        ("albert", {"layers": 2, "use_pooler": False}),
        ("albert", {"layers": 1, "use_pooler": True}),
        ("roberta", {"layers": 2}),
        ("xlm-roberta", {"layers": 2}),
        ("electra", {"layers": 2, "activation_function": "gelu"}),
        ("distilbert", {"layers": 2, "activation_function": "relu"}),
        ("deberta-v2", {"layers": 2, "activation_function": "gelu"}),
    ],
)
def test_flexible_heads_become_the_stock_head(
    model_type: str, head: dict[str, Any], tmp_path: Path
) -> None:
    theirs = adapted(flexible(model_type, **head), "seq_bn[reduction_factor=4]")
    theirs.active_head = "a"
    theirs.save_adapter(str(tmp_path / "a"), "a")

    adapter = read(tmp_path / "a", model_type)

    assert adapter.labels == LABELS
    assert close(answers(make_model(model_type), adapter), logits(theirs))


def test_a_head_without_bias_gets_one_of_zeros(tmp_path: Path) -> None:
    theirs = adapted(flexible("bert", layers=2), "seq_bn[reduction_factor=4]")
    config = {**theirs.heads["a"].config, "bias": False, "layers": 2}
    theirs.add_prediction_head_from_config("a", config, overwrite_ok=True)
    theirs.save_adapter(str(tmp_path / "a"), "a")

    adapter = read(tmp_path / "a")

    assert adapter.head["classifier.bias"].tolist() == [0.0, 0.0]
    assert close(answers(make_model("bert"), adapter), logits(theirs))


def test_heads_whose_names_begin_alike_are_not_mixed_up(tmp_path: Path) -> None:
    theirs = adapted(flexible("roberta", layers=2), "seq_bn[reduction_factor=4]")
    theirs.add_classification_head("ab", num_labels=7)
    theirs.active_head = "a"
    theirs.save_adapter(str(tmp_path / "a"), "a")

    assert "heads.ab.1.weight" in torch.load(tmp_path / "a" / "pytorch_model_head.bin")
    adapter = read(tmp_path / "a", "roberta")
    assert close(answers(make_model("roberta"), adapter), logits(theirs))


@pytest.mark.parametrize("kind", KINDS)
def test_the_library_gives_our_logits_for_what_we_write(kind: str, tmp_path: Path) -> None:
    adapter, expected = random_adapter("bert", KINDS[kind])
    adapterhub.write(tmp_path / "a", adapter, **at_hand(make_model("bert")), name="mine")

    theirs = flexible("bert")
    assert theirs.load_adapter(str(tmp_path / "a"), set_active=True) == "mine"

    assert theirs.active_head == "mine"
    assert tuple(theirs.get_labels("mine")) == LABELS
    assert close(logits(theirs.eval()), expected)


@pytest.mark.parametrize("safetensors", [False, True])
@pytest.mark.parametrize("model_type", BACKBONES)
def test_heads_that_we_write_load_on_every_backbone(
    model_type: str, safetensors: bool, tmp_path: Path
) -> None:
    config = AdapterConfig(method="sequential", dimension=4, activation="relu")
    adapter, expected = random_adapter(model_type, config, same=model_type == "albert")
    hand = at_hand(make_model(model_type))
    adapterhub.write(tmp_path / "a", adapter, **hand, safetensors=safetensors)

    theirs = flexible(model_type)
    theirs.load_adapter(str(tmp_path / "a"), set_active=True, use_safetensors=safetensors)

    assert close(logits(theirs.eval()), expected)


def test_an_adapter_without_a_head_loads_into_a_stock_class(tmp_path: Path) -> None:
    adapter, expected = random_adapter("bert", KINDS["seq_bn"], head=False)
    adapterhub.write(tmp_path / "a", adapter, **at_hand(make_model("bert")))
    theirs = make_model("bert")
    adapters.init(theirs)

    theirs.load_adapter(str(tmp_path / "a"), set_active=True)

    assert close(logits(theirs.eval()), expected)


def test_a_head_that_leaves_the_pooler_to_the_backbone_is_written_as_such(tmp_path: Path) -> None:
    whole, _ = random_adapter("bert", KINDS["seq_bn"])
    part = {name: tensor for name, tensor in whole.head.items() if name.startswith("classifier")}
    adapter = ForeignAdapter(whole.config, whole.tensors, head=part, labels=LABELS)
    adapterhub.write(tmp_path / "a", adapter, **at_hand(make_model("bert")))
    theirs = flexible("bert")

    theirs.load_adapter(str(tmp_path / "a"), set_active=True)

    assert close(logits(theirs.eval()), answers(make_model("bert"), adapter))


@pytest.mark.parametrize("safetensors", [False, True])
@pytest.mark.parametrize("kind", ["seq_bn", "one layer", "learned"])
def test_reading_what_we_wrote_gives_it_back_bit_for_bit(
    kind: str, safetensors: bool, tmp_path: Path
) -> None:
    hand = at_hand(make_model("bert"))
    adapter, _ = random_adapter("bert", KINDS[kind], base_model="tiny/bert", identity=IDENTITY)
    adapterhub.write(tmp_path / "a", adapter, **hand, safetensors=safetensors)
    once = adapterhub.read(tmp_path / "a", **hand)
    adapterhub.write(tmp_path / "b", once, **hand)

    assert same_adapters(once, adapterhub.read(tmp_path / "b", **hand))
    assert once.identity == IDENTITY
    assert once.base_model == "tiny/bert"
    assert all(torch.equal(once.tensors[name], adapter.tensors[name]) for name in adapter.tensors)


def test_every_width_survives_being_written_as_a_factor() -> None:
    for hidden in (16, 384, 768):
        backbone = Backbone(hidden=hidden, stored=(0, 1), activation="gelu")
        for width in range(1, 2 * hidden):
            config = AdapterConfig(method="sequential", dimension=width)
            factor = to_options(config, Placement.FFN, backbone)["reduction_factor"]
            assert int(hidden // factor) == width


def test_a_par_bn_with_the_backbones_activation_merges_into_a_stock_model(tmp_path: Path) -> None:
    theirs = adapted(make_model("bert"), adapters.ParBnConfig(non_linearity="gelu"))
    theirs.save_adapter(str(tmp_path / "a"), "a")
    adapter = read(tmp_path / "a")
    classifier = attached(make_model("bert"), adapter.config)
    adapter.copy_to(classifier.adapter_parameters(), classifier.backbone.head)

    merged = merge(classifier)

    assert merged.is_stock
    assert close(logits(merged.model), logits(theirs))


def test_layers_that_share_weights_share_the_adapter(tmp_path: Path) -> None:
    theirs = adapted(make_model("albert"), "seq_bn[reduction_factor=4]")
    theirs.save_adapter(str(tmp_path / "a"), "a")

    adapter = read(tmp_path / "a", "albert")

    name = "sequential.layers.{}.ffn.up.weight"
    assert adapter.config.layers is None
    assert torch.equal(adapter.tensors[name.format(0)], adapter.tensors[name.format(1)])


@pytest.mark.parametrize("placement", [Placement.ATTENTION, Placement.BOTH])
def test_alberts_attention_adapters_are_refused_because_they_read_the_input(
    placement: Placement, tmp_path: Path
) -> None:
    config = AdapterConfig(method="houlsby", dimension=4, placement=placement)
    adapter, _ = random_adapter("albert", config, same=True)
    hand = at_hand(make_model("albert"))
    adapted(make_model("albert"), "double_seq_bn").save_adapter(str(tmp_path / "a"), "a")

    with pytest.raises(ModelError, match=r"mh_adapter .*reads the attention's input"):
        adapterhub.read(tmp_path / "a", **hand)
    with pytest.raises(ModelError, match=r"mh_adapter .*reads the attention's input"):
        adapterhub.write(tmp_path / "b", adapter, **hand)


class TestLegacyFiles:
    """Files of adapter-transformers, the library's first name."""

    def test_gelu_without_a_version_is_the_tanh_form(self, saved: Path) -> None:
        edit(saved / "adapter_config.json", version=...)
        edit_options(saved / "adapter_config.json", non_linearity="gelu")
        theirs = make_model("bert")
        adapters.init(theirs)
        theirs.load_adapter(str(saved), set_active=True)

        adapter = read(saved)

        assert adapter.config.activation == "gelu_new"
        assert close(answers(make_model("bert"), adapter), logits(theirs.eval()))

    def test_gelu_orig_without_a_version_is_the_exact_form(self, saved: Path) -> None:
        edit(saved / "adapter_config.json", version=...)
        edit_options(saved / "adapter_config.json", non_linearity="gelu_orig")

        assert read(saved).config.activation == "gelu"

    def test_gelu_with_a_version_stays(self, saved: Path) -> None:
        edit(saved / "adapter_config.json", version="3.2.1")
        edit_options(saved / "adapter_config.json", non_linearity="gelu")

        assert read(saved).config.activation == "gelu"

    @pytest.mark.parametrize("model_type", ["bert", "distilbert"])
    def test_version_1_reads_as_the_library_reads_it(self, model_type: str, tmp_path: Path) -> None:
        folder = tmp_path / "a"
        options = adapters.DoubleSeqBnConfig(reduction_factor=4, non_linearity="relu")
        adapted(make_model(model_type), options).save_adapter(str(folder), "a")
        as_version_1_wrote(folder)
        theirs = make_model(model_type)
        adapters.init(theirs)
        theirs.load_adapter(str(folder), set_active=True)

        adapter = read(folder, model_type)

        assert adapter.config.method == "houlsby"
        assert close(answers(make_model(model_type), adapter), logits(theirs.eval()))

    def test_missing_options_take_the_defaults(self, saved: Path) -> None:
        before = read(saved)
        edit(
            saved / "adapter_config.json",
            config={
                "mh_adapter": False,
                "output_adapter": True,
                "reduction_factor": 4,
                "non_linearity": "relu",
                "original_ln_before": True,
            },
        )

        assert same_adapters(read(saved), before)

    @pytest.mark.parametrize(
        ("name", "method", "scaling"),
        [("pfeiffer", "sequential", 1.0), ("houlsby", "houlsby", 1.0), ("parallel", "parallel", 4)],
    )
    def test_a_name_stands_for_its_options(
        self, name: str, method: str, scaling: float, tmp_path: Path
    ) -> None:
        theirs = adapted(make_model("bert"), name)
        theirs.save_adapter(str(tmp_path / "a"), "a")
        edit(tmp_path / "a" / "adapter_config.json", config=name)

        adapter = read(tmp_path / "a")

        assert (adapter.config.method, adapter.config.scaling) == (method, scaling)
        assert close(answers(make_model("bert"), adapter), logits(theirs))

    def test_no_options_at_all_are_the_librarys_default(self, tmp_path: Path) -> None:
        theirs = adapted(make_model("bert"), "seq_bn")
        theirs.save_adapter(str(tmp_path / "a"), "a")
        edit(tmp_path / "a" / "adapter_config.json", config=None)

        assert close(answers(make_model("bert"), read(tmp_path / "a")), logits(theirs))

    def test_a_head_of_a_model_with_heads_is_read(self, tmp_path: Path) -> None:
        theirs = adapted(flexible("bert", layers=2), "seq_bn[reduction_factor=4]")
        theirs.active_head = "a"
        theirs.save_adapter(str(tmp_path / "a"), "a")
        edit(tmp_path / "a" / "head_config.json", model_class="BertModelWithHeads", version=...)
        edit_options(
            tmp_path / "a" / "head_config.json", bias=..., dropout_prob=..., use_pooler=...
        )

        assert close(answers(make_model("bert"), read(tmp_path / "a")), logits(theirs))

    def test_an_invertible_adapter_that_a_task_adapter_only_names_is_ignored(
        self, saved: Path
    ) -> None:
        nested = {"block_type": "nice", "non_linearity": "relu", "reduction_factor": 2}
        before = read(saved)
        edit(saved / "adapter_config.json", type="text_task", version=...)
        edit_options(saved / "adapter_config.json", invertible_adapter=nested, inv_adapter=...)

        assert same_adapters(read(saved), before)


def as_version_1_wrote(folder: Path) -> None:
    """Changes a double_seq_bn's names into those of adapter-transformers 1."""
    weights = torch.load(folder / "pytorch_adapter.bin")
    renamed = {}
    for key, tensor in weights.items():
        place = "attention" if "attention" in key else "layer"
        renamed[key.replace(".adapters.", f".{place}_text_task_adapters.")] = tensor
    torch.save(renamed, folder / "pytorch_adapter.bin")
    options = {
        "original_ln_before": False,
        "original_ln_after": True,
        "residual_before_ln": True,
        "adapter_residual_before_ln": False,
        "ln_before": False,
        "ln_after": False,
        "mh_adapter": True,
        "output_adapter": True,
        "non_linearity": "relu",
        "reduction_factor": 4,
        "invertible_adapter": None,
    }
    edit(folder / "adapter_config.json", config=options, type="text_task", version=...)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("ln_before", True),
        ("ln_after", True),
        ("adapter_residual_before_ln", True),
        ("original_ln_after", False),
        ("residual_before_ln", False),
        ("residual_before_ln", "post_add"),
        ("use_gating", True),
        ("cross_adapter", True),
        ("phm_layer", True),
        ("inv_adapter", "nice"),
        ("inv_adapter", "glow"),
        ("invertible_adapter", {"block_type": "nice"}),
        ("scaling", "channel"),
        ("scaling", True),
        ("architecture", "prefix_tuning"),
        ("architecture", "lora"),
        ("architecture", "reft"),
        ("architecture", "union"),
        ("reduction_factor", {"0": 4, "default": 8}),
        ("reduction_factor", {"1": 4}),
        ("reduction_factor", 0),
        ("leave_out", [0, 1]),
        ("mixture_of_experts", 8),
        ("non_linearity", "nonsense"),
        ("non_linearity", "prelu"),
        ("dropout", 1.5),
    ],
)
def test_an_option_that_changes_the_function_is_refused_by_name(
    saved: Path, option: str, value: object
) -> None:
    edit_options(saved / "adapter_config.json", **{option: value})

    with pytest.raises(ModelError) as caught:
        read(saved)

    named = {"architecture": str(value), "invertible_adapter": "inv_adapter"}.get(option, option)
    assert named in caught.value.message
    assert "supported:" in caught.value.message
    assert str(saved) in caught.value.message


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ("seq_bn_inv", "inv_adapter"),
        ("compacter", "phm_layer"),
        ("prefix_tuning_flat", "prefix_tuning"),
        ("lora", "lora"),
        ("mam", "union"),
        ("seq_bn[ln_after=True]", "ln_after"),
    ],
)
def test_what_the_library_saves_of_another_kind_is_refused_by_name(
    options: str, named: str, tmp_path: Path
) -> None:
    if options == "compacter":
        options = "compacter[phm_dim=2,reduction_factor=4]"
    adapted(make_model("bert"), options).save_adapter(str(tmp_path / "a"), "a")

    with pytest.raises(ModelError, match=named):
        read(tmp_path / "a")


@pytest.mark.parametrize("name", ["prefix_tuning", "mam", "compacter++", "seq_bn_inv", "nonsense"])
def test_a_name_of_another_kind_is_refused(saved: Path, name: str) -> None:
    edit(saved / "adapter_config.json", config=name)

    with pytest.raises(ModelError, match=f"the configuration '{name}'".replace("+", r"\+")):
        read(saved)


def test_options_of_no_bottleneck_are_refused(saved: Path) -> None:
    edit(saved / "adapter_config.json", config={"rank": 8})

    with pytest.raises(ModelError, match="found no mh_adapter, output_adapter"):
        read(saved)


@pytest.mark.parametrize("model_type", ["mpnet", "modernbert"])
def test_backbones_that_the_library_has_no_sound_layout_for_are_refused(
    model_type: str, tmp_path: Path
) -> None:
    adapter, _ = random_adapter(model_type, KINDS["plain"])
    hand = at_hand(make_model(model_type))

    for act in (
        lambda: adapterhub.read(tmp_path, **hand),
        lambda: adapterhub.write(tmp_path / "a", adapter, **hand),
    ):
        with pytest.raises(ModelError, match=f"model type {model_type}"):
            act()


@pytest.mark.parametrize(("name", "value"), [("model_type", "roberta"), ("hidden_size", 768)])
def test_an_adapter_for_another_backbone_is_refused(saved: Path, name: str, value: object) -> None:
    edit(saved / "adapter_config.json", **{name: value})

    with pytest.raises(ModelError, match=f"{name}: expected .*, found {value}"):
        read(saved)


def test_an_adapter_of_another_width_is_refused(saved: Path) -> None:
    edit_options(saved / "adapter_config.json", reduction_factor=2)

    with pytest.raises(ModelError, match=r"expected the shape \(8, 16\), found \(4, 16\)"):
        read(saved)


def test_missing_and_unexpected_tensors_are_named(saved: Path) -> None:
    file = saved / "pytorch_adapter.bin"
    tensors = torch.load(file)
    gone = "bert.encoder.layer.0.output.adapters.a.adapter_up.bias"
    tensors["bert.encoder.layer.7.output.adapters.a.adapter_up.bias"] = tensors.pop(gone)
    torch.save(tensors, file)

    with pytest.raises(ModelError) as caught:
        read(saved)

    assert "1 missing [encoder.layer.0.output.adapters.a.adapter_up.bias]" in caught.value.message
    assert "unexpected [encoder.layer.7.output.adapters.a.adapter_up.bias]" in caught.value.message


def test_one_tensor_under_two_names_is_refused(saved: Path) -> None:
    file = saved / "pytorch_adapter.bin"
    tensors = torch.load(file)
    tensors |= {key.removeprefix("bert."): tensor for key, tensor in tensors.items()}
    torch.save(tensors, file)

    with pytest.raises(ModelError, match="found two"):
        read(saved)


def test_a_configuration_without_a_name_is_refused(saved: Path) -> None:
    edit(saved / "adapter_config.json", name=...)

    with pytest.raises(ModelError, match="name: expected the adapter's name, found None"):
        read(saved)


class TestRefusedHeads:
    """The stock class has one form of head for each backbone."""

    @pytest.mark.parametrize(
        ("model_type", "head"),
        [
            ("bert", {"layers": 1}),
            ("bert", {"layers": 2, "use_pooler": True}),
            ("bert", {"layers": 2, "activation_function": "relu"}),
            ("bert", {"layers": 3}),
            ("roberta", {"layers": 1}),
            ("deberta-v2", {"layers": 2, "activation_function": "tanh"}),
            ("distilbert", {"layers": 2, "activation_function": "tanh"}),
        ],
    )
    def test_other_forms_are_refused_with_the_reason(
        self, model_type: str, head: dict[str, Any], tmp_path: Path
    ) -> None:
        theirs = adapted(flexible(model_type, **head), "seq_bn[reduction_factor=4]")
        theirs.save_adapter(str(tmp_path / "a"), "a")

        refusal = f"a head of {head['layers']} layers.*supported: the stock class"
        with pytest.raises(ModelError, match=refusal):
            read(tmp_path / "a", model_type)

    def test_other_tasks_are_refused_by_name(self, tmp_path: Path) -> None:
        theirs = adapted(flexible("bert"), "seq_bn[reduction_factor=4]")
        theirs.add_tagging_head("a")
        theirs.save_adapter(str(tmp_path / "a"), "a")

        with pytest.raises(ModelError, match="a tagging head"):
            read(tmp_path / "a")

    def test_other_classes_are_refused_by_name(self, saved: Path) -> None:
        edit(saved / "head_config.json", model_class="BertForTokenClassification")

        with pytest.raises(ModelError, match="BertForTokenClassification"):
            read(saved)

    def test_regression_is_refused(self, tmp_path: Path) -> None:
        theirs = adapted(flexible("bert"), "seq_bn[reduction_factor=4]")
        theirs.add_classification_head("a", num_labels=1)
        theirs.save_adapter(str(tmp_path / "a"), "a")

        with pytest.raises(ModelError, match="num_labels = 1"):
            read(tmp_path / "a")

    def test_labels_have_to_number_the_outputs(self, saved: Path) -> None:
        edit(saved / "head_config.json", label2id={"no": 0, "yes": 2})

        with pytest.raises(
            ModelError, match=r"label2id: .*indices 0 to 1.*found \{'no': 0, 'yes': 2"
        ):
            read(saved)

    def test_a_head_for_another_backbone_is_refused(self, saved: Path) -> None:
        edit(saved / "head_config.json", model_type="roberta")

        with pytest.raises(ModelError, match="a head for roberta"):
            read(saved)

    def test_a_head_of_another_shape_is_refused(self, saved: Path) -> None:
        edit(saved / "head_config.json", num_labels=3, label2id={"a": 0, "b": 1, "c": 2})

        with pytest.raises(ModelError, match=r"classifier\.weight: expected the shape \(3, 16\)"):
            read(saved)

    @pytest.mark.parametrize("gone", ["head_config.json", "pytorch_model_head.bin"])
    def test_half_a_head_is_missing(self, saved: Path, gone: str) -> None:
        (saved / gone).unlink()

        with pytest.raises(MissingError, match="head"):
            read(saved)

    def test_without_its_files_there_is_no_head(self, saved: Path) -> None:
        for name in ("head_config.json", "pytorch_model_head.bin"):
            (saved / name).unlink()

        assert read(saved).head == {}


class TestRefusedToWrite:
    """What the format cannot hold."""

    @pytest.mark.parametrize("method", ["lora", "compacter", "ia3", "parallel+bitfit", "head"])
    def test_other_methods(self, method: str, tmp_path: Path) -> None:
        adapter = ForeignAdapter(AdapterConfig(method=method), {})

        with pytest.raises(ModelError, match=f"the method {method}".replace("+", r"\+")):
            adapterhub.write(tmp_path / "a", adapter, **at_hand(make_model("bert")))
        assert not (tmp_path / "a").exists()

    def test_a_name_with_dots(self, tmp_path: Path) -> None:
        adapter, _ = random_adapter("bert", KINDS["plain"])

        with pytest.raises(ModelError, match=r"the name 'v1\.0'"):
            adapterhub.write(tmp_path / "a", adapter, **at_hand(make_model("bert")), name="v1.0")

    def test_tensors_that_do_not_fit_the_configuration(self, tmp_path: Path) -> None:
        adapter, _ = random_adapter("bert", KINDS["plain"])
        other = ForeignAdapter(AdapterConfig(method="sequential", dimension=9), adapter.tensors)

        with pytest.raises(ModelError, match=r"expected the shape \(9, 16\), found \(3, 16\)"):
            adapterhub.write(tmp_path / "a", other, **at_hand(make_model("bert")))

    def test_part_of_a_head(self, tmp_path: Path) -> None:
        whole, _ = random_adapter("bert", KINDS["plain"])
        part = {"bert.pooler.dense.weight": whole.head["bert.pooler.dense.weight"]}
        adapter = ForeignAdapter(whole.config, whole.tensors, head=part)

        with pytest.raises(ModelError, match=r"The head: expected 4 tensors, found 1: 3 missing"):
            adapterhub.write(tmp_path / "a", adapter, **at_hand(make_model("bert")))
        assert not (tmp_path / "a").exists()

    def test_different_adapters_for_layers_that_share_weights(self, tmp_path: Path) -> None:
        adapter, _ = random_adapter("albert", KINDS["plain"])

        with pytest.raises(ModelError, match="different adapters for layers of albert"):
            adapterhub.write(tmp_path / "a", adapter, **at_hand(make_model("albert")))

    def test_adapters_on_some_of_the_layers_that_share_weights(self, tmp_path: Path) -> None:
        config = AdapterConfig(method="sequential", dimension=3, layers="1")
        adapter, _ = random_adapter("albert", config)

        with pytest.raises(ModelError, match="all layers that share their weights, 0 to 1"):
            adapterhub.write(tmp_path / "a", adapter, **at_hand(make_model("albert")))

    def test_labels_that_the_head_has_no_outputs_for(self, tmp_path: Path) -> None:
        whole, _ = random_adapter("bert", KINDS["plain"])
        adapter = ForeignAdapter(
            whole.config, whole.tensors, head=whole.head, labels=("a", "b", "c")
        )

        with pytest.raises(IntegrityError, match="a head of 2 outputs"):
            adapterhub.write(tmp_path / "a", adapter, **at_hand(make_model("bert")))

    def test_a_folder_that_exists(self, tmp_path: Path) -> None:
        adapter, _ = random_adapter("bert", KINDS["plain"])
        hand = at_hand(make_model("bert"))
        adapterhub.write(tmp_path / "a", adapter, **hand)

        with pytest.raises(OutputExistsError):
            adapterhub.write(tmp_path / "a", adapter, **hand)
        adapterhub.write(tmp_path / "a", adapter, **hand, force=True)


def test_the_written_options_are_all_that_the_library_knows(tmp_path: Path) -> None:
    adapter, _ = random_adapter("bert", KINDS["seq_bn"])
    adapterhub.write(tmp_path / "a", adapter, **at_hand(make_model("bert")))
    written = json.loads((tmp_path / "a" / "adapter_config.json").read_text())

    known = adapters.SeqBnConfig(reduction_factor=16 / 3).to_dict()
    assert written["config"].keys() == known.keys()
    different = {key for key in known if written["config"][key] != known[key]}
    assert different <= {"reduction_factor"}
    assert backbone_spec(written["model_type"]).model_type == "bert"
