"""From a checkpoint's tokenizer files to the tokenizer of runs and bundles."""

import json
import shutil
from pathlib import Path

import pytest
from tokenizers import Tokenizer, processors
from transformers import BertTokenizerFast

from edgeadapt.config import ModelConfig
from edgeadapt.errors import ModelError, UsageError
from edgeadapt.models.sources import ModelSource, find_model
from edgeadapt.models.tokenizer import load_tokenizer
from tests.conftest import SPECIAL, TINY_CONFIGS, make_tokenizer

pytestmark = pytest.mark.transformers5

SPECIAL_TOKENS = dict(
    zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), SPECIAL, strict=True)
)


@pytest.fixture
def source(checkpoint: Path, tmp_path: Path) -> ModelSource:
    """A tiny BERT that a test may damage."""
    folder = shutil.copytree(checkpoint, tmp_path / "model")
    return find_model(ModelConfig(id=str(folder)))


def test_the_checkpoint_pads_so_that_switching_it_off_matters(source: ModelSource) -> None:
    padded = Tokenizer.from_file(str(source.folder / "tokenizer.json"))

    assert len(padded.encode("good").ids) == 20


@pytest.mark.parametrize("model_type", TINY_CONFIGS)
def test_a_word_becomes_three_ids(sources: dict[str, ModelSource], model_type: str) -> None:
    loaded = load_tokenizer(sources[model_type], max_length=32)
    vocabulary = loaded.encoder.tokenizer.get_vocab()

    assert loaded.encoder.encode(["good"])[0].ids == [2, vocabulary["good"], 3]


def test_the_saved_tokenizer_does_not_pad(source: ModelSource, tmp_path: Path) -> None:
    load_tokenizer(source, max_length=32).encoder.tokenizer.save(str(tmp_path / "saved.json"))

    saved = Tokenizer.from_file(str(tmp_path / "saved.json"))

    assert saved.padding is None
    assert len(saved.encode("good").ids) == 3


def test_long_texts_are_cut_to_the_length_asked_for(source: ModelSource) -> None:
    loaded = load_tokenizer(source, max_length=7)

    ids = loaded.encoder.encode(["good " * 50])[0].ids

    assert len(ids) == 7
    assert (ids[0], ids[-1]) == (2, 3)


def test_a_length_without_room_for_a_word_is_refused(source: ModelSource) -> None:
    with pytest.raises(UsageError, match="expected more than the 2 special tokens, found 2"):
        load_tokenizer(source, max_length=2)


def test_special_tokens_are_the_checkpoints(source: ModelSource) -> None:
    loaded = load_tokenizer(source, max_length=32)

    assert dict(loaded.special_tokens) == SPECIAL_TOKENS


def test_batches_are_filled_up_with_the_padding_token(source: ModelSource) -> None:
    encoder = load_tokenizer(source, max_length=32).encoder

    batch = encoder.batch(["good", "the film was good"])

    assert encoder.pad_id == encoder.tokenizer.token_to_id("[PAD]")
    assert batch.input_ids[0].tolist()[3:] == [encoder.pad_id] * 3


def test_the_config_says_what_other_loaders_need(source: ModelSource) -> None:
    config = load_tokenizer(source, max_length=24).config

    assert config["tokenizer_class"] == "BertTokenizer"
    assert config["model_max_length"] == 24
    assert config["do_lower_case"] is True
    assert {key: config[key] for key in SPECIAL_TOKENS} == SPECIAL_TOKENS
    assert json.loads(json.dumps(dict(config))) == dict(config)


def test_transformers_reads_back_what_is_written(source: ModelSource, tmp_path: Path) -> None:
    loaded = load_tokenizer(source, max_length=24)
    folder = tmp_path / "written"
    folder.mkdir()
    loaded.encoder.tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps(dict(loaded.config)))
    (folder / "special_tokens_map.json").write_text(json.dumps(dict(loaded.special_tokens)))

    read = BertTokenizerFast.from_pretrained(folder)

    text = "The film was good, not bad."
    assert read(text)["input_ids"] == loaded.encoder.encode([text])[0].ids
    assert read.model_max_length == 24


def test_every_special_token_is_a_token(source: ModelSource) -> None:
    BertTokenizerFast(
        tokenizer_object=make_tokenizer(), additional_special_tokens=["[ENT]", "[SEG]"]
    ).save_pretrained(source.folder)

    loaded = load_tokenizer(source, max_length=32)

    ids = {t: loaded.encoder.tokenizer.token_to_id(t) for t in loaded.special_tokens.values()}
    assert None not in ids.values(), ids


def test_a_checkpoint_without_a_tokenizer_is_refused(source: ModelSource) -> None:
    for file in source.folder.iterdir():
        if file.name not in ("config.json", "model.safetensors"):
            file.unlink()

    with pytest.raises(ModelError, match="tokenizer") as caught:
        load_tokenizer(source, max_length=32)

    assert str(source.folder) in str(caught.value)


@pytest.mark.parametrize("content", ["{", "{}", '{"version": "1.0", "model": {"type": "Odd"}}'])
def test_a_damaged_tokenizer_is_refused(source: ModelSource, content: str) -> None:
    (source.folder / "tokenizer.json").write_text(content)

    with pytest.raises(ModelError, match="tokenizer") as caught:
        load_tokenizer(source, max_length=32)

    assert str(source.folder) in str(caught.value)


def test_a_tokenizer_without_a_padding_token_is_refused(source: ModelSource) -> None:
    for file in source.folder.iterdir():
        if file.name not in ("config.json", "model.safetensors"):
            file.unlink()
    tokenizer = make_tokenizer()
    tokenizer.no_padding()
    tokenizer.save(str(source.folder / "tokenizer.json"))
    (source.folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", "unk_token": "[UNK]"})
    )

    with pytest.raises(
        ModelError, match="expected a fast tokenizer with a padding token"
    ) as caught:
        load_tokenizer(source, max_length=32)

    assert str(source.folder) in str(caught.value)


def with_post_processor(source: ModelSource, processor: object) -> ModelSource:
    tokenizer = Tokenizer.from_file(str(source.folder / "tokenizer.json"))
    tokenizer.post_processor = processor
    tokenizer.save(str(source.folder / "tokenizer.json"))
    # A class that takes the file's word; transformers 5 gives BERT's own class its own template.
    path = source.folder / "tokenizer_config.json"
    config = json.loads(path.read_text()) | {"tokenizer_class": "PreTrainedTokenizerFast"}
    path.write_text(json.dumps(config))
    return source


@pytest.mark.parametrize(
    "processor",
    [
        processors.TemplateProcessing(
            single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
        ),
        processors.TemplateProcessing(
            single="[CLS] $A [SEP]",
            pair="[CLS] $A $B:1 [SEP]:1",
            special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
        ),
        processors.ByteLevel(),
    ],
    ids=["single only", "no separator", "no special tokens"],
)
def test_a_tokenizer_that_puts_nothing_between_two_texts_is_refused_for_pairs(
    source: ModelSource, processor: object
) -> None:
    changed = with_post_processor(source, processor)

    load_tokenizer(changed, max_length=32)
    with pytest.raises(ModelError, match="no template for pairs of texts") as caught:
        load_tokenizer(changed, max_length=32, pairs=True)

    assert str(source.folder) in str(caught.value)


@pytest.mark.parametrize(
    "processor",
    [processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2)), processors.RobertaProcessing(
        ("[SEP]", 3), ("[CLS]", 2)
    )],
    ids=["bert", "roberta"],
)  # fmt: skip
def test_the_usual_templates_are_taken_for_pairs(source: ModelSource, processor: object) -> None:
    loaded = load_tokenizer(with_post_processor(source, processor), max_length=32, pairs=True)

    (tokens,) = loaded.encoder.encode([("good", "bad")])

    assert tokens.ids.count(3) >= 2
