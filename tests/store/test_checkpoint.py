"""Reading a checkpoint's config.json: what is kept, and what is rejected by name."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from transformers import CONFIG_MAPPING, PretrainedConfig
from transformers.activations import ACT2FN

from edgeadapt.backbones import BACKBONES
from edgeadapt.errors import ModelError
from edgeadapt.store.checkpoint import read_checkpoint_config
from tests.conftest import TINY_CONFIGS

BASE: dict[str, Any] = {
    "attention_probs_dropout_prob": 0.1, "hidden_act": "gelu", "hidden_dropout_prob": 0.1,
    "hidden_size": 16, "initializer_range": 0.02, "intermediate_size": 24, "layer_norm_eps": 1e-12,
    "max_position_embeddings": 512, "num_attention_heads": 2, "num_hidden_layers": 2,
    "pad_token_id": 0, "type_vocab_size": 2, "vocab_size": 100,
}  # fmt: skip
PUBLISHED: dict[str, dict[str, Any]] = {
    "bert-base-uncased": {
        "model_type": "bert", "architectures": ["BertForMaskedLM"], "gradient_checkpointing": False,
        "position_embedding_type": "absolute", "transformers_version": "4.6.0.dev0",
        "use_cache": True,
    },
    "bert-base-multilingual-uncased-sentiment": {
        "model_type": "bert", "_num_labels": 5, "directionality": "bidi", "output_past": True,
        "finetuning_task": "sentiment-analysis", "pooler_fc_size": 768,
        "pooler_num_attention_heads": 12, "pooler_num_fc_layers": 3, "pooler_size_per_head": 128,
        "pooler_type": "first_token_transform", "id2label": {"0": "1 star", "1": "2 stars"},
        "label2id": {"1 star": 0, "2 stars": 1},
    },
    "TinyBERT_General_4L_312D": {
        "model_type": "bert", "cell": {}, "emb_size": 16, "structure": [], "pre_trained": "",
        "training": "",
    },
    "ms-marco-MiniLM-L6-v2": {
        "model_type": "bert", "id2label": {"0": "LABEL_0"}, "label2id": {"LABEL_0": 0},
        "sentence_transformers": {"activation_fn": "torch.nn.modules.linear.Identity"},
        "sbert_ce_default_activation_function": "torch.nn.modules.linear.Identity",
        "transformers.js_config": {"dtype": "q8"},
    },
    "an encoder saved by AdapterHub without adapters": {
        "model_type": "bert", "adapters": {"adapters": {}, "config_map": {}, "fusions": {}},
    },
    "roberta-base": {
        "model_type": "roberta", "bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 1,
        "type_vocab_size": 1, "max_position_embeddings": 514, "torch_dtype": "float16",
    },
    "xlm-roberta-large, of 2020": {
        "model_type": "xlm-roberta", "language": "english", "name": "XLMRoberta",
        "output_past": True, "xla_device": None, "bad_words_ids": None, "do_sample": False,
        "max_length": 20, "num_beams": 1, "pruned_heads": {}, "temperature": 1.0, "top_k": 50,
        "torchscript": False,
        "is_decoder": False, "use_bfloat16": False, "task_specific_params": None,
    },
    "distilbert-base-uncased-finetuned-sst-2-english": {
        "model_type": "distilbert", "activation": "gelu", "attention_dropout": 0.1, "dim": 16,
        "dropout": 0.1, "finetuning_task": "sst-2", "hidden_dim": 24, "n_heads": 2, "n_layers": 2,
        "max_position_embeddings": 512, "output_past": True, "pad_token_id": 0, "qa_dropout": 0.1,
        "seq_classif_dropout": 0.2, "sinusoidal_pos_embds": False, "tie_weights_": True,
        "vocab_size": 100, "initializer_range": 0.02,
    },
    "electra-small-discriminator": {
        "model_type": "electra", "embedding_size": 8, "generator_size": "0.25",
        "summary_activation": "gelu", "summary_last_dropout": 0.1, "summary_type": "first",
        "summary_use_proj": True, "position_embedding_type": "absolute",
    },
    "all-mpnet-base-v2": {
        "model_type": "mpnet", "relative_attention_num_buckets": 32, "bos_token_id": 0,
        "eos_token_id": 2, "pad_token_id": 1, "max_position_embeddings": 514,
        "classifier_dropout": None, "type_vocab_size": None,
    },
    "albert-base-v2": {
        "model_type": "albert", "classifier_dropout_prob": 0.1, "down_scale_factor": 1,
        "embedding_size": 8, "gap_size": 0, "hidden_act": "gelu_new", "inner_group_num": 1,
        "layers_to_keep": [], "net_structure_type": 0, "num_hidden_groups": 1,
        "num_memory_blocks": 0,
    },
    "deberta-v3-base": {
        "model_type": "deberta-v2", "relative_attention": True, "position_buckets": 256,
        "norm_rel_ebd": "layer_norm", "share_att_key": True, "pos_att_type": "p2c|c2p",
        "max_relative_positions": -1, "position_biased_input": False, "type_vocab_size": 0,
        "pooler_dropout": 0, "pooler_hidden_act": "gelu", "pooler_hidden_size": 16,
    },
    "deberta-v2-xxlarge": {
        "model_type": "deberta-v2", "attention_head_size": 8, "conv_act": "gelu",
        "conv_kernel_size": 3, "norm_rel_ebd": "layer_norm", "relative_attention": True,
    },
    "ModernBERT-base": {
        "model_type": "modernbert", "attention_bias": False, "attention_dropout": 0.0,
        "classifier_activation": "gelu", "classifier_bias": False, "classifier_dropout": 0.0,
        "classifier_pooling": "mean", "cls_token_id": 2, "decoder_bias": True,
        "deterministic_flash_attn": False, "embedding_dropout": 0.0, "eos_token_id": 3,
        "bos_token_id": 2, "sep_token_id": 3, "global_attn_every_n_layers": 3,
        "global_rope_theta": 160000.0, "local_rope_theta": 10000.0, "local_attention": 128,
        "gradient_checkpointing": False, "hidden_activation": "gelu", "hidden_size": 16,
        "initializer_cutoff_factor": 2.0, "initializer_range": 0.02, "intermediate_size": 24,
        "layer_norm_eps": 1e-05, "norm_eps": 1e-05, "norm_bias": False, "mlp_bias": False,
        "mlp_dropout": 0.0, "max_position_embeddings": 8192, "num_attention_heads": 2,
        "num_hidden_layers": 2, "pad_token_id": 0, "position_embedding_type": "absolute",
        "reference_compile": False, "repad_logits_with_grad": False, "sparse_prediction": False,
        "sparse_pred_ignore_index": -100, "tie_word_embeddings": True, "vocab_size": 100,
    },
}  # fmt: skip
"""Settings as they were published, widths made tiny; most stand on top of BERT's."""
WITHOUT_BASE = {"distilbert", "modernbert"}


def published(name: str) -> dict[str, Any]:
    settings = PUBLISHED[name]
    return settings if settings["model_type"] in WITHOUT_BASE else {**BASE, **settings}


def write(folder: Path, value: object, *, name: str = "config.json") -> Path:
    (folder / name).write_text(json.dumps(value))
    return folder


def stock(folder: Path, **changes: object) -> PretrainedConfig:
    config = read_checkpoint_config(folder)
    made: PretrainedConfig = config.stock(CONFIG_MAPPING[config.spec.model_type], **changes)
    return made


def without_form(config: PretrainedConfig) -> dict[str, Any]:
    return {k: v for k, v in config.to_dict().items() if k not in ("dtype", "torch_dtype")}


def bert(**settings: object) -> dict[str, Any]:
    return {**BASE, "model_type": "bert", **settings}


@pytest.mark.parametrize("name", PUBLISHED)
def test_settings_as_they_were_published_are_read(tmp_path: Path, name: str) -> None:
    settings = published(name)

    config = stock(write(tmp_path, settings))

    assert config.model_type == settings["model_type"]
    assert config.hidden_size == 16
    assert config.pad_token_id == settings["pad_token_id"]
    assert config.max_position_embeddings == settings["max_position_embeddings"]


@pytest.mark.parametrize("model_type", TINY_CONFIGS)
def test_what_transformers_saves_of_a_model_type_is_read(tmp_path: Path, model_type: str) -> None:
    own = CONFIG_MAPPING[model_type](**TINY_CONFIGS[model_type])
    own.save_pretrained(tmp_path)

    assert without_form(stock(tmp_path)) == without_form(own)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("position_embedding_type", "alibi"),
        ("position_embedding_type", "relative_key"),
        ("position_embedding_type", "relative_key_query"),
        ("position_embedding_type", 7),
        ("emb_pooler", "mean"),
        ("feed_forward_type", "geglu"),
        ("use_flash_attn", True),
        ("alibi", True),
        ("rotary_emb_fraction", 0.5),
        ("glyph_embedding_dim", 1728),
        ("is_decoder", True),
        ("add_cross_attention", True),
        ("is_encoder_decoder", True),
        ("cross_attention_hidden_size", 16),
        ("pruned_heads", {"0": [1]}),
        ("layers_to_keep", [0]),
        ("pooler_type", "mean"),
        ("adapters", {"adapters": {"task": "abc"}, "fusions": {}}),
        ("adapter_fusion_models", ["a,b"]),
        ("prediction_heads", {"default": {"head_type": "classification"}}),
        ("configuration_files", ["config.4.0.0.json"]),
        ("use_bias", False),
        ("vision_config", {"hidden_size": 8}),
    ],
)
def test_a_setting_that_a_stock_model_computes_without_is_refused_by_name(
    tmp_path: Path, key: str, value: object
) -> None:
    with pytest.raises(ModelError) as caught:
        stock(write(tmp_path, bert(**{key: value})))

    assert f"{tmp_path / 'config.json'}: bert models" in caught.value.message
    assert f"{key} = {json.dumps(value)}" in caught.value.message
    assert "the model would compute something else" in caught.value.hint
    assert "remove" not in caught.value.hint


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("_flash_attn_2_enabled", True),
        ("vocab_size_or_config_json_file", 100),
        ("unsloth_version", "2025.1.5"),
        ("unsloth_fixed", True),
        ("loss_type", None),
        ("loss_type", "ForSequenceClassification"),
        ("layerdrop", 0.0),
        ("max_len", 512),
        ("max_seq_length", 8192),
    ],
)
def test_bookkeeping_of_other_tools_is_read(tmp_path: Path, key: str, value: object) -> None:
    assert stock(write(tmp_path, bert(**{key: value}))).hidden_size == 16


@pytest.mark.parametrize(
    ("key", "value", "supported"),
    [
        ("loss_type", "ForMaskedLM", '"ForSequenceClassification"'),
        ("layerdrop", 0.1, "0.0"),
        ("max_len", 511, "512 or more"),
        ("max_seq_length", 128, "512 or more"),
        ("max_seq_length", "512", "512 or more"),
    ],
)
def test_bookkeeping_that_asks_for_another_model_is_refused(
    tmp_path: Path, key: str, value: object, supported: str
) -> None:
    with pytest.raises(ModelError) as caught:
        stock(write(tmp_path, bert(**{key: value})))

    assert f"{key} = {json.dumps(value)} (supported: {supported})" in caught.value.message


def test_a_length_is_compared_with_the_positions_behind_the_offset(tmp_path: Path) -> None:
    settings = {**published("roberta-base"), "max_len": 512}

    assert stock(write(tmp_path, settings)).max_position_embeddings == 514
    with pytest.raises(ModelError, match=r"max_len = 511 \(supported: 512 or more\)"):
        stock(write(tmp_path, {**settings, "max_len": 511}))


@pytest.mark.parametrize(
    ("key", "value", "other"),
    [
        ("position_embedding_type", "sans_pos", "rope"),
        ("causal_mask", False, True),
        ("is_causal", False, True),
    ],
)
def test_what_modernberts_say_of_a_stock_model_is_read_of_them_alone(
    tmp_path: Path, key: str, value: object, other: object
) -> None:
    settings = published("ModernBERT-base")
    plain = stock(write(tmp_path, settings))

    assert stock(write(tmp_path, {**settings, key: value})).to_dict() == plain.to_dict()
    for refused in ({**settings, key: other}, bert(**{key: value})):
        with pytest.raises(ModelError, match=f"{key} = {json.dumps(refused[key])}"):
            stock(write(tmp_path, refused))


def test_every_refused_setting_is_named(tmp_path: Path) -> None:
    settings = bert(emb_pooler="mean", position_embedding_type="alibi", transformers_version="4.9")

    with pytest.raises(
        ModelError, match=r'emb_pooler = "mean"; position_embedding_type = "alibi" \(supported: "ab'
    ) as caught:
        stock(write(tmp_path, settings))
    assert "saved by transformers 4.9" in caught.value.hint
    assert "emb_pooler" not in caught.value.hint


@pytest.mark.parametrize("value", [None, "", [], {}, {"a": {}, "b": None}])
def test_an_unknown_setting_that_says_nothing_is_no_setting(tmp_path: Path, value: object) -> None:
    assert stock(write(tmp_path, bert(emb_pooler=value))).hidden_size == 16


@pytest.mark.parametrize("method", ["bitsandbytes", "gptq", "awq", "compressed-tensors", "fp8"])
@pytest.mark.parametrize("model_type", ["bert", "modernbert"])
def test_a_quantized_checkpoint_is_refused_with_its_method(
    tmp_path: Path, model_type: str, method: str
) -> None:
    settings = {
        "model_type": model_type,
        "quantization_config": {"quant_method": method, "load_in_8bit": True},
    }

    with pytest.raises(
        ModelError, match=f'quantization_config = {{"quant_method": "{method}"'
    ) as e:
        stock(write(tmp_path, settings))
    assert "before quantization" in e.value.hint


@pytest.mark.parametrize(
    "form",
    [
        {"return_dict": False},
        {"use_return_dict": False},
        {"torchscript": True},
        {"output_hidden_states": True, "output_attentions": True},
        {"torch_dtype": "float16"},
        {"dtype": "bfloat16"},
        {"gradient_checkpointing": True},
        {"chunk_size_feed_forward": 7},
        {"attn_implementation": "flash_attention_2"},
        {"_attn_implementation": "flash_attention_2"},
    ],
    ids=str,
)
def test_the_form_in_which_a_checkpoint_answers_is_not_taken_over(
    tmp_path: Path, form: dict[str, Any]
) -> None:
    (tmp_path / "plain").mkdir()

    asked, plain = stock(write(tmp_path, bert(**form))), stock(write(tmp_path / "plain", bert()))

    assert asked.to_dict() == plain.to_dict()


def test_changes_take_the_place_of_the_files_settings(tmp_path: Path) -> None:
    config = stock(write(tmp_path, bert()), num_hidden_layers=1, id2label={0: "a", 1: "b", 2: "c"})

    assert config.num_hidden_layers == 1
    assert config.num_labels == 3


@pytest.mark.parametrize("value", [None, 7, "", [], ["bert"], {}, True])
def test_a_model_type_that_is_no_name_is_refused_with_the_key(
    tmp_path: Path, value: object
) -> None:
    with pytest.raises(ModelError, match=r"config\.json: .*model.type") as caught:
        read_checkpoint_config(write(tmp_path, {**BASE, "model_type": value}))

    assert repr(value) in caught.value.message
    assert ", ".join(BACKBONES) in caught.value.message


def test_a_missing_model_type_is_named_with_its_file(tmp_path: Path) -> None:
    with pytest.raises(
        ModelError, match=r"config\.json: model_type: expected one of bert, .*, found no such key"
    ) as caught:
        read_checkpoint_config(write(tmp_path, BASE))

    assert '"model_type": "bert"' in caught.value.hint


@pytest.mark.parametrize("key", ["num_hidden_layers", "max_position_embeddings"])
@pytest.mark.parametrize("value", [None, 0, -1, 2.5, "12", True, [2]])
def test_a_number_of_layers_or_positions_that_is_none_is_refused(
    tmp_path: Path, key: str, value: object
) -> None:
    with pytest.raises(ModelError, match=f"{key}: expected a whole number above 0, found"):
        read_checkpoint_config(write(tmp_path, bert(**{key: value})))


@pytest.mark.parametrize("value", [None, 0, -1, ["gelu"], True])
@pytest.mark.parametrize("model_type", BACKBONES)
def test_an_activation_that_is_no_name_is_refused(
    tmp_path: Path, model_type: str, value: object
) -> None:
    key = BACKBONES[model_type].activation_key

    with pytest.raises(ModelError, match=f"{key}: expected the name of an activation, found"):
        read_checkpoint_config(write(tmp_path, {"model_type": model_type, key: value}))


@pytest.mark.parametrize(
    ("model_type", "key", "value", "expected"),
    [
        ("bert", "layer_norm_eps", "1e-12", "a number above 0"),
        ("bert", "layer_norm_eps", None, "a number above 0"),
        ("bert", "layer_norm_eps", [1], "a number above 0"),
        ("bert", "layer_norm_eps", 0, "a number above 0"),
        ("bert", "hidden_size", "16", "a whole number"),
        ("bert", "hidden_size", 16.5, "a whole number"),
        ("bert", "hidden_size", True, "a whole number"),
        ("bert", "initializer_range", "0.02", "a finite number"),
        ("bert", "initializer_range", 10**400, "a finite number"),
        ("bert", "hidden_dropout_prob", 1, "a number from 0 to below 1"),
        ("bert", "hidden_dropout_prob", None, "a number from 0 to below 1"),
        ("bert", "classifier_dropout", "0.1", "a number from 0 to below 1"),
        ("distilbert", "dim", "16", "a whole number"),
        ("distilbert", "hidden_size", "16", "a whole number"),
        ("electra", "embedding_size", "8", "a whole number"),
        ("deberta-v2", "pos_att_type", 5, "a text or a list of texts"),
        ("deberta-v2", "pos_att_type", ["p2c", 5], "a text or a list of texts"),
        ("deberta-v2", "relative_attention", 1, "true or false"),
        ("deberta-v2", "position_buckets", "256", "a whole number"),
        ("deberta-v2", "share_att_key", "yes", "true or false"),
        ("deberta-v2", "norm_rel_ebd", 5, "a text"),
        ("modernbert", "norm_eps", "1e-05", "a number above 0"),
        ("modernbert", "classifier_pooling", 1, "a text"),
    ],
)
def test_a_value_of_another_type_than_the_stock_classs_is_refused(
    tmp_path: Path, model_type: str, key: str, value: object, expected: str
) -> None:
    with pytest.raises(ModelError) as caught:
        stock(write(tmp_path, {"model_type": model_type, key: value}))

    assert f"config.json: {key}: expected {expected}" in caught.value.message
    assert f"found {json.dumps(value)[:80]}." in caught.value.message


@pytest.mark.parametrize(
    ("model_type", "key"),
    [
        ("bert", "hidden_act"),
        ("distilbert", "activation"),
        ("deberta-v2", "conv_act"),
        ("modernbert", "classifier_activation"),
    ],
)
def test_an_activation_that_transformers_lacks_is_refused_by_name(
    tmp_path: Path, model_type: str, key: str
) -> None:
    config = read_checkpoint_config(
        write(tmp_path, {"model_type": model_type, key: "gelu_of_mine"})
    )

    with pytest.raises(ModelError, match=f'{key}: expected one of .*, found "gelu_of_mine"'):
        config.check_activations(CONFIG_MAPPING[model_type], ACT2FN)


@pytest.mark.parametrize(
    ("model_type", "key", "value"),
    [
        ("bert", "hidden_dropout_prob", 0),
        ("bert", "classifier_dropout", None),
        ("bert", "pad_token_id", None),
        ("bert", "initializer_range", 1),
        ("albert", "hidden_dropout_prob", 0.1),
        ("deberta-v2", "pos_att_type", None),
        ("deberta-v2", "pos_att_type", []),
        ("deberta-v2", "pooler_dropout", 0.1),
        ("deberta-v2", "cls_dropout", None),
        ("modernbert", "mlp_dropout", 0),
        ("modernbert", "local_rope_theta", None),
    ],
)
def test_a_number_of_the_other_kind_and_null_are_read_where_they_mean_something(
    tmp_path: Path, model_type: str, key: str, value: object
) -> None:
    assert stock(write(tmp_path, {"model_type": model_type, key: value})).model_type == model_type


def test_a_whole_number_written_as_a_fraction_is_read_as_one(tmp_path: Path) -> None:
    assert type(stock(write(tmp_path, bert(hidden_size=16.0))).hidden_size) is int


def test_what_the_config_class_does_not_accept_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"config\.json: id2label: expected different names"):
        stock(write(tmp_path, bert(id2label=[1, 2])))


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", b"\x00\x01\x02", b"{\0}\0", b'{"model_type": "bert"',
        b'{"a": ' + b"9" * 5000 + b"}", b"[" * 100_000,
    ],
    ids=["empty", "cut", "binary", "utf-16", "cut later", "huge number", "deep"],
)  # fmt: skip
@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json"])
def test_a_file_that_is_not_json_is_refused_by_name(
    tmp_path: Path, name: str, content: bytes
) -> None:
    write(tmp_path, bert())
    (tmp_path / name).write_bytes(content)

    with pytest.raises(ModelError, match=rf"{name} is not valid JSON: "):
        read_checkpoint_config(tmp_path)


@pytest.mark.parametrize("value", [[], [{"model_type": "bert"}], "bert", 7, None, True])
def test_a_file_that_is_no_object_is_refused_by_name(tmp_path: Path, value: object) -> None:
    with pytest.raises(ModelError, match=r"config\.json: expected a JSON object, found a "):
        read_checkpoint_config(write(tmp_path, value))


def test_a_folder_without_a_config_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"holds no checkpoint: there is no config\.json"):
        read_checkpoint_config(tmp_path)


def test_an_adapter_beside_a_model_is_refused(tmp_path: Path) -> None:
    write(tmp_path, {"base_model_name_or_path": "someone/else"}, name="adapter_config.json")

    with pytest.raises(ModelError, match=r"an adapter \(adapter_config\.json\) beside a model"):
        read_checkpoint_config(write(tmp_path, bert()))


@pytest.mark.parametrize(
    ("stated", "words"),
    [
        (
            "99.1.0.dev0",
            ["saved by transformers 99.1.0.dev0, which may read", "transformers>=99.1"],
        ),
        ("2.1.0", ["saved by transformers 2.1.0", "Use a checkpoint of a stock model"]),
        (None, ["Use a checkpoint of a stock model"]),
        (5, ["Use a checkpoint of a stock model"]),
        ("5; rm -rf /", ["Use a checkpoint of a stock model"]),
    ],
)
def test_a_refused_setting_says_which_version_may_read_it_and_never_to_remove_it(
    tmp_path: Path, stated: object, words: list[str]
) -> None:
    settings = bert(rope_parameters={"rope_theta": 1.0}, transformers_version=stated)

    with pytest.raises(ModelError) as caught:
        stock(write(tmp_path, settings))

    assert all(word in caught.value.hint for word in words)
    assert "remove" not in caught.value.hint
    assert "rm -rf" not in caught.value.hint


@pytest.mark.parametrize("model_type", BACKBONES)
def test_more_layers_than_any_model_has_are_refused(tmp_path: Path, model_type: str) -> None:
    key = BACKBONES[model_type].depth_key

    with pytest.raises(ModelError, match=f"{key}: expected at most 1,000, found 1000000"):
        read_checkpoint_config(write(tmp_path, {"model_type": model_type, key: 10**6}))


@pytest.mark.parametrize("key", ["num_hidden_groups", "inner_group_num", "num_hidden_layers"])
@pytest.mark.parametrize(("value", "expected"), [(0, "above 0"), (10**6, "at most 1,000")])
def test_layers_that_share_weights_are_counted_too(
    tmp_path: Path, key: str, value: int, expected: str
) -> None:
    with pytest.raises(ModelError, match=f"{key}: expected .*{expected}"):
        read_checkpoint_config(write(tmp_path, {"model_type": "albert", key: value}))


@pytest.mark.parametrize(
    ("model_type", "key"),
    [
        ("bert", "hidden_size"),
        ("bert", "num_attention_heads"),
        ("bert", "intermediate_size"),
        ("bert", "vocab_size"),
        ("distilbert", "dim"),
        ("distilbert", "n_heads"),
        ("electra", "embedding_size"),
        ("deberta-v2", "conv_kernel_size"),
        ("modernbert", "local_attention"),
        ("modernbert", "global_attn_every_n_layers"),
    ],
)
@pytest.mark.parametrize("value", [0, -1])
def test_what_counts_parts_of_a_model_is_above_zero(
    tmp_path: Path, model_type: str, key: str, value: int
) -> None:
    with pytest.raises(ModelError, match=f"{key}: expected a whole number above 0, found {value}"):
        stock(write(tmp_path, {"model_type": model_type, key: value}))


@pytest.mark.parametrize("key", ["global_rope_theta", "local_rope_theta"])
@pytest.mark.parametrize("value", [0, -10_000.0])
def test_a_base_of_rotations_is_above_zero(tmp_path: Path, key: str, value: float) -> None:
    with pytest.raises(ModelError, match=f"{key}: expected a number above 0, found"):
        stock(write(tmp_path, {**published("ModernBERT-base"), key: value}))


def test_a_padding_id_beyond_the_vocabulary_is_refused_with_both(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"pad_token_id: expected an id below 100, .*found 100"):
        stock(write(tmp_path, bert(pad_token_id=100)))


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json"])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_byte_order_mark_is_named_with_its_encoding(
    tmp_path: Path, name: str, encoding: str
) -> None:
    write(tmp_path, bert())
    (tmp_path / name).write_text(json.dumps(bert()), encoding)

    with pytest.raises(ModelError, match=rf"{name} begins with a byte order mark \(BOM\) of UTF-"):
        read_checkpoint_config(tmp_path)


def test_a_checkpoint_inside_a_folder_is_pointed_to(tmp_path: Path) -> None:
    for name in ("checkpoint-10", "checkpoint-20"):
        (tmp_path / name).mkdir()
        write(tmp_path / name, bert())

    with pytest.raises(ModelError, match=r"but one in checkpoint-10, checkpoint-20") as caught:
        read_checkpoint_config(tmp_path)
    assert str(tmp_path / "checkpoint-20") in caught.value.hint


@pytest.fixture
def loud_transformers(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> pytest.LogCaptureFixture:
    """All that transformers would print."""
    monkeypatch.setattr(logging.getLogger("transformers"), "handlers", [caplog.handler])
    return caplog


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"num_labels": 3, "id2label": {"0": "a", "1": "b"}}, "num_labels is 3"),
        ({"num_labels": 10**9}, "num_labels: expected a whole number from 1 to 1,000,000"),
        (
            {"id2label": {"0": "a", "1": "b"}, "label2id": {"a": 1, "b": 0}},
            "id2label and label2id contradict",
        ),
    ],
)
def test_outputs_that_contradict_each_other_are_refused_and_transformers_says_nothing(
    tmp_path: Path,
    loud_transformers: pytest.LogCaptureFixture,
    settings: dict[str, Any],
    named: str,
) -> None:
    with pytest.raises(ModelError, match=named):
        stock(write(tmp_path, bert(**settings)))

    assert loud_transformers.records == []


def test_the_number_of_outputs_of_old_is_bookkeeping_and_transformers_says_nothing(
    tmp_path: Path, loud_transformers: pytest.LogCaptureFixture
) -> None:
    config = stock(write(tmp_path, bert(_num_labels=5, id2label={"0": "a", "1": "b"})))

    assert config.id2label == {0: "a", 1: "b"}
    assert config.label2id == {"a": 0, "b": 1}
    assert loud_transformers.records == []
