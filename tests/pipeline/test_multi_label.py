"""Multi-label tasks end to end: training, gates, bundle, predictions, benchmark."""

import json
from pathlib import Path

import numpy as np
import pytest
from optimum.onnxruntime import ORTModelForSequenceClassification
from sklearn.metrics import accuracy_score, f1_score
from transformers import AutoTokenizer, TextClassificationPipeline

import edgeadapt
from edgeadapt.benchmark.rows import rows
from edgeadapt.models.inference import torch_logits
from edgeadapt.models.opened import OpenedRun
from edgeadapt.pipeline.bench import bench
from edgeadapt.pipeline.inspect import inspect
from edgeadapt.recipe import Task
from edgeadapt.runtime import load_engine
from edgeadapt.runtime.base import text_logits
from edgeadapt.store.bundle import Bundle
from edgeadapt.store.record import Record
from edgeadapt.store.run import Run
from tests.benchmark.handmade import tiny_plan
from tests.lively import lively_bundle
from tests.pipeline.exporting import read_csv
from tests.store.handmade import compression_of
from tests.tasks import MULTI_LABEL, TOPICS, task_bundle, task_run, topical, topics_of

LIMIT = 1e-5
TEXTS = [topical(number) for number in range(128, 160)]
KNOWN = np.asarray([[int(topic in topics_of(text)) for topic in TOPICS] for text in TEXTS])
PLAN = tiny_plan(texts=32, timed=4)
ACCURACY = tiny_plan(texts=32, lengths=(), timed=0, starts=0, batches=(), bulks=0)
"""No figure but accuracy and agreement."""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return task_run(tmp_path_factory, MULTI_LABEL, method="full")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return task_bundle(tmp_path_factory, MULTI_LABEL, method="full")


@pytest.fixture(scope="module")
def logits(bundle: Bundle) -> np.ndarray:
    found = text_logits(load_engine(bundle, "fp32"), bundle.text_encoder(), TEXTS)
    assert {0, 1} < set((found > 0).sum(axis=1).tolist()), "none, one and more labels are given"
    return found


def test_the_data_has_texts_with_no_label_one_label_and_more() -> None:
    assert set(KNOWN.sum(axis=1).tolist()) == {0, 1, 2}


def test_torch_onnx_and_the_runtime_give_the_same_logits(
    run: Run, bundle: Bundle, logits: np.ndarray
) -> None:
    adapted = torch_logits(
        OpenedRun(run).classifier().model, OpenedRun(run).encoder, TEXTS, batch_size=8
    )
    eager = text_logits(load_engine(bundle, "torch"), bundle.text_encoder(), TEXTS)

    assert logits.std(axis=0).min() > 100 * LIMIT
    np.testing.assert_allclose(adapted, logits, rtol=0, atol=LIMIT)
    np.testing.assert_allclose(eager, logits, rtol=0, atol=LIMIT)


def test_label_sets_are_learned(run: Run) -> None:
    assert run.info.test.accuracy > 0.8


def test_a_runs_scores_are_scikit_learns(run: Run, logits: np.ndarray) -> None:
    given = logits > 0

    assert run.info.test.accuracy == pytest.approx(accuracy_score(KNOWN, given))
    assert run.info.test.macro_f1 == pytest.approx(
        f1_score(KNOWN, given, average="macro", zero_division=np.nan)
    )


def test_label_sets_are_kept_joined(run: Run, bundle: Bundle, logits: np.ndarray) -> None:
    expected = ["|".join(topics_of(text)) for text in TEXTS]
    given = [
        "|".join(topic for topic, is_given in zip(TOPICS, row, strict=True) if is_given)
        for row in logits > 0
    ]

    predictions = read_csv(run.path / "predictions.csv")

    assert [row["label"] for row in predictions] == expected
    assert [row["prediction"] for row in predictions] == given
    assert [row["label"] for row in read_csv(bundle.path / "evaluation.csv")] == expected
    np.testing.assert_array_equal(OpenedRun(run).test.labels, KNOWN)


def test_confidence_is_that_of_the_least_certain_label(run: Run, logits: np.ndarray) -> None:
    likely = 1 / (1 + np.exp(-logits.astype(np.float64)))

    found = [float(row["confidence"]) for row in read_csv(run.path / "predictions.csv")]

    assert found == pytest.approx(np.maximum(likely, 1 - likely).min(axis=1), abs=1e-4)


def test_predictions_are_all_labels_more_probable_than_not(
    bundle: Bundle, logits: np.ndarray
) -> None:
    likely = 1 / (1 + np.exp(-logits.astype(np.float64)))

    found = edgeadapt.load(bundle.path, variant="fp32").predict(TEXTS)

    for prediction, row in zip(found, likely, strict=True):
        assert prediction.scores == pytest.approx(dict(zip(TOPICS, row, strict=True)), abs=1e-5)
        assert set(prediction.labels) == {
            topic for topic, chance in zip(TOPICS, row, strict=True) if chance > 0.5
        }
        assert list(prediction.labels) == list(prediction.scores)[: len(prediction.labels)]
        assert prediction.score == max(prediction.scores.values())


def test_other_loaders_apply_the_sigmoid(bundle: Bundle, logits: np.ndarray) -> None:
    model = ORTModelForSequenceClassification.from_pretrained(
        bundle.path, subfolder="onnx", file_name="model.onnx"
    )
    tokenizer = AutoTokenizer.from_pretrained(bundle.path)
    classify = TextClassificationPipeline(
        model=model, tokenizer=tokenizer, framework="pt", top_k=None
    )

    found = [{item["label"]: item["score"] for item in answer} for answer in classify(TEXTS[:8])]

    assert model.config.problem_type == "multi_label_classification"
    likely = 1 / (1 + np.exp(-logits[:8].astype(np.float64)))
    for answer, row in zip(found, likely, strict=True):
        assert answer == pytest.approx(dict(zip(TOPICS, row, strict=True)), abs=1e-5)


def test_a_single_label_bundle_says_so_to_other_loaders(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    bundle = lively_bundle(tmp_path_factory)

    config = json.loads((bundle.path / "config.json").read_text())

    assert config["problem_type"] == "single_label_classification"
    assert bundle.manifest.task is Task.SINGLE_LABEL


def test_run_bundle_and_card_say_the_task(run: Run, bundle: Bundle) -> None:
    assert run.info.task is bundle.manifest.task is Task.MULTI_LABEL
    assert inspect(str(run.path))["task"] == inspect(str(bundle.path))["task"] == "multi-label"
    card = (bundle.path / "README.md").read_text()
    assert "A multi-label classifier of texts with 3 labels (film, meal, room)" in card
    assert "accuracy (all labels of a text right)" in card


def test_the_int8_report_counts_whole_label_sets(run: Run, bundle: Bundle) -> None:
    held_out = OpenedRun(run).validation
    answers = {
        variant: text_logits(load_engine(bundle, variant), bundle.text_encoder(), held_out.texts)
        for variant in ("fp32", "int8")
    }

    report = compression_of(bundle).spent

    before, after = answers["fp32"] > 0, answers["int8"] > 0
    assert report.accuracy_before == pytest.approx(accuracy_score(held_out.labels, before))
    assert report.accuracy_after == pytest.approx(accuracy_score(held_out.labels, after))
    assert report.label_agreement == pytest.approx((before == after).all(axis=1).mean())


def test_label_sets_are_measured(bundle: Bundle, logits: np.ndarray, tmp_path: Path) -> None:
    record, path = bench([bundle], plan=PLAN, threads=1, output=tmp_path / "record.json")

    assert Record.open(path).evaluation.task == "multi-label"
    np.testing.assert_array_equal(record.evaluation.labels, KNOWN)
    for found in (record, Record.open(path)):
        table = {row.variant: row for row in rows(found)}
        assert table["fp32"].accuracy == pytest.approx(accuracy_score(KNOWN, logits > 0))
        assert table["torch"].agreement == 1.0


@pytest.mark.parametrize("method", ["parallel+bitfit", "houlsby"])
def test_pairs_and_label_sets_combine_with_every_kind_of_method(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, method: str
) -> None:
    bundle = task_bundle(tmp_path_factory, "pairs+multi-label", method=method)
    pairs = [(text, topical(number + 500)) for number, text in enumerate(TEXTS, 128)]

    found = edgeadapt.load(bundle.path, variant="fp32").predict(pairs)
    record, _ = bench([bundle], plan=ACCURACY, threads=1, output=tmp_path / "record.json")

    assert (bundle.manifest.task, bundle.manifest.pairs) == (Task.MULTI_LABEL, True)
    right = [set(p.labels) == set(topics_of(text)) for p, text in zip(found, TEXTS, strict=True)]
    table = {row.variant: row for row in rows(record)}
    assert table["fp32"].accuracy == pytest.approx(np.mean(right))
