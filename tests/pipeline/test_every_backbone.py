"""The whole pipeline, from a checkpoint to a prediction, on every backbone."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

import edgeadapt
from edgeadapt.models.opened import OpenedRun
from edgeadapt.pipeline.export import ExportOptions, Quantization, export
from edgeadapt.pipeline.train import train
from edgeadapt.recipe import Exporter
from edgeadapt.runtime import load_engine
from edgeadapt.runtime.base import text_logits
from edgeadapt.store.bundle import Bundle
from edgeadapt.store.run import Run
from tests.conftest import TINY_CONFIGS, review
from tests.lively import lively_recipe
from tests.steady import steady_latencies

METHODS = ("parallel+lora", "houlsby+ia3")
"""One that folds wholly and one that does not."""
TEXTS = [review(number)[0] for number in range(100, 112)]
CASES = [(model_type, method) for model_type in TINY_CONFIGS for method in METHODS]

Trained = Mapping[tuple[str, str], tuple[Run, Bundle]]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Backbone and method -> a run of a few steps, and the bundle that was made of it."""
    found = {}
    for model_type, method in CASES:
        folder = tmp_path_factory.mktemp("backbones") / f"{model_type}-{method}"
        recipe = lively_recipe(folder, method=method, model_type=model_type, epochs=1)
        run = train(recipe, output=folder / "run")
        options = ExportOptions(quantize=Quantization(), max_drop=1.0, exporter=Exporter.TORCH)
        with steady_latencies():
            bundle = export(run, options=options, output=folder / "bundle")
        found[model_type, method] = run, bundle
    return found


@pytest.mark.parametrize(("model_type", "method"), CASES)
def test_training_leaves_the_backbone_as_it_was(
    trained: Trained, model_type: str, method: str
) -> None:
    run, _ = trained[model_type, method]

    assert run.info.frozen_sha256.before == run.info.frozen_sha256.after
    assert run.info.backbone.model_type == model_type
    assert 0 < run.info.trainable_parameters < run.info.total_parameters


@pytest.mark.parametrize(("model_type", "method"), CASES)
def test_the_bundle_passed_both_parity_gates(
    trained: Trained, model_type: str, method: str
) -> None:
    gates = trained[model_type, method][1].manifest.gates

    assert gates.merge.parity.max_difference <= 1e-5
    assert gates.onnx.max_difference <= 1e-4
    assert (gates.merge.leftover.bottlenecks == 0) == (method == METHODS[0])


@pytest.mark.parametrize(("model_type", "method"), CASES)
def test_the_bundle_answers_as_the_run_does_and_int8_nearly_so(
    trained: Trained, model_type: str, method: str
) -> None:
    run, bundle = trained[model_type, method]
    from edgeadapt.models.inference import torch_logits

    encoder = OpenedRun(run).encoder
    expected = torch_logits(OpenedRun(run).classifier().model, encoder, TEXTS, batch_size=4)

    fp32, int8 = (
        text_logits(load_engine(bundle, variant), encoder, TEXTS) for variant in ("fp32", "int8")
    )

    np.testing.assert_allclose(fp32, expected, atol=1e-4)
    assert not np.array_equal(int8, fp32)
    assert np.abs(int8 - fp32).max() < 0.5 * np.abs(fp32).max()


@pytest.mark.parametrize(("model_type", "method"), CASES)
def test_the_bundle_predicts(trained: Trained, model_type: str, method: str) -> None:
    _, bundle = trained[model_type, method]
    bundle.verify()

    predictions = edgeadapt.load(bundle.path).predict(TEXTS)

    assert {prediction.label for prediction in predictions} <= {"negative", "positive"}
    assert all(abs(sum(p.scores.values()) - 1) < 1e-6 for p in predictions)


def test_shared_layers_are_told_apart_and_the_manifest_says_what_that_cost(
    trained: Trained,
) -> None:
    _, albert = trained["albert", METHODS[0]]
    _, bert = trained["bert", METHODS[0]]
    config = json.loads((albert.path / "config.json").read_text())

    assert config["num_hidden_groups"] == config["num_hidden_layers"] == 2
    assert albert.manifest.gates.merge.unshared_bytes > 0
    assert bert.manifest.gates.merge.unshared_bytes == 0


def test_the_first_layers_of_a_backbone_can_be_kept_alone(tmp_path: Path) -> None:
    recipe = lively_recipe(tmp_path, epochs=1).updated({"model": {"layers": 1}}, origin="test")

    bundle = export(
        train(recipe, output=tmp_path / "run"),
        options=ExportOptions(exporter=Exporter.TORCH),
        output=tmp_path / "bundle",
    )

    assert json.loads((bundle.path / "config.json").read_text())["num_hidden_layers"] == 1
    assert len(edgeadapt.load(bundle.path).predict(TEXTS)) == len(TEXTS)
