"""A bundle, opened unmodified by all libraries that should support it."""

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from optimum.onnxruntime import ORTModelForSequenceClassification
from tokenizers import Tokenizer
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from edgeadapt.models.classifier import AdaptedClassifier
from edgeadapt.models.sources import find_model
from edgeadapt.recipe import Recipe
from edgeadapt.runtime import load_engine
from edgeadapt.runtime.base import text_logits
from edgeadapt.runtime.onnxruntime_engine import OnnxRuntimeEngine
from edgeadapt.store.bundle import Bundle
from tests.conftest import TINY_CONFIGS, WORDS, review
from tests.lively import lively_bundle, lively_run

LIMIT = 1e-5
TEXTS = ["film", *(review(number)[0] for number in range(0, 450, 31)), " ".join(WORDS)]
FILES = {"fp32": "model.onnx", "int8": "model_quantized.onnx"}
VARIANTS = pytest.mark.parametrize("variant", FILES)


@pytest.fixture(scope="module", params=TINY_CONFIGS)
def bundle(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return lively_bundle(tmp_path_factory, request.param)


def our_logits(bundle: Bundle, variant: str) -> np.ndarray:
    logits = text_logits(load_engine(bundle, variant), bundle.text_encoder(), TEXTS)
    assert logits.std(axis=0).min() > 100 * LIMIT, "the answers must depend on the text"
    return logits


@VARIANTS
def test_raw_onnx_runtime_and_tokenizers_give_our_logits(bundle: Bundle, variant: str) -> None:
    tokenizer = Tokenizer.from_file(str(bundle.path / "tokenizer.json"))
    session = onnxruntime.InferenceSession(
        bundle.path / "onnx" / FILES[variant], providers=["CPUExecutionProvider"]
    )
    found = []
    for text in TEXTS:
        encoding = tokenizer.encode(text)
        values = {
            "input_ids": encoding.ids,
            "attention_mask": encoding.attention_mask,
            "token_type_ids": encoding.type_ids,
        }
        wanted = [value.name for value in session.get_inputs()]
        inputs = {name: np.asarray([values[name]], dtype=np.int64) for name in wanted}
        found.append(session.run(["logits"], inputs)[0][0])

    np.testing.assert_allclose(found, our_logits(bundle, variant), rtol=0, atol=LIMIT)


@VARIANTS
def test_optimum_and_autotokenizer_give_our_logits(bundle: Bundle, variant: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(bundle.path)
    model = ORTModelForSequenceClassification.from_pretrained(
        bundle.path, subfolder="onnx", file_name=FILES[variant]
    )

    found = [
        model(**tokenizer(text, truncation=True, return_tensors="np")).logits[0] for text in TEXTS
    ]

    assert model.config.id2label == {0: "negative", 1: "positive"}
    np.testing.assert_allclose(found, our_logits(bundle, variant), rtol=0, atol=LIMIT)


def test_optimum_and_autotokenizer_give_our_logits_for_a_padded_batch(bundle: Bundle) -> None:
    tokenizer = AutoTokenizer.from_pretrained(bundle.path)
    model = ORTModelForSequenceClassification.from_pretrained(
        bundle.path, subfolder="onnx", file_name="model.onnx"
    )

    batch = tokenizer(TEXTS, truncation=True, padding=True, return_tensors="np")

    np.testing.assert_allclose(model(**batch).logits, our_logits(bundle, "fp32"), rtol=0, atol=1e-4)


def test_plain_transformers_loads_the_torch_folder_without_a_missing_key(bundle: Bundle) -> None:
    model, report = AutoModelForSequenceClassification.from_pretrained(
        bundle.path / "torch", output_loading_info=True
    )
    model.eval()
    tokenizer = AutoTokenizer.from_pretrained(bundle.path)

    with torch.inference_mode():
        found = [
            model(**tokenizer(text, truncation=True, return_tensors="pt")).logits[0].numpy()
            for text in TEXTS
        ]

    assert {kind: list(keys) for kind, keys in report.items() if keys} == {}
    assert model.config.id2label == {0: "negative", 1: "positive"}
    np.testing.assert_allclose(found, our_logits(bundle, "fp32"), rtol=0, atol=1e-4)


def test_one_word_is_three_ids_whoever_encodes_it(bundle: Bundle) -> None:
    ours = bundle.text_encoder().encode(["film"])[0].ids
    raw = Tokenizer.from_file(str(bundle.path / "tokenizer.json")).encode("film").ids
    auto = AutoTokenizer.from_pretrained(bundle.path)("film")["input_ids"]

    assert len(ours) == 3
    assert ours == raw == auto


@pytest.mark.parametrize("text", [TEXTS[3], "Unknown WÖRDS, and 42 😀", "film " * 200])
def test_everyone_gives_the_same_ids_cut_at_the_same_length(bundle: Bundle, text: str) -> None:
    ours = bundle.text_encoder().encode([text])[0].ids
    raw = Tokenizer.from_file(str(bundle.path / "tokenizer.json")).encode(text).ids
    auto = AutoTokenizer.from_pretrained(bundle.path)(text, truncation=True)["input_ids"]

    assert ours == raw == auto
    assert len(ours) <= bundle.manifest.max_length == 32


def test_autotokenizer_pads_as_we_do(bundle: Bundle) -> None:
    ours = bundle.text_encoder().batch(TEXTS)
    auto = AutoTokenizer.from_pretrained(bundle.path)(
        TEXTS, truncation=True, padding=True, return_tensors="np"
    )

    np.testing.assert_array_equal(auto["input_ids"], ours.input_ids)
    np.testing.assert_array_equal(auto["attention_mask"], ours.attention_mask)


def test_the_special_tokens_are_named_for_every_loader(bundle: Bundle) -> None:
    names = json.loads((bundle.path / "special_tokens_map.json").read_text())
    config = json.loads((bundle.path / "tokenizer_config.json").read_text())

    assert names["pad_token"] == config["pad_token"] == "[PAD]"
    assert names["cls_token"] == config["cls_token"] == "[CLS]"
    assert config["model_max_length"] == 32
    assert not config["tokenizer_class"].endswith("Fast")


def test_the_models_load_where_nothing_else_of_the_bundle_is(
    bundle: Bundle, tmp_path: Path
) -> None:
    for name in FILES.values():
        alone = tmp_path / name
        alone.write_bytes((bundle.path / "onnx" / name).read_bytes())

        logits = OnnxRuntimeEngine(alone).run(bundle.text_encoder().batch(["film"]))
        assert logits.shape == (1, 2)


def test_the_bundle_is_intact_after_everyone_has_opened_it(bundle: Bundle) -> None:
    AutoTokenizer.from_pretrained(bundle.path)
    ORTModelForSequenceClassification.from_pretrained(
        bundle.path, subfolder="onnx", file_name="model.onnx"
    )

    bundle.verify()
    found = {p.relative_to(bundle.path).as_posix() for p in bundle.path.rglob("*") if p.is_file()}
    assert found == {*bundle.manifest.files, "manifest.json"}


@pytest.mark.parametrize("model_type", TINY_CONFIGS)
def test_every_backbone_is_merged_exactly(
    model_type: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    run = lively_run(tmp_path_factory, model_type)
    bundle = lively_bundle(tmp_path_factory, model_type)
    recipe = Recipe.load(str(run.path))
    adapted = AdaptedClassifier.build(find_model(recipe.model), run.info.labels, recipe.adapter)
    adapted.load(run.path / "weights")
    adapted.model.eval()
    stock = AutoModelForSequenceClassification.from_pretrained(bundle.path / "torch").eval()
    batch = bundle.text_encoder().batch(TEXTS)
    inputs = {
        "input_ids": torch.from_numpy(batch.input_ids),
        "attention_mask": torch.from_numpy(batch.attention_mask),
    }

    with torch.inference_mode():
        expected, found = adapted.model(**inputs).logits, stock(**inputs).logits

    np.testing.assert_allclose(found, expected, rtol=0, atol=LIMIT)
