"""Pairs of texts end to end: training, gates, bundle, other loaders, predictions, benchmark."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from optimum.onnxruntime import ORTModelForSequenceClassification
from transformers import AutoModelForSequenceClassification, AutoTokenizer

import edgeadapt
from edgeadapt.backbones import BACKBONES
from edgeadapt.benchmark.evaluation import EvaluationFile
from edgeadapt.benchmark.rows import rows
from edgeadapt.data import write_csv
from edgeadapt.errors import DataError, ModelError, UsageError
from edgeadapt.models.inference import torch_logits
from edgeadapt.models.opened import OpenedRun
from edgeadapt.pipeline.bench import bench
from edgeadapt.pipeline.inspect import inspect
from edgeadapt.pipeline.train import train
from edgeadapt.recipe import Task
from edgeadapt.runtime import load_engine
from edgeadapt.runtime.base import text_logits
from edgeadapt.store.bundle import Bundle
from tests.benchmark.handmade import tiny_plan
from tests.conftest import TINY_CONFIGS, make_tokenizer
from tests.pipeline.exporting import read_csv
from tests.tasks import PAIRS, pair, task_bundle, task_recipe, task_run

LIMIT = 1e-5
TEXTS = [pair(number)[:2] for number in range(88, 112)]
LONG = [("good film " * 30, "bad"), ("bad", "good film " * 30), ("a " * 99, "the " * 99)]


@pytest.fixture(scope="module", params=TINY_CONFIGS)
def bundle(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return task_bundle(tmp_path_factory, PAIRS, model_type=request.param)


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return task_bundle(tmp_path_factory, PAIRS)


def model_type(bundle: Bundle) -> str:
    return str(json.loads((bundle.path / "config.json").read_text())["model_type"])


def test_torch_onnx_and_the_runtime_give_the_same_logits(
    bundle: Bundle, tmp_path_factory: pytest.TempPathFactory
) -> None:
    run = task_run(tmp_path_factory, PAIRS, model_type=model_type(bundle))
    adapted = torch_logits(
        OpenedRun(run).classifier().model, OpenedRun(run).encoder, TEXTS, batch_size=8
    )

    assert adapted.std(axis=0).min() > 100 * LIMIT, "the answers must depend on the texts"
    for variant in ("fp32", "torch"):
        found = text_logits(load_engine(bundle, variant), bundle.text_encoder(), TEXTS)
        np.testing.assert_allclose(found, adapted, rtol=0, atol=LIMIT)


def test_the_two_texts_are_told_apart(bundle: Bundle) -> None:
    engine, encoder = load_engine(bundle, "fp32"), bundle.text_encoder()
    swapped = [(second, first) for first, second in TEXTS]

    shifts = np.abs(text_logits(engine, encoder, TEXTS) - text_logits(engine, encoder, swapped))

    assert shifts.max(axis=1).min() > 10 * LIMIT


def test_segments_reach_the_models_that_were_trained_on_them(bundle: Bundle) -> None:
    batch = bundle.text_encoder().batch(TEXTS)
    flat = replace(batch, token_type_ids=np.zeros_like(batch.token_type_ids))
    assert batch.token_type_ids.any(axis=1).all()

    for variant in ("fp32", "int8", "torch"):
        engine = load_engine(bundle, variant)
        shift = float(np.abs(engine.run(batch) - engine.run(flat)).max())
        takes_segments = BACKBONES[model_type(bundle)].token_type_ids
        assert shift > 1e-3 if takes_segments else shift == 0


@pytest.mark.parametrize("texts", [*TEXTS[:3], *LONG])
def test_the_transformers_tokenizer_gives_our_ids_and_segments(
    bundle: Bundle, texts: tuple[str, str]
) -> None:
    (ours,) = bundle.text_encoder().encode([texts])

    theirs = AutoTokenizer.from_pretrained(bundle.path)(*texts, truncation=True)

    assert theirs["input_ids"] == ours.ids
    assert len(ours) <= bundle.manifest.max_length
    if BACKBONES[model_type(bundle)].token_type_ids:
        assert theirs["token_type_ids"] == ours.type_ids
        assert set(ours.type_ids) == {0, 1}


@pytest.mark.parametrize(
    ("variant", "file"), [("fp32", "model.onnx"), ("int8", "model_quantized.onnx")]
)
def test_optimum_gives_our_logits(bundle: Bundle, variant: str, file: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(bundle.path)
    model = ORTModelForSequenceClassification.from_pretrained(
        bundle.path, subfolder="onnx", file_name=file
    )

    found = [
        model(**tokenizer(*texts, truncation=True, return_tensors="np")).logits[0]
        for texts in TEXTS
    ]

    ours = text_logits(load_engine(bundle, variant), bundle.text_encoder(), TEXTS)
    np.testing.assert_allclose(found, ours, rtol=0, atol=LIMIT)


def test_plain_transformers_gives_our_logits(bundle: Bundle) -> None:
    tokenizer = AutoTokenizer.from_pretrained(bundle.path)
    model = AutoModelForSequenceClassification.from_pretrained(bundle.path / "torch").eval()

    with torch.inference_mode():
        found = [
            model(**tokenizer(*texts, truncation=True, return_tensors="pt")).logits[0].numpy()
            for texts in TEXTS
        ]

    ours = text_logits(load_engine(bundle, "fp32"), bundle.text_encoder(), TEXTS)
    np.testing.assert_allclose(found, ours, rtol=0, atol=LIMIT)


def test_runs_and_bundles_keep_both_texts(
    bert: Bundle, tmp_path_factory: pytest.TempPathFactory
) -> None:
    run = task_run(tmp_path_factory, PAIRS)

    for file in (run.path / "predictions.csv", bert.path / "evaluation.csv"):
        found = [(row["text"], row["text_pair"], row["label"]) for row in read_csv(file)]
        assert found == [pair(number) for number in range(88, 112)]
    kept = [(row["text"], row["text_pair"]) for row in read_csv(run.path / "validation.csv")]
    assert kept == [pair(number)[:2] for number in range(64, 88)]


def test_the_manifest_and_the_run_say_that_the_model_takes_pairs(
    bert: Bundle, tmp_path_factory: pytest.TempPathFactory
) -> None:
    run = task_run(tmp_path_factory, PAIRS)

    assert (bert.manifest.pairs, bert.manifest.task) == (True, Task.SINGLE_LABEL)
    assert (run.info.pairs, run.info.task) == (True, Task.SINGLE_LABEL)
    assert inspect(str(bert.path))["pairs"] is inspect(str(run.path))["pairs"] is True
    assert 'predict([("A text.", "Another one.")])' in (bert.path / "README.md").read_text()


def test_the_parity_gates_were_asked_pairs(bert: Bundle) -> None:
    assert bert.manifest.gates.merge.parity.texts == 64
    assert bert.manifest.gates.onnx.texts == 64


def test_pairs_are_predicted_as_in_the_runs_predictions(
    bert: Bundle, tmp_path_factory: pytest.TempPathFactory
) -> None:
    expected = read_csv(task_run(tmp_path_factory, PAIRS).path / "predictions.csv")

    found = edgeadapt.load(bert.path, variant="fp32").predict(TEXTS)

    assert [p.label for p in found] == [row["prediction"] for row in expected]
    assert [p.score for p in found] == pytest.approx(
        [float(row["confidence"]) for row in expected], abs=1e-4
    )


@pytest.mark.parametrize("text", ["one text", ("a", "b", "c"), ["a", "b"], ("a",)])
def test_a_bundle_of_pairs_refuses_anything_else(bert: Bundle, text: object) -> None:
    with pytest.raises(UsageError, match="Text 2: expected a pair of texts, found") as caught:
        edgeadapt.load(bert.path).predict([("a", "b"), text])  # type: ignore[list-item]

    assert "--text-pair" in caught.value.hint


@pytest.mark.parametrize(("first", "second"), [("", "good"), ("good", " "), ("good", "\udcff")])
def test_both_texts_of_a_pair_have_to_be_readable(bert: Bundle, first: str, second: str) -> None:
    with pytest.raises(DataError, match="Text 1 is"):
        edgeadapt.load(bert.path).predict([(first, second)])


def test_a_bundle_of_single_texts_refuses_a_pair(tiny_bundle: Bundle) -> None:
    with pytest.raises(UsageError, match="Text 1: expected a single text, found \\('a', 'b'\\)"):
        edgeadapt.load(tiny_bundle.path).predict([("a", "b")])


def test_pairs_are_measured(bert: Bundle, tmp_path: Path) -> None:
    plan = tiny_plan(lengths=(8, 9, 16), texts=24, timed=4)

    record, _ = bench([bert], plan=plan, threads=1, output=tmp_path / "record.json")

    measured = {row.variant: row for row in rows(record)}
    expected = text_logits(load_engine(bert, "fp32"), bert.text_encoder(), TEXTS)
    fp32 = next(sample for sample in record.samples if sample.variant == "fp32")
    np.testing.assert_allclose(fp32.logits, expected, rtol=0, atol=LIMIT)
    assert set(measured) == {"fp32", "int8", "torch"}
    for row in measured.values():
        assert set(row.latency_ms) == {"8", "9", "16", "text", "text-model"}
    assert measured["fp32"].accuracy == pytest.approx(bert.manifest.provenance.test.accuracy)
    assert measured["torch"].agreement == 1.0


def test_other_pairs_are_measured_from_a_file(bert: Bundle, tmp_path: Path) -> None:
    write_csv(tmp_path / "data.csv", {"a": ["good"], "b": ["bad"], "label": ["differ"]})
    plan = tiny_plan()

    record, _ = bench(
        [bert],
        plan=plan,
        data=EvaluationFile(tmp_path / "data.csv", "a", "b"),
        output=tmp_path / "record.json",
    )

    expected = text_logits(load_engine(bert, "int8"), bert.text_encoder(), [("good", "bad")])
    int8 = next(sample for sample in record.samples if sample.variant == "int8")
    np.testing.assert_allclose(int8.logits, expected, rtol=0, atol=LIMIT)


def test_a_file_without_second_texts_is_not_measured(bert: Bundle, tmp_path: Path) -> None:
    write_csv(tmp_path / "data.csv", {"text": ["good"], "label": ["differ"]})

    data = EvaluationFile(tmp_path / "data.csv")

    with pytest.raises(DataError, match="no column 'text_pair'") as caught:
        bench([bert], plan=tiny_plan(), data=data, output=tmp_path / "record.json")

    assert "--text-pair-column" in caught.value.hint


def test_bundles_of_pairs_and_of_single_texts_are_not_compared(
    bert: Bundle, tmp_path: Path
) -> None:
    copy = shutil.copytree(bert.path, tmp_path / "single")
    single = Bundle.write(copy, replace(bert.manifest, pairs=False))

    with pytest.raises(UsageError, match=r"bundle: single-label, pairs; single: .* single texts"):
        bench([bert, single], plan=tiny_plan(), output=tmp_path / "record.json")


def test_a_tokenizer_without_a_template_for_pairs_is_refused_before_training(
    tmp_path: Path,
) -> None:
    recipe = task_recipe(tmp_path, PAIRS)
    file = Path(recipe.model.id) / "tokenizer.json"
    tokenizer = json.loads(file.read_text())
    single_only = make_tokenizer()
    single_only.post_processor = None
    tokenizer["post_processor"] = json.loads(single_only.to_str())["post_processor"]
    file.write_text(json.dumps(tokenizer))

    with pytest.raises(ModelError, match="no template for pairs"):
        train(recipe, output=tmp_path / "run")

    assert not (tmp_path / "run").exists()
