"""Token ids compared with the rows of a model's embedding tables."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from tokenizers import Tokenizer
from transformers import BertTokenizerFast

from edgeadapt.errors import ModelError
from edgeadapt.models.sources import ModelSource, find_model
from edgeadapt.models.tokenizer import load_tokenizer
from edgeadapt.recipe import ModelConfig
from tests.conftest import TINY_CONFIGS, make_checkpoint, make_tokenizer
from tests.listener import Listener

ROWS = make_tokenizer().get_vocab_size()


@pytest.fixture
def source(checkpoint: Path, tmp_path: Path) -> ModelSource:
    """A tiny BERT that a test may damage."""
    return find_model(ModelConfig(id=str(shutil.copytree(checkpoint, tmp_path / "model"))))


def with_config(source: ModelSource, **changes: object) -> ModelSource:
    return replace(source, config={**source.config, **changes})


def without(source: ModelSource, key: str) -> ModelSource:
    return replace(source, config={k: v for k, v in source.config.items() if k != key})


# Words


def add_a_token(folder: Path) -> None:
    tokenizer = BertTokenizerFast.from_pretrained(folder)
    tokenizer.add_tokens(["<user>"])
    tokenizer.save_pretrained(folder)


def add_a_special_token(folder: Path) -> None:
    tokenizer = BertTokenizerFast.from_pretrained(folder)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<user>"]})
    tokenizer.save_pretrained(folder)


def name_a_token_in_the_config(folder: Path) -> None:
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text())
    config.setdefault("added_tokens_decoder", {})[str(ROWS)] = {
        "content": "<user>", "lstrip": False, "rstrip": False, "normalized": False,
        "single_word": False, "special": False,
    }  # fmt: skip
    path.write_text(json.dumps(config))


def name_a_padding_token_that_is_no_word(folder: Path) -> None:
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"pad_token": "<user>"}))


@pytest.mark.parametrize(
    "change",
    [
        add_a_token,
        add_a_special_token,
        name_a_token_in_the_config,
        name_a_padding_token_that_is_no_word,
    ],
)
def test_a_token_without_an_embedding_is_refused(source: ModelSource, change: object) -> None:
    change(source.folder)  # type: ignore[operator]

    with pytest.raises(ModelError, match=rf"ids below {ROWS}.*found {ROWS} \('<user>'\)") as caught:
        load_tokenizer(source, max_length=9)

    assert str(source.folder) in str(caught.value)
    assert "resize_token_embeddings" in caught.value.hint


def test_a_token_with_an_embedding_is_taken(source: ModelSource) -> None:
    add_a_token(source.folder)

    loaded = load_tokenizer(with_config(source, vocab_size=ROWS + 1), max_length=9)

    assert loaded.encoder.encode(["<user>"])[0].ids == [2, ROWS, 3]


def test_a_vocabulary_may_be_smaller_than_the_table(source: ModelSource) -> None:
    load_tokenizer(with_config(source, vocab_size=10 * ROWS), max_length=9)


def test_a_special_token_of_the_template_that_has_no_embedding_is_refused(
    source: ModelSource,
) -> None:
    file = source.folder / "tokenizer.json"
    content = json.loads(file.read_text())
    content["post_processor"]["special_tokens"]["[SEP]"]["ids"] = [ROWS + 5]
    file.write_text(json.dumps(content))

    with pytest.raises(ModelError, match=rf"found {ROWS + 5} \(in its post-processor\)"):
        load_tokenizer(source, max_length=9)


def test_a_table_whose_size_the_config_leaves_out_has_the_size_of_the_models_class(
    source: ModelSource,
) -> None:
    tokenizer = Tokenizer.from_file(str(source.folder / "tokenizer.json"))
    tokenizer.add_tokens([f"<{number}>" for number in range(30_522 - ROWS)])
    tokenizer.save(str(source.folder / "tokenizer.json"))

    load_tokenizer(without(source, "vocab_size"), max_length=9)
    tokenizer.add_tokens(["<user>"])
    tokenizer.save(str(source.folder / "tokenizer.json"))
    with pytest.raises(ModelError, match="ids below 30522"):
        load_tokenizer(without(source, "vocab_size"), max_length=9)


# Segments


@pytest.mark.parametrize("rows", [0, 1])
@pytest.mark.parametrize("model_type", ["bert", "electra", "albert"])
def test_pairs_are_refused_by_a_model_that_has_one_segment(
    sources: dict[str, ModelSource], model_type: str, rows: int
) -> None:
    source = with_config(sources[model_type], type_vocab_size=rows)

    with pytest.raises(
        ModelError, match=f"pairs of texts the segment id 1: expected ids below {rows}"
    ):
        load_tokenizer(source, max_length=9, pairs=True)


def test_single_texts_are_taken_by_a_model_that_has_one_segment(source: ModelSource) -> None:
    load_tokenizer(with_config(source, type_vocab_size=1), max_length=9)


def test_single_texts_of_another_segment_are_compared_too(source: ModelSource) -> None:
    file = source.folder / "tokenizer.json"
    content = json.loads(file.read_text())
    content["post_processor"]["single"][1]["Sequence"]["type_id"] = 2
    file.write_text(json.dumps(content))

    with pytest.raises(ModelError, match="gives texts the segment id 2: expected ids below 2"):
        load_tokenizer(source, max_length=9)


@pytest.mark.parametrize("model_type", ["roberta", "xlm-roberta"])
def test_a_model_that_is_given_no_segments_needs_one_row(
    sources: dict[str, ModelSource], model_type: str
) -> None:
    one, none = (with_config(sources[model_type], type_vocab_size=rows) for rows in (1, 0))

    load_tokenizer(one, max_length=9, pairs=True)
    with pytest.raises(ModelError, match="the model looks up segment 0: expected ids below 0"):
        load_tokenizer(none, max_length=9)


@pytest.mark.parametrize("model_type", ["distilbert", "mpnet", "deberta-v2", "modernbert"])
def test_a_model_without_segments_takes_pairs(
    sources: dict[str, ModelSource], model_type: str
) -> None:
    load_tokenizer(sources[model_type], max_length=9, pairs=True)


def test_segments_that_would_be_dropped_are_refused(sources: dict[str, ModelSource]) -> None:
    source = with_config(sources["deberta-v2"], type_vocab_size=2)

    load_tokenizer(source, max_length=9)
    with pytest.raises(ModelError, match="gives deberta-v2 models no segment ids"):
        load_tokenizer(source, max_length=9, pairs=True)


def test_segments_that_the_tokenizer_does_not_count_among_its_outputs_are_refused(
    source: ModelSource,
) -> None:
    path = source.folder / "tokenizer_config.json"
    config = json.loads(path.read_text()) | {"model_input_names": ["input_ids", "attention_mask"]}
    path.write_text(json.dumps(config))

    load_tokenizer(source, max_length=9)
    with pytest.raises(ModelError, match="model_input_names leaves token_type_ids out"):
        load_tokenizer(source, max_length=9, pairs=True)


# Padding


@pytest.mark.parametrize("model_type", sorted(set(TINY_CONFIGS) - {"mpnet"}))
def test_of_the_padding_id_nothing_is_said_where_it_changes_nothing(
    sources: dict[str, ModelSource], model_type: str
) -> None:
    listener = Listener()

    load_tokenizer(sources[model_type], max_length=9, progress=listener)

    assert listener.warned == []


def test_positions_numbered_by_another_padding_id_are_warned_of(tmp_path: Path) -> None:
    source = find_model(ModelConfig(id=str(make_checkpoint(tmp_path, "roberta"))))
    listener = Listener()

    load_tokenizer(with_config(source, pad_token_id=3), max_length=9, progress=listener)

    assert "treats token 3 ('[SEP]') as padding" in "".join(listener.warned)
    assert "pads with 0" in "".join(listener.warned)
