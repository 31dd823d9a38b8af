"""A text has the same prediction alone and in a batch, for every scheme and engine."""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from edgeadapt.exporters import export_onnx
from edgeadapt.graph import rewrite
from edgeadapt.metrics import Logits
from edgeadapt.models.classifier import AdaptedClassifier
from edgeadapt.models.merge import merge
from edgeadapt.models.sources import find_model
from edgeadapt.models.tokenizer import load_tokenizer
from edgeadapt.quantize.candidate import Candidate, write
from edgeadapt.recipe import (
    AdapterConfig,
    DataConfig,
    EngineName,
    Exporter,
    GraphPass,
    ModelConfig,
    Scheme,
)
from edgeadapt.runtime import engine_class, load_engine
from edgeadapt.runtime.base import LoadedModel, TextByText
from edgeadapt.runtime.classifier import load
from edgeadapt.runtime.onnxruntime_engine import OnnxRuntimeEngine
from edgeadapt.store.bundle import Bundle, Variant
from edgeadapt.text import TextEncoder, TokenBatch
from edgeadapt.training.datasets import load_dataset
from tests.conftest import WORDS, review
from tests.lively import lively_bundle

TEXTS = [review(number)[0] for number in range(0, 300, 3)]
LONG = [" ".join(WORDS[number:] + WORDS[:number]) for number in range(40)]
SIZES = (2, 8, 32)
LIMIT = 1e-4
"""Float32 sums that are added up in another order differ by less."""
CANDIDATES = {
    "dynamic": Candidate(Scheme.DYNAMIC_INT8),
    "dynamic-per-tensor": Candidate(Scheme.DYNAMIC_INT8, per_channel=False),
    "static": Candidate(Scheme.STATIC_INT8, fused=False),
    "int8": Candidate(Scheme.INT8_WEIGHTS, fused=False),
    "int8-fp32-compute": Candidate(Scheme.INT8_WEIGHTS, fused=False, int8_compute=False),
    "int4": Candidate(Scheme.INT4_WEIGHTS, fused=False),
    "int4-fp32-compute": Candidate(Scheme.INT4_WEIGHTS, fused=False, int8_compute=False),
}
ON_EVERY_ENGINE = [
    *(("fp32", engine) for engine in (EngineName.ONNXRUNTIME, EngineName.OPENVINO)),
    *((name, EngineName.ONNXRUNTIME) for name in CANDIDATES),
    ("static", EngineName.OPENVINO),
    ("torch", EngineName.TORCH),
]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle with a variant for every scheme, beside fp32 and torch."""
    source = lively_bundle(tmp_path_factory)
    path = Path(shutil.copytree(source.path, tmp_path_factory.mktemp("company") / "every"))
    graph = onnx.load(path / "onnx/model.onnx")
    names = [value.name for value in graph.graph.input]
    encoder = source.text_encoder()
    texts = [tokens.as_batch().select(names) for tokens in encoder.encode(TEXTS[:32])]
    variants = {name: source.variant(name) for name in ("fp32", "torch")}
    for name, candidate in CANDIDATES.items():
        file = f"onnx/{name}.onnx"
        write(candidate, graph, path / file, texts=texts)
        variants[name] = Variant(file, EngineName.ONNXRUNTIME, candidate.scheme)
    return Bundle.write(path, replace(source.manifest, variants=variants))


def in_company(
    model: LoadedModel,
    encoder: TextEncoder,
    texts: Sequence[str],
    size: int,
    *,
    long: Sequence[str] = LONG,
) -> Logits:
    """The texts' logits, all but one of each batch's rows being theirs and the last a long text."""
    found = []
    for start in range(0, len(texts), size - 1):
        others = texts[start : start + size - 1]
        batch = encoder.batch([*others, long[start % len(long)]])
        found.append(model.run(batch)[: len(others)])
    return np.concatenate(found)


def largest_difference(model: LoadedModel, encoder: TextEncoder, texts: Sequence[str]) -> float:
    """By how much a logit of a text alone differs from that in a batch of any size."""
    alone = np.concatenate([model.run(encoder.batch([text])) for text in texts])
    assert alone.std() > 0.1  # or nothing here could fail
    company = [in_company(model, encoder, texts, size) for size in SIZES]
    return float(max(np.abs(each - alone).max() for each in company))


@pytest.mark.parametrize(("variant", "engine"), ON_EVERY_ENGINE)
def test_every_text_is_answered_alike_alone_and_beside_long_ones(
    bundle: Bundle, variant: str, engine: EngineName
) -> None:
    model = load_engine(bundle, variant, threads=1, engine=engine)

    assert largest_difference(model, bundle.text_encoder(), TEXTS) < LIMIT


@pytest.mark.parametrize(("variant", "engine"), ON_EVERY_ENGINE)
def test_what_is_run_in_batches_was_measured_to_be_batchable(
    bundle: Bundle, variant: str, engine: EngineName
) -> None:
    model = engine_class(bundle, variant, engine).load(bundle, variant, threads=1)

    difference = largest_difference(model, bundle.text_encoder(), TEXTS)

    if bundle.variant(variant).is_batchable:
        assert difference < LIMIT
    if bundle.variant(variant).scheme == Scheme.DYNAMIC_INT8:
        assert difference > 0.005  # the reason why there is anything to do


@pytest.mark.parametrize("variant", ["fp32", *CANDIDATES])
def test_the_batch_size_changes_no_prediction(bundle: Bundle, variant: str) -> None:
    classifier, texts = load(bundle.path, variant=variant, threads=1), [*TEXTS[:40], *LONG[:3]]

    alone = classifier.predict(texts)

    for size in SIZES:
        together = classifier.predict(texts, batch_size=size)
        assert [one.label for one in together] == [one.label for one in alone]
        assert [one.score for one in together] == pytest.approx([one.score for one in alone])


class Recorder:
    """A model that remembers its batches and answers with the number of tokens."""

    def __init__(self) -> None:
        self.batches: list[TokenBatch] = []

    def run(self, batch: TokenBatch) -> Logits:
        self.batches.append(batch)
        return batch.attention_mask.sum(axis=1, keepdims=True).astype(np.float32)

    def describe(self) -> str:
        return "recorder 1.0"


def test_text_by_text_each_row_comes_alone_and_without_padding(bundle: Bundle) -> None:
    recorder, batch = Recorder(), bundle.text_encoder().batch(["film", LONG[0], "the film was"])

    logits = TextByText(recorder).run(batch)

    lengths = batch.attention_mask.sum(axis=1)
    assert [given.input_ids.shape for given in recorder.batches] == [(1, n) for n in lengths]
    for row, given in enumerate(recorder.batches):
        assert given.attention_mask.all()
        for name in ("input_ids", "token_type_ids"):
            whole = getattr(batch, name)[row, : lengths[row]]
            np.testing.assert_array_equal(getattr(given, name)[0], whole)
    np.testing.assert_array_equal(logits[:, 0], lengths)
    assert TextByText(recorder).describe() == "recorder 1.0"


@pytest.mark.parametrize(
    ("file", "scheme", "batchable"),
    [
        ("onnx/model.onnx", None, True),
        ("torch/model.safetensors", None, True),
        ("onnx/model_quantized.onnx", None, False),
        ("onnx/model_quantized.onnx", "int2-of-a-later-version", False),
        ("onnx/model_quantized.onnx", "static-int8", False),
        ("onnx/model_quantized.onnx", "int8-weights", True),
    ],
)
def test_a_variant_of_which_nothing_is_known_is_run_text_by_text(
    file: str, scheme: str | None, batchable: bool
) -> None:
    assert Variant(file, EngineName.ONNXRUNTIME, scheme).is_batchable is batchable


@pytest.mark.slow
@pytest.mark.parametrize("name", ["dynamic", "static"])
def test_300_real_texts_keep_label_and_logits_in_company(name: str, tmp_path: Path) -> None:
    """On the embedded encoder, with adapters and a head that tells texts apart."""
    torch.manual_seed(0)
    source = find_model(ModelConfig())
    classifier = AdaptedClassifier.build(source, ("a", "b"), AdapterConfig(method="parallel"))
    for tensor, parameter in classifier.trained().items():
        torch.nn.init.normal_(parameter, std=0.3 if "classifier" in tensor else 0.02)
    export_onnx(merge(classifier).stock, tmp_path / "fp32.onnx", exporter=Exporter.TORCH)
    graph = rewrite(onnx.load(tmp_path / "fp32.onnx"), [GraphPass.POSITIONS], pairs=False)
    encoder = load_tokenizer(source, max_length=128).encoder
    texts = [str(text) for text in load_dataset(DataConfig()).test.texts][:300]
    assert len(texts) == 300
    names = [value.name for value in graph.graph.input]
    inputs = [tokens.as_batch().select(names) for tokens in encoder.encode(texts[:32])]
    write(CANDIDATES[name], graph, tmp_path / "int8.onnx", texts=inputs)
    model = TextByText(OnnxRuntimeEngine(tmp_path / "int8.onnx", threads=2))
    long = [" ".join(texts[n : n + 12]) for n in range(40)]

    alone = np.concatenate([model.run(encoder.batch([text])) for text in texts])

    for size in SIZES:
        found = in_company(model, encoder, texts, size, long=long)
        assert np.array_equal(found.argmax(axis=1), alone.argmax(axis=1))
        assert np.abs(found - alone).max() < 0.005
