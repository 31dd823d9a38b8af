"""From a checkpoint's tokenizer files to the tokenizer of runs and bundles."""

import json
import shutil
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import pytest
from tokenizers import Tokenizer, processors
from transformers import BertTokenizerFast

from edgeadapt.errors import ModelError, UsageError
from edgeadapt.models.sources import ModelSource, find_model
from edgeadapt.models.tokenizer import TokenizerFiles, load_tokenizer
from edgeadapt.recipe import ModelConfig
from tests.conftest import SPECIAL, TINY_CONFIGS, make_tokenizer
from tests.listener import Listener

pytestmark = [pytest.mark.transformers5, pytest.mark.versions]

SPECIAL_TOKENS = dict(
    zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), SPECIAL, strict=True)
)


@pytest.fixture
def source(checkpoint: Path, tmp_path: Path) -> ModelSource:
    """A tiny BERT that a test may damage."""
    folder = shutil.copytree(checkpoint, tmp_path / "model")
    return find_model(ModelConfig(id=str(folder)))


def with_config(source: ModelSource, **changes: object) -> ModelSource:
    """The checkpoint with other settings in its config.json."""
    return replace(source, config={**source.config, **changes})


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

    loaded = load_tokenizer(with_config(source, vocab_size=100), max_length=32)

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


# What the files say is kept, or refused


def set_config(source: ModelSource, **settings: object) -> ModelSource:
    """Changes tokenizer_config.json; a setting that is ``None`` is taken out."""
    path = source.folder / "tokenizer_config.json"
    changed = json.loads(path.read_text()) | settings
    path.write_text(json.dumps({k: v for k, v in changed.items() if v is not None}))
    return source


def set_tokenizer(source: ModelSource, **parts: object) -> ModelSource:
    """Changes tokenizer.json."""
    path = source.folder / "tokenizer.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | parts))
    return source


def written(loaded: TokenizerFiles, folder: Path) -> Path:
    """Writes what a run keeps of a tokenizer."""
    folder.mkdir()
    loaded.encoder.tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps(dict(loaded.config)))
    return folder


def cut_on_the_left_by_the_config(source: ModelSource) -> ModelSource:
    return set_config(source, truncation_side="left")


def cut_on_the_left_by_the_tokenizer(source: ModelSource) -> ModelSource:
    direction = {"max_length": 9, "stride": 2, "strategy": "LongestFirst", "direction": "Left"}
    return set_tokenizer(source, truncation=direction)


@pytest.mark.parametrize(
    "change", [cut_on_the_left_by_the_config, cut_on_the_left_by_the_tokenizer]
)
def test_texts_are_cut_on_the_side_that_the_files_name(
    source: ModelSource, change: Callable[[ModelSource], ModelSource], tmp_path: Path
) -> None:
    loaded = load_tokenizer(change(source), max_length=5)
    ends = [2, *(loaded.encoder.tokenizer.token_to_id(word) for word in ("not", "but", "very")), 3]
    text = "the film is not but very"

    assert loaded.config["truncation_side"] == "left"
    assert loaded.encoder.encode([text])[0].ids == ends
    reloaded = BertTokenizerFast.from_pretrained(written(loaded, tmp_path / "written"))
    assert reloaded(text, truncation=True)["input_ids"] == ends


def test_padding_on_the_left_is_replaced_and_said_so(source: ModelSource) -> None:
    listener = Listener()

    loaded = load_tokenizer(
        set_config(source, padding_side="left"), max_length=9, progress=listener
    )

    (warning,) = listener.warned
    assert "padding_side 'left' is replaced by 'right'" in warning
    assert "padding_side" not in loaded.config
    assert loaded.encoder.batch(["good", "good film"]).attention_mask.tolist()[0] == [1, 1, 1, 0]


def bert_normalizer(**settings: object) -> dict[str, object]:
    usual = {"clean_text": True, "handle_chinese_chars": True, "strip_accents": None}
    return {"type": "BertNormalizer", "lowercase": True, **usual, **settings}


@pytest.mark.parametrize(
    ("normalizer", "setting"),
    [
        (bert_normalizer(lowercase=False), {"do_lower_case": True}),
        (bert_normalizer(), {"do_lower_case": False}),
        (bert_normalizer(strip_accents=False), {"strip_accents": True}),
        (bert_normalizer(), {"strip_accents": False}),
        (bert_normalizer(handle_chinese_chars=False), {"tokenize_chinese_chars": True}),
        ({"type": "Lowercase"}, {"do_lower_case": False}),
    ],
)
def test_files_that_contradict_each_other_are_refused(
    source: ModelSource, normalizer: object, setting: dict[str, object]
) -> None:
    left_out = {"do_lower_case": None, "strip_accents": None, "tokenize_chinese_chars": None}
    set_tokenizer(set_config(source, **(left_out | setting)), normalizer=normalizer)

    with pytest.raises(ModelError, match=f"{next(iter(setting))} is (true|false), and") as caught:
        load_tokenizer(source, max_length=9)

    assert str(source.folder / "tokenizer_config.json") in str(caught.value)


def test_a_prefix_space_that_the_files_contradict_each_other_about_is_refused(
    source: ModelSource,
) -> None:
    pre_tokenizer = {
        "type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True,
    }  # fmt: skip
    set_tokenizer(source, pre_tokenizer=pre_tokenizer)

    with pytest.raises(ModelError, match="add_prefix_space is false, and"):
        load_tokenizer(set_config(source, add_prefix_space=False), max_length=9)


@pytest.mark.parametrize(
    "normalizer",
    [
        bert_normalizer(lowercase=False),
        bert_normalizer(strip_accents=False),
        bert_normalizer(handle_chinese_chars=False),
    ],
)
def test_where_the_config_says_nothing_the_tokenizer_is_what_its_file_says(
    source: ModelSource, normalizer: object, tmp_path: Path
) -> None:
    # BERT's class would write its own defaults over the file.
    set_tokenizer(source, normalizer=normalizer)
    (source.folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "BertTokenizer"})
    )
    plain = Tokenizer.from_file(str(source.folder / "tokenizer.json"))
    plain.no_padding()

    loaded = load_tokenizer(source, max_length=30)
    reloaded = BertTokenizerFast.from_pretrained(written(loaded, tmp_path / "written"))

    for text in ("Good film", "thé film", "a中a"):
        expected = plain.encode(text).ids
        assert loaded.encoder.encode([text])[0].ids == expected
        assert reloaded(text)["input_ids"] == expected


def test_a_template_that_the_file_has_is_kept(source: ModelSource) -> None:
    template = processors.TemplateProcessing(
        single="[CLS] $A", pair="[CLS] $A [SEP] $B", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer = Tokenizer.from_file(str(source.folder / "tokenizer.json"))
    tokenizer.post_processor = template
    tokenizer.save(str(source.folder / "tokenizer.json"))

    (tokens,) = load_tokenizer(source, max_length=9).encoder.encode(["good"])

    assert tokens.ids == [2, tokenizer.token_to_id("good")]


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"split_special_tokens": True}, "split_special_tokens"),
        ({"truncation_strategy": "only_second"}, "truncation_strategy"),
        ({"truncation_strategy": "only_first"}, "truncation_strategy"),
    ],
)
def test_settings_that_a_bundle_cannot_carry_are_refused_by_name(
    source: ModelSource, settings: dict[str, object], named: str
) -> None:
    with pytest.raises(ModelError, match=rf"tokenizer_config\.json: {named} is") as caught:
        load_tokenizer(set_config(source, **settings), max_length=9, pairs=True)

    assert str(source.folder) in str(caught.value)


def test_a_strategy_of_truncation_inside_the_tokenizer_counts_for_pairs_alone(
    source: ModelSource,
) -> None:
    strategy = {"max_length": 9, "stride": 0, "strategy": "OnlySecond", "direction": "Right"}
    set_tokenizer(source, truncation=strategy)

    load_tokenizer(source, max_length=9)
    with pytest.raises(ModelError, match=r"tokenizer\.json: truncation_strategy is"):
        load_tokenizer(source, max_length=9, pairs=True)


def test_random_merges_are_refused(source: ModelSource) -> None:
    model = {
        "type": "BPE", "vocab": {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "[MASK]": 4},
        "merges": [], "dropout": 0.1, "unk_token": "[UNK]",
    }  # fmt: skip
    set_tokenizer(set_config(source, tokenizer_class="PreTrainedTokenizerFast"), model=model)

    with pytest.raises(ModelError, match=r"tokenizer\.json: model\.dropout is 0\.1"):
        load_tokenizer(source, max_length=9)


def only_a_vocabulary(source: ModelSource, pieces: Iterable[str]) -> ModelSource:
    """A folder as it was before tokenizer.json: vocab.txt alone."""
    for file in source.folder.iterdir():
        if file.name not in ("config.json", "model.safetensors"):
            file.unlink()
    (source.folder / "vocab.txt").write_text("\n".join([*SPECIAL, *pieces]) + "\n")
    return source


def test_a_cased_vocabulary_without_a_setting_is_refused(source: ModelSource) -> None:
    only_a_vocabulary(source, ["Good", "good", "film", "##s"])

    with pytest.raises(ModelError, match="1 of 4 word pieces have capital letters") as caught:
        load_tokenizer(source, max_length=9)

    assert str(source.folder / "tokenizer_config.json") in caught.value.hint
    assert "do_lower_case" in caught.value.hint


@pytest.mark.parametrize(("lower", "piece"), [(False, "Good"), (True, "good")])
def test_a_cased_vocabulary_is_used_as_the_setting_says(
    source: ModelSource, lower: bool, piece: str
) -> None:
    only_a_vocabulary(source, ["Good", "good", "film", "##s"])
    (source.folder / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": lower}))

    loaded = load_tokenizer(source, max_length=9)

    (tokens,) = loaded.encoder.encode(["Good"])
    assert loaded.encoder.tokenizer.id_to_token(tokens.ids[1]) == piece
    assert loaded.config["do_lower_case"] is lower


def test_a_vocabulary_in_lower_case_needs_no_setting(source: ModelSource) -> None:
    only_a_vocabulary(source, ["good", "film", "##s"])

    (tokens,) = load_tokenizer(source, max_length=9).encoder.encode(["Good film"])

    assert tokens.ids == [2, 5, 6, 3]


def test_a_vocabulary_without_its_unknown_token_is_refused(source: ModelSource) -> None:
    content = json.loads((source.folder / "tokenizer.json").read_text())
    set_tokenizer(source, model=content["model"] | {"unk_token": "<none>"})

    with pytest.raises(ModelError, match="the vocabulary has no '<none>'") as caught:
        load_tokenizer(source, max_length=9)

    assert str(source.folder) in str(caught.value)


def test_a_tokenizer_that_adds_no_special_tokens_is_warned_of(source: ModelSource) -> None:
    listener = Listener()

    load_tokenizer(
        with_post_processor(source, processors.ByteLevel()), max_length=9, progress=listener
    )

    assert "adds no special tokens" in "".join(listener.warned)


def test_special_tokens_with_settings_of_their_own_keep_them(source: ModelSource) -> None:
    mask = {"content": "[MASK]", "lstrip": True, "rstrip": False, "normalized": False}
    set_config(source, mask_token=None, added_tokens_decoder=None)
    path = source.folder / "special_tokens_map.json"
    path.write_text(json.dumps({**SPECIAL_TOKENS, "mask_token": mask}))
    content = json.loads((source.folder / "tokenizer.json").read_text())
    others = [token for token in content["added_tokens"] if token["content"] != "[MASK]"]
    own = {"id": 4, **mask, "single_word": False, "special": True}
    set_tokenizer(source, added_tokens=[*others, own])

    loaded = load_tokenizer(source, max_length=9)

    added = {token["content"]: token for token in json.loads(
        loaded.encoder.tokenizer.to_str())["added_tokens"]}  # fmt: skip
    assert added["[MASK]"]["lstrip"] is True
    assert loaded.special_tokens["mask_token"] == "[MASK]"


def test_additional_special_tokens_are_kept(source: ModelSource) -> None:
    film = {"content": "film", "lstrip": False, "rstrip": False, "single_word": False,
            "normalized": False, "special": True, "__type": "AddedToken"}  # fmt: skip

    # Both are words of the vocabulary.
    loaded = load_tokenizer(
        set_config(source, additional_special_tokens=["good", film]), max_length=9
    )

    assert loaded.config["additional_special_tokens"] == ["good", "film"]
    assert json.loads(json.dumps(dict(loaded.config))) == dict(loaded.config)


def test_a_panic_of_the_tokenizer_library_is_an_error_that_names_the_folder(
    source: ModelSource,
) -> None:
    set_tokenizer(source, normalizer={"type": "Precompiled", "precompiled_charsmap": "AAAA"})

    with pytest.raises(ModelError, match=r"no usable tokenizer: .*charsmap") as caught:
        load_tokenizer(source, max_length=9)

    assert str(source.folder) in str(caught.value)


# SentencePiece models


@pytest.mark.parametrize(
    "name", ["spm.model", "spiece.model", "sentencepiece.bpe.model", "tokenizer.model"]
)
@pytest.mark.parametrize("module", ["sentencepiece", "google.protobuf"])
def test_a_package_that_is_missing_to_read_a_vocabulary_is_named(
    source: ModelSource, name: str, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    only_a_vocabulary(source, []).folder.joinpath("vocab.txt").rename(source.folder / name)
    installed = {"sentencepiece", "google.protobuf"} - {module}
    monkeypatch.setattr(
        "edgeadapt.models.tokenizer.find_spec", lambda name: name if name in installed else None
    )

    with pytest.raises(ModelError, match=name) as caught:
        load_tokenizer(source, max_length=9)

    assert f"pip install {module.removeprefix('google.')}" in caught.value.hint


PIECES = {"[PAD]": "pad", "[CLS]": "bos", "[SEP]": "eos", "[UNK]": "unk"}


@pytest.mark.parametrize("name", ["spm.model", "tokenizer.model"])
def test_a_sentencepiece_model_alone_is_a_tokenizer(
    sources: dict[str, ModelSource], name: str, tmp_path: Path
) -> None:
    sentencepiece = pytest.importorskip("sentencepiece")
    folder = shutil.copytree(sources["deberta-v2"].folder, tmp_path / "model")
    for file in folder.iterdir():
        if file.name not in ("config.json", "model.safetensors"):
            file.unlink()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["good film", "bad film", "the good room", "the bad room"] * 20),
        model_prefix=str(folder / "trained"),
        vocab_size=40,
        hard_vocab_limit=False,
        minloglevel=2,
        **{f"{kind}_id": number for number, kind in enumerate(PIECES.values())},
        **{f"{kind}_piece": piece for piece, kind in PIECES.items()},
    )
    (folder / "trained.model").rename(folder / name)

    loaded = load_tokenizer(find_model(ModelConfig(id=str(folder))), max_length=32)

    tokenizer, (tokens,) = loaded.encoder.tokenizer, loaded.encoder.encode(["good film"])
    pieces = [tokenizer.id_to_token(number) for number in tokens.ids]
    assert (pieces[0], pieces[-1]) == ("[CLS]", "[SEP]")
    assert "".join(pieces[1:-1]) == "▁good▁film"
    assert loaded.config["tokenizer_class"] == "DebertaV2Tokenizer"


def elsewhere(source: ModelSource) -> Path:
    """A vocabulary outside the checkpoint's folder, in which each id means another word."""
    file = source.folder.parent / "elsewhere.txt"
    file.write_text("\n".join([*SPECIAL, "good", "other"]))
    return file


def name_file(source: ModelSource, **settings: str | None) -> None:
    """Adds arguments, null ones too, to tokenizer_config.json."""
    path = source.folder / "tokenizer_config.json"
    stated = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(stated | settings))


@pytest.mark.parametrize("name", ["tokenizer_config.json", "special_tokens_map.json"])
@pytest.mark.parametrize("key", ["merges_file", "spm_file", "added_tokens_file", "mapping_file"])
def test_a_file_that_the_folder_does_not_have_is_refused_by_name(
    source: ModelSource, key: str, name: str
) -> None:
    only_a_vocabulary(source, ["bad", "film", "good"])
    (source.folder / name).write_text(json.dumps({key: str(elsewhere(source))}))

    with pytest.raises(ModelError, match=rf"{name}: {key} is .*elsewhere\.txt.*outside the folder"):
        load_tokenizer(source, max_length=32)


@pytest.mark.parametrize(
    "path", ["{elsewhere}", "/home/someone/.cache/huggingface/1f", "vocab.txt", None]
)
def test_the_folders_own_vocabulary_is_read_whatever_the_settings_name(
    source: ModelSource, path: str | None
) -> None:
    only_a_vocabulary(source, ["bad", "film", "good"])
    name_file(source, vocab_file=path and path.format(elsewhere=elsewhere(source)))

    encoder = load_tokenizer(source, max_length=32).encoder

    assert encoder.encode(["good"])[0].ids == [2, len(SPECIAL) + 2, 3]


@pytest.mark.parametrize("path", ["{elsewhere}", "/home/someone/.cache/huggingface/1f", None])
def test_the_folders_own_tokenizer_is_read_whatever_the_settings_name(
    source: ModelSource, path: str | None
) -> None:
    expected = load_tokenizer(source, max_length=32).encoder.sha256()
    name_file(source, tokenizer_file=path and path.format(elsewhere=elsewhere(source)))

    assert load_tokenizer(source, max_length=32).encoder.sha256() == expected


def test_another_file_of_the_folder_is_not_passed_over_in_silence(source: ModelSource) -> None:
    only_a_vocabulary(source, ["bad", "film", "good"])
    shutil.copy(elsewhere(source), source.folder / "other.txt")
    name_file(source, vocab_file="other.txt")

    with pytest.raises(ModelError, match=r'vocab_file is "other\.txt": expected "vocab\.txt"'):
        load_tokenizer(source, max_length=32)


@pytest.mark.parametrize("content", ["{}", '{"version": "1.0"}', '{"model": null}'])
def test_a_tokenizer_without_its_model_is_said_to_lack_it(
    source: ModelSource, content: str
) -> None:
    (source.folder / "tokenizer.json").write_text(content)

    with pytest.raises(ModelError, match=r'not a complete tokenizer: expected "model"'):
        load_tokenizer(source, max_length=32)


def test_a_vocabulary_without_its_merges_is_said_to_lack_them(source: ModelSource) -> None:
    only_a_vocabulary(source, ["good"])
    (source.folder / "vocab.txt").unlink()
    (source.folder / "vocab.json").write_text(json.dumps({"good": 0}))

    with pytest.raises(ModelError, match=r"merges\.txt is missing beside vocab\.json"):
        load_tokenizer(source, max_length=32)


@pytest.mark.parametrize("name", ["tokenizer_config.json", "special_tokens_map.json"])
@pytest.mark.parametrize("path", ["{elsewhere}", "/home/x/.cache/huggingface/1f", "gone.txt"])
@pytest.mark.parametrize(
    "key",
    [
        "special_tokens_map_file", "vocab_file", "merges_file", "spm_file", "added_tokens_file",
        "tokenizer_file", "mapping_file",
    ],
)  # fmt: skip
def test_beside_a_whole_tokenizer_other_files_that_are_named_change_nothing(
    source: ModelSource, key: str, path: str, name: str
) -> None:
    (source.folder / "vocab.txt").unlink(missing_ok=True)
    expected = load_tokenizer(source, max_length=32)
    file, other = source.folder / name, source.folder.parent / "elsewhere.json"
    other.write_text(json.dumps({"pad_token": "good", "good": 7, "model": None}))
    stated = json.loads(file.read_text()) if file.is_file() else {}
    file.write_text(json.dumps({**stated, key: path.format(elsewhere=other)}))

    found = load_tokenizer(source, max_length=32)

    assert found.encoder.sha256() == expected.encoder.sha256()
    assert found.encoder.pad_id == expected.encoder.pad_id
    assert (found.config, found.special_tokens) == (expected.config, expected.special_tokens)


@pytest.mark.parametrize("key", ["special_tokens_map_file", "tokenizer_file", "vocab_file"])
def test_another_file_of_the_folder_counts_beside_a_whole_tokenizer_too(
    source: ModelSource, key: str
) -> None:
    (source.folder / "other.json").write_text("{}")
    name_file(source, **{key: "other.json"})

    with pytest.raises(ModelError, match=rf'{key} is "other\.json": expected '):
        load_tokenizer(source, max_length=32)
