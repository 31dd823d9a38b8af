"""The export pipeline: content of a bundle, and state after a failure."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from safetensors.numpy import load_file

import edgeadapt.pipeline.export as pipeline
from edgeadapt import __version__
from edgeadapt.errors import (
    ExportError,
    GateError,
    OutputExistsError,
    UsageError,
)
from edgeadapt.metrics import probabilities
from edgeadapt.models.parity import MERGE_LIMIT, ONNX_LIMIT
from edgeadapt.pipeline.export import ExportOptions, Quantization, Trimming, export
from edgeadapt.recipe import ExportConfig, Objective, Recipe, Scheme, Task
from edgeadapt.runtime import load_engine
from edgeadapt.runtime.base import text_logits
from edgeadapt.store.bundle import TEXT_FILES, Bundle
from edgeadapt.store.gates import Leftover
from edgeadapt.store.run import Run
from tests.pipeline.exporting import (
    METHODS,
    PLAIN,
    WITHOUT_LIMIT,
    content,
    nothing_is_at,
    read_csv,
    texts_of,
    without_file,
)
from tests.store.handmade import compression_of, step_of

# What is asked for


@pytest.mark.parametrize(
    "table",
    [
        {},
        {"quantize": True, "scheme": "static-int8+dynamic-int8", "objective": "size"},
        {"quantize": True, "engine": "openvino", "target": "arm64", "threads": 2},
        {"trim_vocab": 90, "max_drop": 0.05},
        {"trim_vocab": "auto", "with_torch": True, "evaluation": False},
        {"exporter": "torch", "passes": "none"},
        {"passes": "positions+attention"},
    ],
)
def test_a_recipe_is_asked_for_and_told_back(table: dict[str, object]) -> None:
    asked = Recipe.from_dict({"export": table}, origin="test").export

    assert ExportOptions.of(asked).config() == asked


def test_every_scheme_of_an_engine_is_told_by_name() -> None:
    asked = ExportConfig(quantize=True, scheme="auto")

    assert ExportOptions.of(asked).config().schemes == asked.schemes == tuple(Scheme)


def test_a_recipe_that_asks_for_nothing_is_the_default() -> None:
    assert ExportOptions.of(ExportConfig()) == ExportOptions()


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
        "validation.csv",
        "validation_logits.npy",
        "calibration.csv",
        "README.md",
        "torch/config.json",
        "torch/model.safetensors",
    }
    assert set(bundle.manifest.files) == set(content(bundle.path)) - {"manifest.json"}


def test_a_plain_bundle_has_neither_int8_nor_a_torch_checkpoint(run: Run, tmp_path: Path) -> None:
    bundle = export(run, options=PLAIN, output=tmp_path / "b")

    assert set(bundle.manifest.variants) == {"fp32"}
    assert bundle.manifest.compression is None
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


def test_what_judges_compression_is_the_uncompressed_models_answers_to_validation_text(
    run: Run, bundle: Bundle, tmp_path: Path
) -> None:
    plain = export(run, options=PLAIN, output=tmp_path / "plain")
    trimmed = export(
        run, options=replace(PLAIN, trim=Trimming(60), max_drop=1.0), output=tmp_path / "trimmed"
    )

    expected = text_logits(
        load_engine(plain, "fp32"), plain.text_encoder(), texts_of(run.path / "validation.csv")
    )
    for each in (plain, bundle, trimmed):  # whatever was compressed
        assert read_csv(each.path / "validation.csv") == read_csv(run.path / "validation.csv")
        found = np.load(each.path / "validation_logits.npy")
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)
        calibration = read_csv(each.path / "calibration.csv")
        assert calibration == [{"text": text} for text in texts_of(run.path / "calibration.csv")]
    own = text_logits(
        load_engine(trimmed, "fp32"), trimmed.text_encoder(), texts_of(run.path / "validation.csv")
    )
    assert np.abs(own - expected).max() > 0.01  # the trimmed model's own would be others


def test_without_evaluation_no_text_of_the_data_is_in_the_bundle(run: Run, tmp_path: Path) -> None:
    options = replace(PLAIN, evaluation=False)

    bundle = export(run, options=options, output=tmp_path / "b")

    assert set(bundle.manifest.files).isdisjoint(TEXT_FILES)
    assert not [name for name in TEXT_FILES if (bundle.path / name).exists()]
    private = [
        text
        for name in ("predictions.csv", "validation.csv", "calibration.csv")
        for text in texts_of(run.path / name)
    ]
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

    assert origin.run == run.name
    assert origin.method == "parallel"
    assert origin.exporter == "torch"
    assert origin.frozen_sha256 == run.info.frozen_sha256.after
    assert origin.data_fingerprint == run.info.data.fingerprint
    assert origin.trainable_parameters == run.info.trainable_parameters
    assert origin.test == run.info.test


def test_config_json_names_the_labels_and_the_widened_model(bundle: Bundle) -> None:
    config = json.loads((bundle.path / "config.json").read_text())

    assert config["id2label"] == {"0": "negative", "1": "positive"}
    assert config["label2id"] == {"negative": 0, "positive": 1}
    assert config["intermediate_size"] == 24 + 4
    assert config["architectures"] == ["BertForSequenceClassification"]


@pytest.mark.transformers5
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
    assert probabilities(logits, Task.SINGLE_LABEL).max(axis=1) == pytest.approx(
        confidence, abs=1e-4
    )


# Adapters that cannot be folded


@pytest.mark.parametrize("method", ["sequential", "houlsby"])
def test_bottlenecks_that_cannot_be_folded_are_in_the_graph(
    runs: Mapping[str, Run], bundles: Mapping[str, Bundle], method: str
) -> None:
    adapter = load_file(runs[method].path / "weights" / "adapter.safetensors")
    graph = onnx.load(bundles[method].path / "onnx" / "model.onnx").graph
    found = [numpy_helper.to_array(tensor) for tensor in graph.initializer]

    # Biases are folded into their neighbours.
    for name, tensor in adapter.items():
        assert name.endswith("bias") or any(
            np.array_equal(tensor, other) or np.array_equal(tensor.T, other) for other in found
        ), name


@pytest.mark.parametrize("method", METHODS)
def test_the_manifest_says_what_could_not_be_folded(
    runs: Mapping[str, Run], bundles: Mapping[str, Bundle], method: str
) -> None:
    adapter = load_file(runs[method].path / "weights" / "adapter.safetensors")
    staying = {} if method == "parallel" else adapter
    weights = sum(tensor.size for tensor in staying.values() if tensor.ndim == 2)
    biases = sum(tensor.size for name, tensor in staying.items() if name.endswith("down.bias"))

    assert bundles[method].manifest.gates.merge.leftover == Leftover(
        parameters=weights + biases,  # those of the up-projections are in the dense layers
        macs_per_token=weights,
        bottlenecks=sum(name.endswith("down.bias") for name in staying),
    )


@pytest.mark.parametrize("method", METHODS)
def test_every_method_passes_the_same_gates(bundles: Mapping[str, Bundle], method: str) -> None:
    gates = bundles[method].manifest.gates

    assert gates.merge.parity.limit == MERGE_LIMIT == 1e-5
    assert gates.onnx.limit == ONNX_LIMIT == 1e-4
    for parity in (gates.merge.parity, gates.onnx):
        assert 0 <= parity.max_difference <= parity.limit
        assert parity.texts >= 64
    assert compression_of(bundles[method]).spent.texts == 24


@pytest.mark.parametrize("method", ["sequential", "houlsby"])
def test_a_torch_checkpoint_of_unfolded_adapters_is_refused(
    runs: Mapping[str, Run], tmp_path: Path, method: str
) -> None:
    options = replace(PLAIN, with_torch=True)

    with pytest.raises(ExportError, match="cannot be saved as a stock checkpoint") as caught:
        export(runs[method], options=options, output=tmp_path / "b" / "x")
    assert "--method parallel" in caught.value.hint
    assert nothing_is_at(tmp_path / "b")


@pytest.mark.parametrize("max_drop", [-0.01, 1.01, float("nan")])
def test_a_drop_that_is_no_share_is_refused(max_drop: float) -> None:
    with pytest.raises(UsageError, match=f"--max-drop: expected a share from 0 to 1.*{max_drop}"):
        ExportOptions(max_drop=max_drop)


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
    (tmp_path / "b" / "manifest.json").write_text("{}")

    bundle = export(run, options=PLAIN, output=tmp_path / "b", force=True)

    assert [path.name for path in tmp_path.iterdir()] == ["b"]
    assert "old.txt" not in content(bundle.path)
    bundle.verify()


def test_a_failed_gate_leaves_the_old_bundle_even_by_force(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "old.txt").write_text("old")
    (tmp_path / "b" / "manifest.json").write_text("{}")
    monkeypatch.setattr(pipeline, "MERGE_LIMIT", -1.0)

    with pytest.raises(GateError):
        export(run, options=PLAIN, output=tmp_path / "b", force=True)
    assert content(tmp_path) == {"b/old.txt": b"old", "b/manifest.json": b"{}"}
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


def test_the_manifest_holds_every_candidate_and_the_card_and_json_tell_of_them(
    bundle: Bundle,
) -> None:
    found, step = compression_of(bundle), step_of(bundle, "quantize")

    assert len(step.trials) >= 3
    assert step.chosen in [trial.name for trial in step.trials]
    assert (found.objective, found.max_drop) == ("latency", 1.0)
    assert found.platform == bundle.manifest.variants["int8"].platform != "auto"
    card = (bundle.path / "README.md").read_text(encoding="utf-8")
    for trial in step.trials:
        mark = " ←" if trial.name == step.chosen else ""
        assert f"| {trial.name}{mark} | " in card
    assert card.count(" ← | ") == 1


def test_four_bits_are_a_variant_of_their_own_name(run: Run, tmp_path: Path) -> None:
    asked = Quantization((Scheme.INT4_WEIGHTS,), Objective.SIZE)

    found = export(run, options=replace(PLAIN, quantize=asked, max_drop=1.0), output=tmp_path / "b")

    assert list(found.manifest.variants) == ["fp32", "int4"]
    assert found.default_variant() == "int4"
    assert found.manifest.variants["int4"].file == "onnx/model_q4.onnx"
    assert load_engine(found, "int4").describe().startswith("onnxruntime")


def test_fixed_scales_come_from_training_text_that_the_run_kept(run: Run, tmp_path: Path) -> None:
    asked = Quantization((Scheme.STATIC_INT8,))

    found = export(run, options=replace(PLAIN, quantize=asked, max_drop=1.0), output=tmp_path / "b")

    assert found.manifest.variants["int8"].scheme == "static-int8"
    assert len(texts_of(run.path / "calibration.csv")) > 0


def test_a_run_without_training_text_says_so_where_scales_are_to_be_fixed(
    run: Run, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    old = without_file(run, "calibration.csv", tmp_path_factory.mktemp("old") / "run")
    asked = Quantization((Scheme.STATIC_INT8,))

    with pytest.raises(UsageError, match=r"--scheme static-int8: .* holds no training text"):
        export(old, options=replace(PLAIN, quantize=asked), output=tmp_path / "b")
    assert nothing_is_at(tmp_path)
