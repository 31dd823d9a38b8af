"""All gates of the export, each made to fail, and the texts of the parity gates."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper
from transformers import PreTrainedModel

import edgeadapt.pipeline.export as pipeline
from edgeadapt.errors import (
    GateError,
)
from edgeadapt.exporters import lowering as lower
from edgeadapt.exporters import step
from edgeadapt.metrics import Logits, largest_shift
from edgeadapt.models.classifier import AdaptedClassifier
from edgeadapt.models.merge import Merged
from edgeadapt.models.parity import parity_texts
from edgeadapt.pipeline.export import export
from edgeadapt.quantize.candidate import Candidate
from edgeadapt.recipe import Exporter, Scheme
from edgeadapt.runtime import load_engine
from edgeadapt.runtime.base import text_logits
from edgeadapt.runtime.onnxruntime_engine import OnnxRuntimeEngine
from edgeadapt.store.bundle import Bundle
from edgeadapt.store.run import Run
from edgeadapt.text import TextEncoder, TokenBatch
from tests.conftest import make_tokenizer, review
from tests.pipeline.exporting import METHODS, PLAIN, WITH_INT8, nothing_is_at, read_csv, texts_of
from tests.store.handmade import compression_of, step_of

pytestmark = pytest.mark.usefixtures("steady")

ENCODER = TextEncoder(make_tokenizer(), max_length=40, pad_id=0)


def shift_bias(model: PreTrainedModel) -> None:
    with torch.no_grad():
        model.classifier.bias += 0.01


@pytest.mark.parametrize("method", METHODS)
def test_a_merge_that_changes_the_answers_leaves_no_bundle(
    runs: Mapping[str, Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    real = pipeline.merge

    def crooked(classifier: AdaptedClassifier) -> Merged:
        merged = real(classifier)
        shift_bias(merged.model)
        return merged

    monkeypatch.setattr(pipeline, "merge", crooked)

    with pytest.raises(
        GateError,
        match=r"Merged model against adapters.*differ by up to 0\.01 over 64 texts, "
        r"expected at most 1e-05; .*% of the labels",
    ):
        export(runs[method], options=PLAIN, output=tmp_path / "b" / "x")
    assert nothing_is_at(tmp_path / "b")


@pytest.mark.parametrize("method", METHODS)
def test_an_onnx_file_with_other_answers_leaves_no_bundle(
    runs: Mapping[str, Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    real = lower.export_onnx

    def crooked(model: PreTrainedModel, path: Path, *, exporter: Exporter) -> Exporter:
        shift_bias(model)
        return real(model, path, exporter=exporter)

    monkeypatch.setattr(lower, "export_onnx", crooked)

    with pytest.raises(
        GateError,
        match=r"ONNX fp32 against torch.*differ by up to 0\.01 over 64 texts, "
        r"expected at most 0\.0001; .*% of the labels",
    ):
        export(runs[method], options=PLAIN, output=tmp_path / "b" / "x")
    assert nothing_is_at(tmp_path / "b")


def engine_that(change: Callable[[TokenBatch, Logits], Logits]) -> type[OnnxRuntimeEngine]:
    """ONNX Runtime with something done to its answers."""

    class Changed(OnnxRuntimeEngine):
        def run(self, batch: TokenBatch) -> Logits:
            return change(batch, super().run(batch))

    return Changed


@pytest.mark.parametrize("size", [1, 8])
def test_a_graph_that_is_wrong_at_one_batch_size_only_does_not_pass(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    wrong = engine_that(lambda batch, logits: logits + (len(batch) == size))
    monkeypatch.setattr(step, "OnnxRuntimeEngine", wrong)

    with pytest.raises(GateError, match=rf"ONNX fp32 against torch, batch {size}: .* up to 1 "):
        export(run, options=PLAIN, output=tmp_path / "b" / "x")
    assert nothing_is_at(tmp_path / "b")


def test_a_graph_that_is_wrong_for_the_longest_text_only_does_not_pass(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = TextEncoder.from_file(run.path / "tokenizer.json", max_length=32, pad_id=0)
    longest = max(map(len, encoder.encode(texts_of(run.path / "validation.csv"))))
    wrong = engine_that(lambda batch, x: x + (batch.attention_mask.sum() == longest))
    monkeypatch.setattr(step, "OnnxRuntimeEngine", wrong)

    with pytest.raises(GateError, match=r"ONNX fp32 against torch, batch 1: .* up to 1 "):
        export(run, options=PLAIN, output=tmp_path / "b" / "x")


def test_a_single_answer_that_is_no_number_does_not_pass(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered: list[int] = []

    def spoil_one(batch: TokenBatch, logits: Logits) -> Logits:
        answered.append(len(batch))
        return logits * np.float32("nan") if len(answered) == 20 else logits

    monkeypatch.setattr(step, "OnnxRuntimeEngine", engine_that(spoil_one))

    with pytest.raises(GateError, match=r"ONNX fp32 against torch, batch 1: .* up to nan over"):
        export(run, options=PLAIN, output=tmp_path / "b" / "x")
    assert nothing_is_at(tmp_path / "b")


def multiply_logits(by: float) -> Callable[..., None]:
    """A quantization that multiplies the logits and does nothing else."""

    def write(candidate: Candidate, source: onnx.ModelProto, target: Path, **texts: object) -> None:
        assert candidate.scheme is Scheme.DYNAMIC_INT8
        model = onnx.ModelProto()
        model.CopyFrom(source)
        for node in model.graph.node:
            node.output[:] = ["right" if name == "logits" else name for name in node.output]
        factor = numpy_helper.from_array(np.asarray(by, dtype=np.float32), "factor")
        model.graph.initializer.append(factor)
        model.graph.node.append(helper.make_node("Mul", ["right", "factor"], ["logits"]))
        onnx.save(model, target)

    return write


def test_an_int8_model_that_loses_accuracy_leaves_no_bundle(
    accurate_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgeadapt.quantize.step.write", multiply_logits(-1))
    before = accurate_run.info.validation.accuracy

    with pytest.raises(GateError) as caught:
        export(accurate_run, options=WITH_INT8, output=tmp_path / "b" / "x")
    message = caught.value.message
    assert message.startswith("None of ")
    assert "The best, dynamic-int8, per channel" in message
    assert f"accuracy {before:.2%} -> {1 - before:.2%} on 24 held-out texts" in message
    assert f"a drop of {100 * (2 * before - 1):.2f} points" in message
    assert "allowed are 1.00." in message
    assert "--max-drop" in caught.value.hint
    assert nothing_is_at(tmp_path / "b")


def test_the_allowed_drop_is_the_users(
    accurate_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgeadapt.quantize.step.write", multiply_logits(-1))
    drop = 2 * accurate_run.info.validation.accuracy - 1
    below, above = (replace(WITH_INT8, max_drop=min(1.0, drop + step)) for step in (-1e-3, 1e-3))

    with pytest.raises(GateError, match=r"allowed are .*"):
        export(accurate_run, options=below, output=tmp_path / "x")
    bundle = export(accurate_run, options=above, output=tmp_path / "y")
    assert compression_of(bundle).spent.accuracy_drop == pytest.approx(drop)
    assert compression_of(bundle).spent.label_agreement == 0
    assert [path.name for path in tmp_path.iterdir()] == ["y"]


@pytest.mark.parametrize("max_drop", [0.01, 1.0])
def test_an_int8_model_without_numbers_never_passes(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, max_drop: float
) -> None:
    monkeypatch.setattr("edgeadapt.quantize.step.write", multiply_logits(float("nan")))
    options = replace(WITH_INT8, max_drop=max_drop)

    with pytest.raises(GateError, match="not numbers"):
        export(run, options=options, output=tmp_path / "b" / "x")
    assert nothing_is_at(tmp_path / "b")


def test_the_int8_report_can_be_recomputed_from_the_bundle(run: Run, bundle: Bundle) -> None:
    rows = read_csv(run.path / "validation.csv")
    labels = np.asarray([bundle.manifest.labels.index(row["label"]) for row in rows])
    fp32, int8 = (
        text_logits(load_engine(bundle, name), bundle.text_encoder(), [r["text"] for r in rows])
        for name in ("fp32", "int8")
    )
    before, after = (float((logits.argmax(axis=1) == labels).mean()) for logits in (fp32, int8))

    report = compression_of(bundle).spent
    assert step_of(bundle, "quantize").taken.settings["scheme"] == "dynamic-int8"
    assert compression_of(bundle).max_drop == 1.0
    assert report.accuracy_before == before
    assert report.accuracy_after == after
    assert report.accuracy_drop == pytest.approx(before - after)
    assert report.largest_shift == pytest.approx(largest_shift(fp32, int8), rel=1e-3)
    assert report.largest_shift > 1e-4


def test_the_onnx_report_can_be_recomputed_from_the_bundle(run: Run, bundle: Bundle) -> None:
    encoder = bundle.text_encoder()
    texts = parity_texts(texts_of(run.path / "validation.csv"), encoder)
    shifts = [
        largest_shift(
            text_logits(load_engine(bundle, "torch"), encoder, texts, batch_size=size),
            text_logits(load_engine(bundle, "fp32"), encoder, texts, batch_size=size),
        )
        for size in (1, 8)
    ]

    report = bundle.manifest.gates.onnx
    assert report.texts == len(texts)
    assert report.max_difference == pytest.approx(max(shifts), abs=1e-6)


@pytest.mark.parametrize(
    ("module", "limit", "gate"),
    [
        (pipeline, "MERGE_LIMIT", "Merged model against adapters"),
        (step, "ONNX_LIMIT", "ONNX fp32 against torch"),
    ],
    ids=["merge", "onnx"],
)
def test_the_limits_are_the_modules(
    run: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    module: ModuleType,
    limit: str,
    gate: str,
) -> None:
    monkeypatch.setattr(module, limit, -1.0)

    with pytest.raises(GateError, match=f"{gate}.*expected at most -1"):
        export(run, options=PLAIN, output=tmp_path / "b" / "x")
    assert nothing_is_at(tmp_path / "b")


# The texts of the parity gates


def counted_words(count: int, number: int) -> str:
    """A text of ``count`` words that no other ``number`` gives."""
    return " ".join(["good" if number >> bit & 1 else "bad" for bit in range(8)][:count]) + (
        " film" * (count - 8)
    )


LONG_TEXTS = st.lists(st.integers(70, 90), min_size=1, max_size=5).map(
    lambda counts: [counted_words(count, number) for number, count in enumerate(counts)]
)
MANY_TEXTS = st.lists(st.integers(8, 30), min_size=65, max_size=150).map(
    lambda counts: [counted_words(count, number) for number, count in enumerate(counts)]
)


def lengths(texts: list[str]) -> list[int]:
    return [len(tokens) for tokens in ENCODER.encode(texts)]


@settings(max_examples=25, deadline=None)
@given(texts=LONG_TEXTS)
def test_a_handful_of_long_texts_gives_64_from_short_to_long(texts: list[str]) -> None:
    chosen = parity_texts(texts, ENCODER)

    assert len(chosen) >= 64
    assert lengths(chosen) == sorted(lengths(chosen))
    assert set(texts) <= set(chosen)
    assert all(any(text.startswith(part) for text in texts) for part in chosen)


@settings(max_examples=25, deadline=None)
@given(texts=MANY_TEXTS)
def test_of_many_texts_64_different_ones_span_all_lengths(texts: list[str]) -> None:
    chosen = parity_texts(texts, ENCODER)

    assert len(chosen) == len(set(chosen)) == 64
    assert set(chosen) <= set(texts)
    found = lengths(chosen)
    assert found == sorted(found)
    assert (found[0], found[-1]) == (min(lengths(texts)), max(lengths(texts)))


def test_a_handful_of_short_texts_gives_64_too() -> None:
    texts = [review(number)[0] for number in range(5)]

    chosen = parity_texts(texts, ENCODER)

    assert len(chosen) >= 64
    assert lengths(chosen) == sorted(lengths(chosen))


def test_texts_with_the_same_beginning_are_not_counted_twice() -> None:
    texts = [review(number)[0] for number in range(40)]

    chosen = parity_texts(texts, ENCODER)

    assert len(chosen) == len(set(chosen)) >= 64


def test_the_choice_is_the_same_every_time() -> None:
    texts = [review(number)[0] for number in range(200)]

    assert parity_texts(texts, ENCODER) == parity_texts(texts, ENCODER)


def test_a_handful_of_pairs_gives_64_pairs_of_both_texts() -> None:
    encoder = TextEncoder(make_tokenizer(), max_length=40, pad_id=0, pairs=True)
    pairs = [(review(number)[0], "good film") for number in range(3)]

    chosen = parity_texts(pairs, encoder)

    assert len(chosen) == len(set(chosen)) >= 64
    assert set(pairs) <= set(chosen)
    lengths = [len(tokens) for tokens in encoder.encode(chosen)]
    assert lengths == sorted(lengths)
    assert len(set(lengths)) > 10
