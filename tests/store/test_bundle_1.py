"""Conversion of manifests of version 1 to version 2."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgeadapt.errors import LayoutError
from edgeadapt.store.bundle import Bundle, Manifest
from edgeadapt.store.compression import Compression, StepReport
from edgeadapt.store.gates import Leftover

SAMPLE = Path(__file__).parents[1] / "assets" / "tiny_bundle"
DRIFT = {
    "texts": 24,
    "accuracy_before": 1.0,
    "accuracy_after": 0.75,
    "accuracy_drop": 0.25,
    "drop_interval": [0.125, 0.375],
    "label_agreement": 0.75,
    "largest_shift": 0.5,
}
CANDIDATE = {"scheme": "dynamic-int8", "fused": True, "block_size": 32, "keep": ["a", "b"]}
LADDER = {
    "objective": "size",
    "platform": "arm64",
    "max_drop": 0.05,
    "trials": [
        {"name": name, "candidate": CANDIDATE, "drift": DRIFT, "bytes": size, "allowed": True}
        for name, size in (("first", 9_000), ("second", 7_000))
    ],
    "chosen": "second",
    "fp32_ms": 2.5,
    "sensitivity": {"/layer/MatMul": 0.125},
}
TRIMMED = {**DRIFT, "max_drop": 0.05, "pieces_before": 30_522, "pieces": 8_000}
TRIMMED |= {"embeddings": 8_000, "others": "spelled", "tokens_before": 20.5, "tokens": 21}


@pytest.fixture
def opened(tmp_path: Path) -> Callable[..., Manifest]:
    """Opens the sample of version 1, its manifest changed."""

    def make(change: Callable[[dict[str, Any]], object] = lambda _: None) -> Manifest:
        path = Path(shutil.copytree(SAMPLE, tmp_path / "old"))
        value = json.loads((path / "manifest.json").read_text())
        change(value)
        (path / "manifest.json").write_text(json.dumps(value))
        return Bundle.open(path).manifest

    return make


def compressed(manifest: Manifest) -> Compression:
    assert manifest.compression is not None
    return manifest.compression


def only_step(manifest: Manifest) -> StepReport:
    (step,) = compressed(manifest).steps
    return step


def test_the_gates_and_the_origin_are_what_they_were(opened: Callable[..., Manifest]) -> None:
    found = opened()

    assert found.gates.merge.parity.limit == 1e-5
    assert found.gates.merge.leftover == Leftover(0, 0, None)
    assert found.gates.onnx.max_difference == 7.152557373046875e-07
    assert (found.provenance.method, found.provenance.backbone.id) == ("full", "checkpoint")
    assert found.provenance.test is not None
    assert (found.provenance.test.accuracy, found.provenance.test.calibration_error) == (1.0, None)
    assert found.provenance.recipe["training"]["learning_rate"] == 0.005


def test_a_bundle_that_told_of_one_scheme_has_that_one_trial(
    opened: Callable[..., Manifest],
) -> None:
    found = opened()

    step = only_step(found)
    assert (step.name, step.chosen, len(step.trials)) == ("quantize", "dynamic-int8", 1)
    assert step.taken.bytes == found.files["onnx/model_quantized.onnx"].bytes
    assert (compressed(found).max_drop, compressed(found).spent.texts) == (0.01, 24)
    assert compressed(found).spent.rms_shift is None


def test_what_was_tried_to_quantize_is_kept(opened: Callable[..., Manifest]) -> None:
    found = opened(lambda value: value.update(quantization=LADDER))

    step = only_step(found)
    assert [(trial.name, trial.bytes) for trial in step.trials] == [
        ("first", 9_000),
        ("second", 7_000),
    ]
    assert (step.taken.name, step.taken.settings["keep"]) == ("second", ("a", "b"))
    assert step.taken.drift.drop_interval == (0.125, 0.375)
    assert (step.baseline.latency_ms, step.baseline.noise) == (2.5, None)
    assert step.baseline.sensitivity == {"/layer/MatMul": 0.125}
    compression = compressed(found)
    assert (compression.objective, compression.platform) == ("size", "arm64")
    assert compression.engine == "onnxruntime"  # there was no other


def test_a_trimmed_vocabulary_comes_before_the_quantization(
    opened: Callable[..., Manifest],
) -> None:
    found = opened(lambda value: value["parity"].update(vocabulary=TRIMMED))

    vocabulary, quantize = compressed(found).steps
    assert (vocabulary.name, quantize.name) == ("vocabulary", "quantize")
    assert vocabulary.title == "8,000 embeddings of 30,522, other pieces spelled"
    assert vocabulary.taken.drift.accuracy_drop == 0.25
    assert vocabulary.taken.settings == {
        "pieces_before": 30_522,
        "pieces": 8_000,
        "embeddings": 8_000,
        "others": "spelled",
        "tokens_before": 20.5,
        "tokens": 21,
    }


def test_a_bundle_of_fp32_alone_has_no_compression(opened: Callable[..., Manifest]) -> None:
    def fp32_alone(value: dict[str, Any]) -> None:
        value["variants"].pop("int8")
        value["parity"]["int8"] = None

    assert opened(fp32_alone).compression is None


def test_a_run_that_was_imported_without_data_had_no_scores(
    opened: Callable[..., Manifest],
) -> None:
    assert opened(lambda value: value["provenance"].update(test={})).provenance.test is None


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("parity", {}, "parity: the key 'merge' is missing"),
        ("parity.merge.max_difference", "0", "parity.merge.max_difference: expected a number"),
        ("parity.merge.leftover", {}, "parity.merge.leftover: the key '"),
        ("parity.onnx", 3, "parity.onnx: expected an object, found 3"),
        ("parity.int8", {"label_agreement": "all"}, "parity.int8: the key '"),
        ("parity.int8.label_agreement", "all", "parity.int8.label_agreement: expected a number"),
        ("parity.vocabulary", {"max_drop": 0.1}, "parity.vocabulary: the key '"),
        ("parity.vocabulary", {**TRIMMED, "tokens": [1]}, "settings.tokens: expected"),
        ("quantization", 3, "quantization: expected an object, found 3"),
        ("quantization", {**LADDER, "trials": {}}, "quantization.trials: expected a list"),
        ("quantization", {**LADDER, "chosen": "third"}, "expected the name of one trial"),
        ("quantization", {**LADDER, "platform": "z80"}, "quantization.platform: expected one of"),
        ("provenance", [], "provenance: expected an object, found a list of 0"),
        ("provenance.test", 0.5, "provenance.test: expected an object, found 0.5"),
        ("provenance.test.accuracy", "high", "provenance.test.accuracy: expected a number"),
        ("provenance.backbone", "bert", "provenance.backbone: expected an object"),
    ],
)
def test_a_value_of_another_type_is_named(
    opened: Callable[..., Manifest], key: str, value: object, expected: str
) -> None:
    *tables, last = key.split(".")

    def change(within: dict[str, Any]) -> None:
        for table in tables:
            within = within[table]
        within[last] = value

    with pytest.raises(LayoutError, match=r"manifest\.json is not a bundle's: ") as caught:
        opened(change)
    assert expected in caught.value.message
