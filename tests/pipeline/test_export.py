"""The export pipeline: every gate, what a bundle holds, and what a failure leaves."""

import csv
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper
from safetensors.numpy import load_file, save_file
from transformers import PreTrainedModel

import edgeadapt.pipeline.export as pipeline
from edgeadapt import __version__
from edgeadapt.bundle import Bundle
from edgeadapt.config import Exporter, Recipe, Scheme
from edgeadapt.errors import (
    EdgeAdaptError,
    ExportError,
    GateError,
    IntegrityError,
    ModelError,
    OutputExistsError,
    UsageError,
)
from edgeadapt.metrics import Logits, largest_shift, probabilities
from edgeadapt.models.classifier import AdaptedClassifier
from edgeadapt.models.merge import Merged
from edgeadapt.pipeline.export import ExportOptions, export, parity_texts
from edgeadapt.pipeline.train import train
from edgeadapt.run import Run
from edgeadapt.runtime import load_engine
from edgeadapt.runtime.base import text_logits
from edgeadapt.runtime.onnxruntime_engine import OnnxRuntimeEngine
from edgeadapt.text import TextEncoder, TokenBatch
from tests.conftest import make_tokenizer, review
from tests.lively import lively_bundle, lively_recipe, lively_run

PLAIN = ExportOptions(exporter=Exporter.TORCH)
WITH_INT8 = ExportOptions(exporter=Exporter.TORCH, quantize=True)
WITHOUT_LIMIT = replace(WITH_INT8, max_drop=1.0)
METHODS = ("parallel", "sequential", "houlsby")

ENCODER = TextEncoder(make_tokenizer(), max_length=40, pad_id=0)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return lively_run(tmp_path_factory)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return lively_bundle(tmp_path_factory)


@pytest.fixture(scope="module")
def runs(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Run]:
    """A run per method."""
    folder = tmp_path_factory.mktemp("methods")
    recipe = Recipe.load(str(run.path))
    found = {"parallel": run}
    for method in METHODS[1:]:
        changes = {"adapter": {"method": method}, "training": {"learning_rate": 5e-3}}
        found[method] = train(recipe.updated(changes, origin="test"), output=folder / method)
    return found


@pytest.fixture(scope="module")
def bundles(runs: Mapping[str, Run], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Bundle]:
    """A bundle with int8 per method."""
    folder = tmp_path_factory.mktemp("method-bundles")
    return {
        method: export(run, options=WITHOUT_LIMIT, output=folder / method)
        for method, run in runs.items()
    }


@pytest.fixture(scope="module")
def accurate_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run that has learned its task, so that there is accuracy to lose."""
    folder = tmp_path_factory.mktemp("accurate")
    run = train(lively_recipe(folder, method="full", epochs=12), output=folder / "run")
    assert run.info.validation["accuracy"] > 0.75
    return run


@pytest.fixture
def own_run(tmp_path: Path) -> Run:
    """A run whose backbone may be damaged."""
    recipe = lively_recipe(tmp_path / "own", epochs=1)
    return train(recipe, output=tmp_path / "own" / "run")


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def texts_of(path: Path) -> list[str]:
    return [row["text"] for row in read_csv(path)]


def nothing_is_at(folder: Path) -> bool:
    return not folder.exists() or not list(folder.iterdir())


def content(folder: Path) -> dict[str, bytes]:
    files = [file for file in folder.rglob("*") if file.is_file()]
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in files}


# What a bundle holds


def test_a_bundle_holds_three_variants_when_asked_for(tiny_bundle: Bundle) -> None:
    assert set(tiny_bundle.manifest.variants) == {"fp32", "int8", "torch"}
    tiny_bundle.verify()


def test_a_bundle_holds_every_file_and_no_other(bundle: Bundle) -> None:
    assert set(content(bundle.path)) == {
        "manifest.json",
        "config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "onnx/model.onnx",
        "onnx/model_quantized.onnx",
        "evaluation.csv",
        "README.md",
        "torch/config.json",
        "torch/model.safetensors",
    }
    assert set(bundle.manifest.files) == set(content(bundle.path)) - {"manifest.json"}


def test_a_plain_bundle_has_neither_int8_nor_a_torch_checkpoint(run: Run, tmp_path: Path) -> None:
    bundle = export(run, options=PLAIN, output=tmp_path / "b")

    assert set(bundle.manifest.variants) == {"fp32"}
    assert bundle.manifest.parity["int8"] is None
    assert {path.name for path in bundle.path.iterdir() if path.is_dir()} == {"onnx"}
    assert [path.name for path in (bundle.path / "onnx").iterdir()] == ["model.onnx"]


def test_evaluation_is_the_runs_test_text_with_its_labels(run: Run, bundle: Bundle) -> None:
    predicted = read_csv(run.path / "predictions.csv")

    assert read_csv(bundle.path / "evaluation.csv") == [
        {"text": row["text"], "label": row["label"]} for row in predicted
    ]


def test_evaluation_is_cut_at_its_limit(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "EVALUATION_EXAMPLES", 7)

    bundle = export(run, options=PLAIN, output=tmp_path / "b")

    expected = texts_of(run.path / "predictions.csv")[:7]
    assert texts_of(bundle.path / "evaluation.csv") == expected


def test_without_evaluation_no_text_of_the_data_is_in_the_bundle(run: Run, tmp_path: Path) -> None:
    options = replace(PLAIN, evaluation=False)

    bundle = export(run, options=options, output=tmp_path / "b")

    assert not (bundle.path / "evaluation.csv").exists()
    assert "evaluation.csv" not in bundle.manifest.files
    private = texts_of(run.path / "predictions.csv") + texts_of(run.path / "validation.csv")
    for name, found in content(bundle.path).items():
        assert not [text for text in private if text.encode() in found], name


def test_no_file_tells_where_the_bundle_was_made(
    bundle: Bundle, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = str(tmp_path_factory.getbasetemp()).encode()

    assert [name for name, found in content(bundle.path).items() if folder in found] == []


def test_the_manifest_says_what_the_model_is(run: Run, bundle: Bundle) -> None:
    manifest = bundle.manifest

    assert manifest.labels == run.info.labels
    assert (manifest.max_length, manifest.pad_id) == (32, 0)
    assert manifest.edgeadapt == __version__
    assert manifest.variants["fp32"].file == "onnx/model.onnx"
    assert manifest.variants["int8"].file == "onnx/model_quantized.onnx"
    assert manifest.variants["int8"].scheme == "dynamic-int8"
    assert {name: v.engine for name, v in manifest.variants.items()} == {
        "fp32": "onnxruntime",
        "int8": "onnxruntime",
        "torch": "torch",
    }


def test_the_manifest_says_where_the_model_comes_from(run: Run, bundle: Bundle) -> None:
    origin = bundle.manifest.provenance

    assert origin["run"] == run.name
    assert origin["method"] == "parallel"
    assert origin["exporter"] == "torch"
    assert origin["frozen_sha256"] == run.info.frozen_sha256["after"]
    assert origin["data_fingerprint"] == run.info.data["fingerprint"]
    assert origin["trainable_parameters"] == run.info.trainable_parameters
    assert origin["test"] == run.info.test


def test_config_json_names_the_labels_and_the_widened_model(bundle: Bundle) -> None:
    config = json.loads((bundle.path / "config.json").read_text())

    assert config["id2label"] == {"0": "negative", "1": "positive"}
    assert config["label2id"] == {"negative": 0, "positive": 1}
    assert config["intermediate_size"] == 24 + 4
    assert config["architectures"] == ["BertForSequenceClassification"]


@pytest.mark.parametrize("method", METHODS)
def test_a_bundle_answers_as_the_run_did_on_its_test_text(
    runs: Mapping[str, Run], bundles: Mapping[str, Bundle], method: str
) -> None:
    rows = read_csv(runs[method].path / "predictions.csv")
    bundle = bundles[method]

    logits = text_logits(
        load_engine(bundle, "fp32"), bundle.text_encoder(), [row["text"] for row in rows]
    )

    assert logits.std(axis=0).min() > 0.01, "the answers must depend on the text"
    names = bundle.manifest.labels
    assert [names[label] for label in logits.argmax(axis=1)] == [r["prediction"] for r in rows]
    confidence = [float(row["confidence"]) for row in rows]
    assert probabilities(logits).max(axis=1) == pytest.approx(confidence, abs=1e-4)


# Adapters that cannot be folded


@pytest.mark.parametrize("method", ["sequential", "houlsby"])
def test_adapters_that_cannot_be_folded_are_in_the_graph(
    runs: Mapping[str, Run], bundles: Mapping[str, Bundle], method: str
) -> None:
    adapter = load_file(runs[method].path / "weights" / "adapter.safetensors")
    graph = onnx.load(bundles[method].path / "onnx" / "model.onnx").graph
    found = [numpy_helper.to_array(tensor) for tensor in graph.initializer]

    for name, tensor in adapter.items():
        assert any(
            np.array_equal(tensor, other) or np.array_equal(tensor.T, other) for other in found
        ), name


@pytest.mark.parametrize("method", METHODS)
def test_the_manifest_says_what_could_not_be_folded(
    runs: Mapping[str, Run], bundles: Mapping[str, Bundle], method: str
) -> None:
    adapter = load_file(runs[method].path / "weights" / "adapter.safetensors")
    left = 0 if method == "parallel" else sum(tensor.size for tensor in adapter.values())

    assert bundles[method].manifest.parity["merge"]["leftover"]["parameters"] == left


@pytest.mark.parametrize("method", METHODS)
def test_every_method_passes_the_same_gates(bundles: Mapping[str, Bundle], method: str) -> None:
    parity = bundles[method].manifest.parity

    assert parity["merge"]["limit"] == pipeline.MERGE_LIMIT == 1e-5
    assert parity["onnx"]["limit"] == pipeline.ONNX_LIMIT == 1e-4
    for gate in ("merge", "onnx"):
        assert 0 <= parity[gate]["max_difference"] <= parity[gate]["limit"]
        assert parity[gate]["texts"] >= 64
    assert parity["int8"]["texts"] == 24


@pytest.mark.parametrize("method", ["sequential", "houlsby"])
def test_a_torch_checkpoint_of_unfolded_adapters_is_refused(
    runs: Mapping[str, Run], tmp_path: Path, method: str
) -> None:
    options = replace(PLAIN, with_torch=True)

    with pytest.raises(ExportError, match="cannot be saved as a stock checkpoint") as caught:
        export(runs[method], options=options, output=tmp_path / "b" / "x")
    assert "--method parallel" in caught.value.hint
    assert nothing_is_at(tmp_path / "b")


# The gates


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
    real = pipeline.export_onnx

    def crooked(model: PreTrainedModel, path: Path, *, exporter: Exporter) -> Exporter:
        shift_bias(model)
        return real(model, path, exporter=exporter)

    monkeypatch.setattr(pipeline, "export_onnx", crooked)

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
    monkeypatch.setattr(pipeline, "OnnxRuntimeEngine", wrong)

    with pytest.raises(GateError, match=rf"ONNX fp32 against torch, batch {size}: .* up to 1 "):
        export(run, options=PLAIN, output=tmp_path / "b" / "x")
    assert nothing_is_at(tmp_path / "b")


def test_a_graph_that_is_wrong_for_the_longest_text_only_does_not_pass(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = TextEncoder.from_file(run.path / "tokenizer.json", max_length=32, pad_id=0)
    longest = max(map(len, encoder.ids(texts_of(run.path / "validation.csv"))))
    wrong = engine_that(lambda batch, x: x + (batch.attention_mask.sum() == longest))
    monkeypatch.setattr(pipeline, "OnnxRuntimeEngine", wrong)

    with pytest.raises(GateError, match=r"ONNX fp32 against torch, batch 1: .* up to 1 "):
        export(run, options=PLAIN, output=tmp_path / "b" / "x")


def test_a_single_answer_that_is_no_number_does_not_pass(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered: list[int] = []

    def spoil_one(batch: TokenBatch, logits: Logits) -> Logits:
        answered.append(len(batch))
        return logits * np.float32("nan") if len(answered) == 20 else logits

    monkeypatch.setattr(pipeline, "OnnxRuntimeEngine", engine_that(spoil_one))

    with pytest.raises(GateError, match=r"ONNX fp32 against torch, batch 1: .* up to nan over"):
        export(run, options=PLAIN, output=tmp_path / "b" / "x")
    assert nothing_is_at(tmp_path / "b")


def multiply_logits(by: float) -> Callable[..., None]:
    """A quantization that multiplies the logits and does nothing else."""

    def quantize(source: Path, target: Path, *, scheme: Scheme) -> None:
        assert scheme is Scheme.DYNAMIC_INT8
        model = onnx.load(source)
        for node in model.graph.node:
            node.output[:] = ["right" if name == "logits" else name for name in node.output]
        factor = numpy_helper.from_array(np.asarray(by, dtype=np.float32), "factor")
        model.graph.initializer.append(factor)
        model.graph.node.append(helper.make_node("Mul", ["right", "factor"], ["logits"]))
        onnx.save(model, target)

    return quantize


def test_an_int8_model_that_loses_accuracy_leaves_no_bundle(
    accurate_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "quantize", multiply_logits(-1))
    before = accurate_run.info.validation["accuracy"]

    with pytest.raises(GateError) as caught:
        export(accurate_run, options=WITH_INT8, output=tmp_path / "b" / "x")
    message = caught.value.message
    assert message.startswith("int8 (dynamic-int8) against fp32: accuracy falls from")
    assert f"from {before:.2%} to {1 - before:.2%} on 24 held-out texts" in message
    assert f"a drop of {100 * (2 * before - 1):.2f} points" in message
    assert "at most 1.00 are allowed" in message
    assert "--max-drop" in caught.value.hint
    assert nothing_is_at(tmp_path / "b")


def test_the_allowed_drop_is_the_users(
    accurate_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "quantize", multiply_logits(-1))
    drop = 2 * accurate_run.info.validation["accuracy"] - 1
    below, above = (replace(WITH_INT8, max_drop=drop + step) for step in (-1e-3, 1e-3))

    with pytest.raises(GateError, match=r"at most .* are allowed"):
        export(accurate_run, options=below, output=tmp_path / "x")
    bundle = export(accurate_run, options=above, output=tmp_path / "y")
    assert bundle.manifest.parity["int8"]["accuracy_drop"] == pytest.approx(drop)
    assert bundle.manifest.parity["int8"]["label_agreement"] == 0
    assert [path.name for path in tmp_path.iterdir()] == ["y"]


@pytest.mark.parametrize("max_drop", [0.01, 1.0])
def test_an_int8_model_without_numbers_never_passes(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, max_drop: float
) -> None:
    monkeypatch.setattr(pipeline, "quantize", multiply_logits(float("nan")))
    options = replace(WITH_INT8, max_drop=max_drop)

    with pytest.raises(GateError, match="int8"):
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

    report = bundle.manifest.parity["int8"]
    assert report["scheme"] == "dynamic-int8"
    assert report["max_drop"] == 1.0
    assert report["accuracy_before"] == before
    assert report["accuracy_after"] == after
    assert report["accuracy_drop"] == pytest.approx(before - after)
    assert report["largest_shift"] == pytest.approx(largest_shift(fp32, int8), rel=1e-3)
    assert report["largest_shift"] > 1e-4


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

    report = bundle.manifest.parity["onnx"]
    assert report["texts"] == len(texts)
    assert report["max_difference"] == pytest.approx(max(shifts), abs=1e-6)


@pytest.mark.parametrize(
    ("limit", "gate"),
    [("MERGE_LIMIT", "Merged model against adapters"), ("ONNX_LIMIT", "ONNX fp32 against torch")],
)
def test_the_limits_are_the_modules(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, gate: str
) -> None:
    monkeypatch.setattr(pipeline, limit, -1.0)

    with pytest.raises(GateError, match=f"{gate}.*expected at most -1"):
        export(run, options=PLAIN, output=tmp_path / "b" / "x")
    assert nothing_is_at(tmp_path / "b")


@pytest.mark.parametrize("max_drop", [-0.01, 1.01, float("nan")])
def test_a_drop_that_is_no_share_is_refused(run: Run, tmp_path: Path, max_drop: float) -> None:
    with pytest.raises(UsageError, match=f"max_drop: expected a share from 0 to 1.*{max_drop}"):
        export(run, options=ExportOptions(max_drop=max_drop), output=tmp_path / "b" / "x")
    assert nothing_is_at(tmp_path / "b")


# The run behind the bundle


def test_a_run_with_a_changed_file_is_refused_and_named(run: Run, tmp_path: Path) -> None:
    copy = Run.open(Path(shutil.copytree(run.path, tmp_path / "run")))
    file = copy.path / "weights" / "head.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"\0")

    with pytest.raises(IntegrityError, match=r"head\.safetensors is not the file"):
        export(copy, options=PLAIN, output=tmp_path / "b" / "x")
    assert nothing_is_at(tmp_path / "b")


def test_a_backbone_whose_weights_changed_is_refused_with_both_hashes(
    own_run: Run, tmp_path: Path
) -> None:
    file = Path(own_run.info.recipe["model"]["id"]) / "model.safetensors"
    tensors = load_file(file)
    tensors["encoder.layer.1.output.dense.bias"][3] += 1e-3
    save_file(tensors, file, metadata={"format": "pt"})

    with pytest.raises(IntegrityError, match=r"not the backbone that .* was trained on") as got:
        export(own_run, options=PLAIN, output=tmp_path / "b" / "x")
    assert str(file.parent) in got.value.message
    assert f"sha256 {own_run.info.frozen_sha256['after']}, found" in got.value.message
    assert nothing_is_at(tmp_path / "b")


@pytest.mark.parametrize(
    "change", [{"hidden_act": "relu"}, {"num_attention_heads": 4}, {"layer_norm_eps": 0.5}], ids=str
)
def test_a_backbone_that_computes_something_else_is_refused(
    own_run: Run, tmp_path: Path, change: dict[str, object]
) -> None:
    file = Path(own_run.info.recipe["model"]["id"]) / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))

    with pytest.raises(EdgeAdaptError, match="backbone"):
        export(own_run, options=PLAIN, output=tmp_path / "b" / "x")
    assert nothing_is_at(tmp_path / "b")


def test_a_backbone_that_is_gone_is_named(own_run: Run, tmp_path: Path) -> None:
    checkpoint = Path(own_run.info.recipe["model"]["id"])
    shutil.rmtree(checkpoint)

    with pytest.raises(ModelError, match=f"no folder {checkpoint}"):
        export(own_run, options=PLAIN, output=tmp_path / "b" / "x")
    assert nothing_is_at(tmp_path / "b")


def test_an_export_leaves_the_run_as_it_was(run: Run, tmp_path: Path) -> None:
    copy = Run.open(Path(shutil.copytree(run.path, tmp_path / "run")))
    before = content(copy.path)

    export(copy, options=WITHOUT_LIMIT, output=tmp_path / "b")

    assert content(copy.path) == before


# The name of the bundle


def test_an_existing_bundle_is_not_replaced(run: Run, tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "mine.txt").write_text("keep")

    with pytest.raises(OutputExistsError, match="b exists already") as caught:
        export(run, options=PLAIN, output=tmp_path / "b")
    assert "--force" in caught.value.hint
    assert content(tmp_path) == {"b/mine.txt": b"keep"}


def test_an_existing_bundle_is_replaced_by_force(run: Run, tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "old.txt").write_text("old")

    bundle = export(run, options=PLAIN, output=tmp_path / "b", force=True)

    assert [path.name for path in tmp_path.iterdir()] == ["b"]
    assert "old.txt" not in content(bundle.path)
    bundle.verify()


def test_a_failed_gate_leaves_the_old_bundle_even_by_force(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "old.txt").write_text("old")
    monkeypatch.setattr(pipeline, "ONNX_LIMIT", -1.0)

    with pytest.raises(GateError):
        export(run, options=PLAIN, output=tmp_path / "b", force=True)
    assert content(tmp_path) == {"b/old.txt": b"old"}
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


def test_an_interrupted_export_leaves_nothing(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_arguments: object, **_options: object) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(pipeline, "model_card", interrupt)

    with pytest.raises(KeyboardInterrupt):
        export(run, options=PLAIN, output=tmp_path / "b" / "x")
    assert nothing_is_at(tmp_path / "b")


def test_without_a_name_a_bundle_is_called_like_its_run(
    run: Run, in_empty_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("EDGEADAPT_ARTIFACTS", raising=False)

    bundle = export(run, options=PLAIN)

    assert bundle.path.resolve() == in_empty_folder / "artifacts" / "bundles" / run.name


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
    return [len(ids) for ids in ENCODER.ids(texts)]


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
