"""Tiny random models, data and finished artifacts; nothing here is downloaded."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import AutoConfig, AutoModel, BertTokenizerFast

from edgeadapt.data import write_csv
from edgeadapt.pipeline.export import ExportOptions, Quantization, export
from edgeadapt.pipeline.train import train
from edgeadapt.recipe import Recipe
from edgeadapt.store.bundle import Bundle
from edgeadapt.store.run import Run

WORDS = (  # noqa: SIM905 - a sentence reads better
    "the a it was is and not but very good bad fine poor great awful bright dull warm cold film "
    "meal room phone book game song we they liked hated again never always staff plot battery soup"
).split()
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
GOOD, BAD = ("good", "great", "bright", "warm", "liked"), ("bad", "awful", "dull", "cold", "hated")

_TINY = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 40,
}
# Positions begin behind the id of the padding token.
_TINY_ROBERTA = {**_TINY, "max_position_embeddings": 41, "pad_token_id": 0}

TINY_CONFIGS = {
    "bert": _TINY,
    "roberta": _TINY_ROBERTA,
    "electra": {**_TINY, "embedding_size": 8},
    "distilbert": {
        "dim": 16,
        "n_layers": 2,
        "n_heads": 2,
        "hidden_dim": 24,
        "max_position_embeddings": 40,
    },
    "xlm-roberta": _TINY_ROBERTA,
    "mpnet": {**_TINY, "max_position_embeddings": 42, "pad_token_id": 0},  # they begin at 2
    "albert": {**_TINY, "embedding_size": 8, "hidden_act": "gelu"},
    "deberta-v2": {
        **_TINY,
        "relative_attention": True,
        "position_buckets": 8,
        "pos_att_type": ["p2c", "c2p"],
        "norm_rel_ebd": "layer_norm",
        "share_att_key": True,
        "position_biased_input": False,
        "type_vocab_size": 0,
    },
    "modernbert": {
        **_TINY,
        "global_attn_every_n_layers": 2,
        "local_attention": 16,
        "pad_token_id": 0,
        "cls_token_id": 2,
        "bos_token_id": 2,
        "sep_token_id": 3,
        "eos_token_id": 3,
    },
}
"""Model type -> config of a model with a few thousand weights."""


def make_tokenizer() -> Tokenizer:
    """A word-piece tokenizer over a few words and all letters, which pads everything to 20."""
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    pieces = SPECIAL + WORDS + letters + [f"##{letter}" for letter in letters] + [".", ","]
    vocabulary = {piece: number for number, piece in enumerate(dict.fromkeys(pieces))}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    # As the embedded tokenizer does: everything that reads it has to switch this off.
    tokenizer.enable_padding(pad_id=0, pad_token="[PAD]", length=20)
    return tokenizer


def make_checkpoint(folder: Path, model_type: str = "bert") -> Path:
    """Saves a tiny random encoder (without a head) with its tokenizer."""
    torch.manual_seed(1)
    vocabulary = make_tokenizer().get_vocab_size()
    config = AutoConfig.for_model(model_type, vocab_size=vocabulary, **TINY_CONFIGS[model_type])
    model = AutoModel.from_config(config)
    model.save_pretrained(folder)
    BertTokenizerFast(tokenizer_object=make_tokenizer(), model_max_length=40).save_pretrained(
        folder
    )
    return folder


def review(number: int) -> tuple[str, str]:
    """A text and its label; different numbers below a few thousand give different texts."""
    label = "positive" if number % 2 else "negative"
    mood = GOOD if number % 2 else BAD
    things = ("film", "meal", "room", "phone", "book", "game", "song", "plot", "soup", "staff")
    words = [
        "the",
        things[number % 10],
        "was",
        mood[number // 2 % 5],
        "and",
        things[number // 10 % 10],
        mood[number // 20 % 5],
        *WORDS[: number // 50 % 9],
        things[number // 100 % 10],
    ]
    return " ".join(words), label


def write_dataset(folder: Path, *, train: int = 64, validation: int = 24, test: int = 24) -> Path:
    """Writes train, validation and test files with different texts, and labels.json."""
    folder.mkdir(parents=True, exist_ok=True)
    start = 0
    for name, count in (("train", train), ("validation", validation), ("test", test)):
        pairs = [review(number) for number in range(start, start + count)]
        texts, labels = zip(*pairs, strict=True)
        write_csv(folder / f"{name}.csv", {"text": texts, "label": labels})
        start += count
    (folder / "labels.json").write_text(json.dumps(["negative", "positive"]))
    return folder


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Threads that wait for each other cost more than models this small take."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random BERT on disk."""
    return make_checkpoint(tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture(scope="session")
def dataset_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with train.csv, validation.csv, test.csv and labels.json."""
    return write_dataset(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="session")
def tiny_recipe(checkpoint: Path, dataset_folder: Path) -> Callable[..., Recipe]:
    """Makes a recipe that trains the tiny model in about a second."""

    def make(method: str = "parallel", **training: object) -> Recipe:
        return Recipe.from_dict(
            {
                "model": {"id": str(checkpoint), "max_length": 32},
                "data": {"dataset": str(dataset_folder)},
                "adapter": {"method": method, "dimension": 4},
                "training": {"epochs": 2, "batch_size": 16, "device": "cpu", **training},
            },
            origin="test",
        )

    return make


@pytest.fixture(scope="session")
def tiny_run(tiny_recipe: Callable[..., Recipe], tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run with a parallel adapter. Do not change it: copy it first."""
    return train(tiny_recipe(), output=tmp_path_factory.mktemp("runs") / "tiny")


@pytest.fixture(scope="session")
def tiny_bundle(tiny_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A finished bundle with fp32, int8 and torch. Do not change it: copy it first."""
    return export(
        tiny_run,
        options=ExportOptions(quantize=Quantization(), max_drop=1.0, with_torch=True),
        output=tmp_path_factory.mktemp("bundles") / "tiny",
    )


@pytest.fixture
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Runs the test in an empty working directory and returns it."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def edgeadapt_command() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs ``edgeadapt ARGUMENTS`` in a fresh process."""

    def run(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "edgeadapt", *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
            **options,  # type: ignore[call-overload]
        )

    return run
