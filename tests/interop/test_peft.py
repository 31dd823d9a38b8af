"""PEFT's format against the library that defines it: the same logits, both ways."""

import json
import warnings
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoModel, PreTrainedModel

from edgeadapt.adapters import BackboneModel
from edgeadapt.backbones import backbone_spec
from edgeadapt.errors import IntegrityError, MissingError, ModelError, OutputExistsError
from edgeadapt.interop import ForeignAdapter, Format, detect
from edgeadapt.interop.peft import read, write
from edgeadapt.models.merge import merge
from edgeadapt.recipe import AdapterConfig
from tests.conftest import TINY_CONFIGS
from tests.interop.foreign import (
    IDENTITY,
    LABELS,
    answers,
    at_hand,
    attached,
    edit,
    random_adapter,
    same_adapters,
    shake,
)
from tests.models.tiny import logits, make_model

QUERY_VALUE = {
    "distilbert": ["q_lin", "v_lin"],
    "mpnet": ["q", "v"],
    "deberta-v2": ["query_proj", "value_proj"],
    "modernbert": ["Wqkv"],
}
"""Names of query and value, where they are not ``query`` and ``value``."""


def adapted(model: PreTrainedModel, **options: Any) -> peft.PeftModel:
    """The library's own model with a random LoRA in it."""
    options = {"task_type": "SEQ_CLS", "r": 3, "lora_alpha": 6, **options}
    theirs = peft.get_peft_model(model, peft.LoraConfig(**options))
    shake(theirs, "lora_", "modules_to_save.default")
    return theirs.eval()


def loaded(folder: Path, model_type: str = "bert") -> peft.PeftModel:
    """What the library makes of a folder; it may not find anything missing."""
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*missing adapter keys.*")
        return peft.PeftModel.from_pretrained(make_model(model_type), str(folder)).eval()


def read_at(folder: Path, model_type: str = "bert", **more: Any) -> ForeignAdapter:
    return read(folder, **at_hand(make_model(model_type)), **more)


def head_of(model: PreTrainedModel) -> dict[str, Tensor]:
    head = BackboneModel.of(model, backbone_spec(model.config.model_type)).head
    return {name: parameter.detach() for name, parameter in head.items()}


def close(one: Tensor, other: Tensor) -> bool:
    return torch.allclose(one, other, atol=1e-5, rtol=0)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """LoRA on query and value with a head, as the library wrote it, to be changed."""
    adapted(make_model("bert")).save_pretrained(str(tmp_path / "saved"))
    return tmp_path / "saved"


@pytest.mark.parametrize("model_type", TINY_CONFIGS)
def test_what_the_library_saved_gives_its_logits(model_type: str, tmp_path: Path) -> None:
    targets = QUERY_VALUE.get(model_type, ["query", "value"])
    theirs = adapted(make_model(model_type), target_modules=targets)
    theirs.save_pretrained(str(tmp_path / "a"))

    adapter = read_at(tmp_path / "a", model_type)

    expected = logits(theirs)
    assert not torch.allclose(expected, logits(make_model(model_type)), atol=0.05)
    assert close(answers(make_model(model_type), adapter), expected)
    assert adapter.labels is None
    assert detect(tmp_path / "a") is Format.PEFT


@pytest.mark.parametrize(
    ("options", "targets"),
    [
        ({"use_rslora": True}, "query+value"),
        ({"lora_alpha": 5, "lora_dropout": 0.2}, "query+value"),
        ({"layers_to_transform": [1]}, "query+value"),
        ({"target_modules": ["key", "intermediate.dense"]}, "key+ffn-in"),
        ({"target_modules": ["attention.output.dense"]}, "dense"),
        ({"target_modules": r"bert\.encoder\.layer\.\d+\.output\.dense"}, "ffn-out"),
        ({"target_modules": "all-linear", "exclude_modules": ["dense"]}, "query+key+value"),
        ({"target_modules": r".*layer.*(key|dense)"}, "key+dense+ffn"),
        ({"rank_pattern": {"query": 3}, "alpha_pattern": {"value": 6}}, "query+value"),
        ({"init_lora_weights": "gaussian"}, "query+value"),
        ({"modules_to_save": ["pooler"]}, "query+value"),
        ({"task_type": "FEATURE_EXTRACTION"}, "query+value"),
    ],
    ids=str,
)
def test_options_mean_what_they_mean_to_the_library(
    options: dict[str, Any], targets: str, tmp_path: Path
) -> None:
    theirs = adapted(make_model("bert"), **options)
    theirs.save_pretrained(str(tmp_path / "a"))

    adapter = read_at(tmp_path / "a")

    assert adapter.config.targets == targets
    expected = theirs.base_model.model if "FEATURE" in str(options) else theirs
    assert close(answers(make_model("bert"), adapter), logits(expected))


@pytest.mark.parametrize("safetensors", [False, True])
def test_a_bin_file_is_read_too(safetensors: bool, tmp_path: Path) -> None:
    theirs = adapted(make_model("bert"))
    theirs.save_pretrained(str(tmp_path / "a"), safe_serialization=safetensors)

    assert (tmp_path / "a" / "adapter_model.bin").exists() != safetensors
    assert close(answers(make_model("bert"), read_at(tmp_path / "a")), logits(theirs))


@pytest.mark.parametrize("model_type", ["bert", "modernbert"])
def test_what_was_saved_from_a_bare_encoder_has_no_head(model_type: str, tmp_path: Path) -> None:
    stock = make_model(model_type)
    spec = backbone_spec(model_type)
    encoder = AutoModel.from_config(stock.config)
    encoder.load_state_dict(getattr(stock, spec.encoder).state_dict())
    targets = QUERY_VALUE.get(model_type, ["query", "value"])
    theirs = adapted(encoder, task_type="FEATURE_EXTRACTION", target_modules=targets)
    theirs.save_pretrained(str(tmp_path / "a"))
    setattr(stock, spec.encoder, theirs.base_model.model)

    adapter = read_at(tmp_path / "a", model_type)

    assert adapter.head == {}
    assert close(answers(make_model(model_type), adapter), logits(stock))


def test_lora_on_the_whole_of_wqkv_is_lora_on_all_three(tmp_path: Path) -> None:
    theirs = adapted(make_model("modernbert"), target_modules=["Wqkv", "Wi"])
    theirs.save_pretrained(str(tmp_path / "a"))

    adapter = read_at(tmp_path / "a", "modernbert")

    assert adapter.config.targets == "query+key+value+ffn-in"
    assert close(answers(make_model("modernbert"), adapter), logits(theirs))


class TestLoraOnTheHead:
    """Targets such as ``dense`` and ``all-linear`` match parts of the head."""

    @pytest.mark.parametrize("model_type", ["bert", "modernbert", "deberta-v2"])
    def test_is_folded_into_the_weight_at_hand(self, model_type: str, tmp_path: Path) -> None:
        theirs = adapted(make_model(model_type), target_modules="all-linear")
        theirs.save_pretrained(str(tmp_path / "a"))

        head = head_of(make_model(model_type))
        adapter = read_at(tmp_path / "a", model_type, base_head=head)

        assert close(answers(make_model(model_type), adapter), logits(theirs))

    def test_is_folded_where_no_head_is_stored_too(self, tmp_path: Path) -> None:
        options = {"task_type": None, "target_modules": "all-linear"}
        theirs = adapted(make_model("roberta"), **options)
        theirs.save_pretrained(str(tmp_path / "a"))

        head = head_of(make_model("roberta"))
        adapter = read_at(tmp_path / "a", "roberta", base_head=head)

        assert close(answers(make_model("roberta"), adapter), logits(theirs))

    def test_is_refused_where_the_weight_is_not_at_hand(self, tmp_path: Path) -> None:
        adapted(make_model("bert"), target_modules=["dense"]).save_pretrained(str(tmp_path / "a"))

        with pytest.raises(ModelError, match=r"found LoRA on bert\.pooler\.dense, a part of the"):
            read_at(tmp_path / "a")


@pytest.mark.parametrize("head", [True, False])
@pytest.mark.parametrize("model_type", TINY_CONFIGS)
def test_the_library_gives_our_logits_for_what_we_write(
    model_type: str, head: bool, tmp_path: Path
) -> None:
    config = AdapterConfig(method="lora", rank=3, scaling=1.5, targets="query+dense+ffn-out")
    adapter, expected = random_adapter(model_type, config, head=head, same=model_type == "albert")
    write(tmp_path / "a", adapter, **at_hand(make_model(model_type)))

    assert close(logits(loaded(tmp_path / "a", model_type)), expected)


@pytest.mark.parametrize(
    "config",
    [
        AdapterConfig(method="lora", rank=2, targets="query+key+value+dense+ffn", layers="1"),
        AdapterConfig(method="lora", rank=4, targets="ffn-in", scaling=0.25, dropout=0.1),
        AdapterConfig(method="lora", rank=1, targets="dense", scaling=1 / 3),
    ],
    ids=str,
)
@pytest.mark.parametrize("safetensors", [False, True])
def test_reading_what_we_wrote_gives_it_back_bit_for_bit(
    config: AdapterConfig, safetensors: bool, tmp_path: Path
) -> None:
    adapter, expected = random_adapter("bert", config, base_model="tiny", identity=IDENTITY)
    hand = at_hand(make_model("bert"))
    write(tmp_path / "a", adapter, **hand, safetensors=safetensors)

    assert same_adapters(read(tmp_path / "a", **hand), adapter)
    assert close(logits(loaded(tmp_path / "a")), expected)


def test_one_of_the_blocks_of_wqkv_can_be_written(tmp_path: Path) -> None:
    config = AdapterConfig(method="lora", rank=2, targets="value+query+dense")
    adapter, expected = random_adapter("modernbert", config)
    write(tmp_path / "a", adapter, **at_hand(make_model("modernbert")))

    again = read_at(tmp_path / "a", "modernbert")

    assert close(logits(loaded(tmp_path / "a", "modernbert")), expected)
    assert close(answers(make_model("modernbert"), again), expected)


def test_a_shared_a_of_wqkv_stays_shared(tmp_path: Path) -> None:
    theirs = adapted(make_model("modernbert"), target_modules=["Wqkv"])
    theirs.save_pretrained(str(tmp_path / "a"))
    hand = at_hand(make_model("modernbert"))

    write(tmp_path / "b", read(tmp_path / "a", **hand), **hand)

    first, second = (load_file(tmp_path / name / "adapter_model.safetensors") for name in "ab")
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_what_was_read_merges_into_a_stock_model(saved: Path) -> None:
    adapter = read_at(saved)
    classifier = attached(make_model("bert"), adapter.config)
    adapter.copy_to(classifier.adapter_parameters(), classifier.backbone.head)

    merged = merge(classifier)

    assert merged.is_stock
    assert close(logits(merged.model), logits(loaded(saved)))


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("peft_type", "IA3"),
        ("peft_type", "ADALORA"),
        ("peft_type", "PREFIX_TUNING"),
        ("peft_type", None),
        ("task_type", "TOKEN_CLS"),
        ("bias", "all"),
        ("bias", "lora_only"),
        ("use_dora", True),
        ("use_qalora", True),
        ("lora_bias", True),
        ("fan_in_fan_out", True),
        ("rank_pattern", {"query": 8}),
        ("alpha_pattern", {"query": 8}),
        ("init_lora_weights", "pissa"),
        ("init_lora_weights", "olora"),
        ("init_lora_weights", "loftq"),
        ("layer_replication", [[0, 2]]),
        ("trainable_token_indices", [1]),
        ("target_parameters", ["x"]),
        ("r", 0),
        ("r", 2.5),
        ("lora_alpha", "8"),
        ("from_the_future", 1),
    ],
)
def test_an_option_that_changes_the_function_is_refused_by_name(
    saved: Path, option: str, value: object
) -> None:
    edit(saved / "adapter_config.json", **{option: value})

    with pytest.raises(ModelError) as caught:
        read_at(saved)

    assert f"{option} = {value!r}" in caught.value.message
    assert "supported:" in caught.value.message
    assert str(saved) in caught.value.message


@pytest.mark.parametrize(
    ("config", "named"),
    [
        (peft.LoraConfig(use_dora=True), "use_dora"),
        (peft.LoraConfig(bias="all"), "bias"),
        (peft.LoraConfig(lora_bias=True), "lora_bias"),
        (peft.LoraConfig(rank_pattern={"query": 2}), "rank_pattern"),
        (peft.IA3Config(), "peft_type = 'IA3'"),
        (peft.LoHaConfig(target_modules=["query"]), "peft_type = 'LOHA'"),
        (peft.PromptTuningConfig(num_virtual_tokens=2), "peft_type = 'PROMPT_TUNING'"),
        (peft.LoraConfig(target_modules=["word_embeddings"]), "lora_embedding"),
        (peft.LoraConfig(modules_to_save=["LayerNorm"]), "stored in full that are not the head's"),
        (
            peft.LoraConfig(target_modules=["0.attention.self.query", "1.attention.self.value"]),
            "LoRA on attention.self.query in layer 0 and on attention.self.value in layer 1",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_the_library_saves_of_another_kind_is_refused_by_name(
    config: peft.PeftConfig, named: str, tmp_path: Path
) -> None:
    config.task_type = "SEQ_CLS"
    peft.get_peft_model(make_model("bert"), config).save_pretrained(str(tmp_path / "a"))

    with pytest.raises(ModelError) as caught:
        read_at(tmp_path / "a")

    assert named in caught.value.message


def test_lora_outside_of_layers_and_head_is_refused_by_name(tmp_path: Path) -> None:
    theirs = adapted(make_model("electra"), target_modules="all-linear")
    theirs.save_pretrained(str(tmp_path / "a"))

    with pytest.raises(ModelError, match=r"found LoRA on electra\.embeddings_project"):
        read_at(tmp_path / "a", "electra")


def test_lora_on_other_layers_than_the_backbone_has_is_refused(saved: Path) -> None:
    hand = at_hand(make_model("bert"))
    config = {**hand["config"], "num_hidden_layers": 1}

    with pytest.raises(ModelError, match=r"LoRA on layers from 0 to 0.*found \[1\]"):
        read(saved, spec=hand["spec"], config=config)


def test_an_adapter_for_another_backbone_is_refused(saved: Path) -> None:
    with pytest.raises(ModelError, match=r"found LoRA on"):
        read_at(saved, "distilbert")


def test_an_adapter_of_another_width_is_refused(saved: Path) -> None:
    hand = at_hand(make_model("bert"))
    config = {**hand["config"], "hidden_size": 32}

    with pytest.raises(ModelError, match=r"expected the shape \(2, 32\), found \(2, 16\)"):
        read(saved, spec=hand["spec"], config=config)


def test_a_rank_that_the_weights_do_not_have_is_refused(saved: Path) -> None:
    edit(saved / "adapter_config.json", r=8)

    with pytest.raises(ModelError, match=r"expected the shape \(8, 16\), found \(3, 16\)"):
        read_at(saved)


@pytest.mark.parametrize(
    ("key", "message"),
    [
        (
            "base_model.model.bert.encoder.layer.0.attention.self.query.lora_A.weight",
            "expected both",
        ),
        ("classifier.weight", "names that begin with base_model.model."),
        ("base_model.model.classifier.lora_magnitude_vector", "lora_magnitude_vector"),
    ],
)
def test_odd_tensors_are_refused_by_name(saved: Path, key: str, message: str) -> None:
    file = saved / "adapter_model.safetensors"
    tensors = load_file(file)
    if key in tensors:
        del tensors[key.replace("lora_A", "lora_B")]
    tensors[key] = torch.ones(3, 16)
    save_file(tensors, file)

    with pytest.raises(ModelError) as caught:
        read_at(saved)

    assert message in caught.value.message


def test_a_head_of_another_shape_is_refused(saved: Path) -> None:
    file = saved / "adapter_model.safetensors"
    tensors = load_file(file)
    tensors["base_model.model.classifier.bias"] = torch.ones(5)
    save_file(tensors, file)

    with pytest.raises(ModelError, match=r"classifier\.bias: expected the shape \(2,\), found \(5"):
        read_at(saved)


def test_without_weights_there_is_nothing_to_read(saved: Path) -> None:
    (saved / "adapter_model.safetensors").unlink()

    with pytest.raises(MissingError, match=r"adapter_model\.safetensors or adapter_model\.bin"):
        read_at(saved)


def test_labels_travel_beside_the_files(tmp_path: Path) -> None:
    config = AdapterConfig(method="lora")
    adapter, _ = random_adapter("bert", config, identity=IDENTITY)
    write(tmp_path / "a", adapter, **at_hand(make_model("bert")))

    assert read_at(tmp_path / "a").labels == LABELS
    edit(tmp_path / "a" / "edgeadapt.json", labels=["only one"])
    with pytest.raises(IntegrityError, match="a head of 2 outputs"):
        read_at(tmp_path / "a")


class TestRefusedToWrite:
    """What the format cannot hold."""

    @pytest.mark.parametrize("method", ["sequential", "parallel", "lora+bitfit", "head"])
    def test_other_methods(self, method: str, tmp_path: Path) -> None:
        adapter = ForeignAdapter(AdapterConfig(method=method), {})

        with pytest.raises(ModelError, match=f"the method {method}".replace("+", r"\+")):
            write(tmp_path / "a", adapter, **at_hand(make_model("bert")))

    def test_tensors_that_do_not_fit_the_configuration(self, tmp_path: Path) -> None:
        adapter, _ = random_adapter("bert", AdapterConfig(method="lora", rank=2))
        other = ForeignAdapter(AdapterConfig(method="lora", rank=2, targets="key"), adapter.tensors)

        with pytest.raises(ModelError, match=r"4 missing .*8 unexpected"):
            write(tmp_path / "a", other, **at_hand(make_model("bert")))

    def test_a_head_that_is_not_the_backbones(self, tmp_path: Path) -> None:
        whole, _ = random_adapter("bert", AdapterConfig(method="lora"))
        adapter = ForeignAdapter(whole.config, whole.tensors, head={"score.weight": torch.ones(2)})

        with pytest.raises(ModelError, match=r"unexpected \[score\.weight\]"):
            write(tmp_path / "a", adapter, **at_hand(make_model("bert")))

    @pytest.mark.parametrize("layers", [None, "1"])
    def test_different_lora_for_layers_that_share_weights(
        self, layers: str | None, tmp_path: Path
    ) -> None:
        adapter, _ = random_adapter("albert", AdapterConfig(method="lora", layers=layers))

        with pytest.raises(ModelError, match="different LoRA for layers of albert that share"):
            write(tmp_path / "a", adapter, **at_hand(make_model("albert")))
        assert not (tmp_path / "a").exists()

    def test_a_folder_that_exists(self, saved: Path) -> None:
        adapter, _ = random_adapter("bert", AdapterConfig(method="lora"))

        with pytest.raises(OutputExistsError):
            write(saved, adapter, **at_hand(make_model("bert")))


def test_the_written_options_are_ones_that_the_library_knows(tmp_path: Path) -> None:
    adapter, _ = random_adapter("bert", AdapterConfig(method="lora"))
    write(tmp_path / "a", adapter, **at_hand(make_model("bert")))

    written = json.loads((tmp_path / "a" / "adapter_config.json").read_text())

    assert written.keys() <= peft.LoraConfig().to_dict().keys()
