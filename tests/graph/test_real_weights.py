"""Each pass separately on the real encoder, with real texts, in batches of 1 and 8."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from edgeadapt.exporters import export_onnx
from edgeadapt.graph import rewrite
from edgeadapt.graph.attention import count_attention
from edgeadapt.graph.unfuse import unfuse_attention
from edgeadapt.models.classifier import AdaptedClassifier
from edgeadapt.models.merge import merge
from edgeadapt.models.sources import find_model
from edgeadapt.models.tokenizer import load_tokenizer
from edgeadapt.recipe import AdapterConfig, DataConfig, Exporter, GraphPass, ModelConfig
from edgeadapt.runtime.onnxruntime_engine import OnnxRuntimeEngine
from edgeadapt.shrink.shared_rows import use_rows
from edgeadapt.text import TextEncoder, TokenBatch, Tokens
from edgeadapt.training.datasets import load_dataset

LIMIT = 128


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> onnx.ModelProto:
    """The embedded encoder with adapters, a head that tells texts apart, and equal embeddings."""
    torch.manual_seed(0)
    config = AdapterConfig(method="parallel")
    classifier = AdaptedClassifier.build(find_model(ModelConfig()), ("a", "b"), config)
    for name, parameter in classifier.trained().items():
        torch.nn.init.normal_(parameter, std=0.3 if "classifier" in name else 0.02)
    merged = merge(classifier)
    pieces = torch.arange(merged.stock.config.vocab_size)
    use_rows(merged.stock, torch.where(pieces < 20_000, pieces, pieces // 2))
    path = tmp_path_factory.mktemp("real") / "model.onnx"
    export_onnx(merged.stock, path, exporter=Exporter.TORCH)
    return onnx.load(path)


@pytest.fixture(scope="module")
def encoder() -> TextEncoder:
    return load_tokenizer(find_model(ModelConfig()), max_length=LIMIT).encoder


@pytest.fixture(scope="module")
def batches(encoder: TextEncoder) -> list[TokenBatch]:
    """One text of each length up to the limit; eight of one length; eight of many, padded."""
    texts = [str(text) for text in load_dataset(DataConfig(dataset="demo")).test.texts]
    # Reviews are short: several in a row make long ones, and cut ones of every length between.
    ids = [tokens.ids[1:-1] for tokens in encoder.encode(texts)]
    stream = [number for text in ids for number in text]
    first, last = encoder.encode(["x"])[0].ids[0], encoder.encode(["x"])[0].ids[-1]

    def cut(length: int, start: int) -> Tokens:
        middle = stream[start : start + length - 2]
        return Tokens([first, *middle, last][-length:], [0] * length)

    single = [cut(length, 40 * length) for length in range(1, LIMIT + 1)]
    equal = [[cut(length, 7 * place) for place in range(8)] for length in (5, 33, LIMIT)]
    mixed = [[cut(n, 11 * n) for n in lengths] for lengths in lengths_of(8)]
    return [encoder.pad([each]) for each in single] + [encoder.pad(e) for e in [*equal, *mixed]]


def lengths_of(size: int) -> Iterator[list[int]]:
    generator = np.random.default_rng(0)
    for _ in range(6):
        yield generator.integers(2, LIMIT, size, endpoint=True).tolist()


def answers(model: onnx.ModelProto, batches: list[TokenBatch], path: Path) -> list[np.ndarray]:
    onnx.save(model, path)
    engine = OnnxRuntimeEngine(path)
    return [engine.run(batch) for batch in batches]


@pytest.fixture(scope="module")
def expected(
    model: onnx.ModelProto, batches: list[TokenBatch], tmp_path_factory: pytest.TempPathFactory
) -> list[np.ndarray]:
    found = answers(model, batches, tmp_path_factory.mktemp("expected") / "model.onnx")
    assert np.concatenate(found).std() > 0.3  # or nothing here could fail
    return found


@pytest.mark.slow
@pytest.mark.parametrize("passes", [*([each] for each in GraphPass), list(GraphPass)], ids="+".join)
def test_no_logit_of_real_text_moves_by_more_than_a_hundred_thousandth(
    model: onnx.ModelProto,
    batches: list[TokenBatch],
    expected: list[np.ndarray],
    passes: list[GraphPass],
    tmp_path: Path,
) -> None:
    rewritten = rewrite(model, passes, pairs=False)

    assert [node.op_type for node in rewritten.graph.node] != [
        node.op_type for node in model.graph.node
    ]
    for found, wanted in zip(answers(rewritten, batches, tmp_path / "m"), expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5)


@pytest.mark.slow
def test_attention_that_was_fused_and_taken_apart_again_answers_the_same(
    model: onnx.ModelProto,
    batches: list[TokenBatch],
    expected: list[np.ndarray],
    tmp_path: Path,
) -> None:
    fused = rewrite(model, tuple(GraphPass), pairs=False)
    apart = unfuse_attention(fused)

    assert count_attention(fused) == 5  # the last layer's reads one position
    assert count_attention(apart) == 0
    for found, wanted in zip(answers(apart, batches, tmp_path / "m"), expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5)
