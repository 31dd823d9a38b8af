"""The classifier for applications: predictions, and rejections on loading."""

import json
import math
import shutil
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import edgeadapt
from edgeadapt.errors import (
    DataError,
    FormatVersionError,
    IntegrityError,
    LayoutError,
    MissingError,
    ModelError,
    UnfinishedError,
    UsageError,
)
from edgeadapt.metrics import Logits
from edgeadapt.recipe import EngineName, Platform, Task
from edgeadapt.runtime import ENGINES, load_engine
from edgeadapt.runtime.base import text_logits
from edgeadapt.runtime.classifier import Classifier, load
from edgeadapt.store.bundle import Bundle
from edgeadapt.text import TextEncoder, TokenBatch
from tests.conftest import WORDS, make_tokenizer, review
from tests.lively import lively_bundle
from tests.store.manifests import change_json

pytestmark = pytest.mark.versions

LABELS = ("bad", "good", "mixed")
TEXTS = [review(number)[0] for number in range(0, 300, 29)] + ["film"]


class Fixed:
    """An engine that gives the same logits to every text and counts its runs."""

    def __init__(self, *logits: float) -> None:
        self.logits = logits
        self.runs: list[int] = []

    def run(self, batch: TokenBatch) -> Logits:
        self.runs.append(len(batch))
        return np.tile(np.asarray(self.logits, dtype=np.float32), (len(batch), 1))

    def describe(self) -> str:
        return "fixed 1.0"


class Unfinished:
    """An engine whose logits of the texts with a certain number of tokens hold a certain value."""

    def __init__(self, value: float, *, tokens: int) -> None:
        self.value, self.tokens = value, tokens

    def run(self, batch: TokenBatch) -> Logits:
        logits = np.zeros((len(batch), len(LABELS)), dtype=np.float32)
        logits[batch.attention_mask.sum(axis=1) == self.tokens, 1] = self.value
        return logits

    def describe(self) -> str:
        return "unfinished 1.0"


@pytest.mark.parametrize("task", Task)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("batch_size", [1, 3])
def test_a_logit_that_is_no_finite_number_is_no_answer(
    value: float, task: Task, batch_size: int
) -> None:
    encoder = TextEncoder(make_tokenizer(), max_length=20, pad_id=0)
    classifier = Classifier(Unfinished(value, tokens=4), encoder, LABELS, task=task)

    assert len(classifier.predict(["film", "meal"], batch_size=batch_size)) == 2
    with pytest.raises(ModelError, match=rf"unfinished 1\.0: .* found 0, {value:g}, 0 for text 2 "):
        classifier.predict(["film", "good film", "meal"], batch_size=batch_size)


def make_classifier(*logits: float, task: Task = Task.SINGLE_LABEL) -> Classifier:
    encoder = TextEncoder(make_tokenizer(), max_length=20, pad_id=0)
    return Classifier(Fixed(*logits), encoder, LABELS, task=task)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return lively_bundle(tmp_path_factory)


@pytest.fixture
def own_bundle(bundle: Bundle, tmp_path: Path) -> Bundle:
    return Bundle.open(Path(shutil.copytree(bundle.path, tmp_path / "copy")))


def change_manifest(bundle: Bundle, **values: object) -> None:
    """Replaces top-level values of the manifest on disk."""
    change_json(bundle.path / "manifest.json", **values)


def without_variant(bundle: Bundle, name: str) -> None:
    variants = json.loads((bundle.path / "manifest.json").read_text())["variants"]
    change_manifest(bundle, variants={k: v for k, v in variants.items() if k != name})


def test_probabilities_are_the_softmax_of_the_logits_with_the_right_names() -> None:
    (prediction,) = make_classifier(math.log(1), math.log(6), math.log(3)).predict(["film"])

    assert prediction.label == "good"
    assert prediction.score == pytest.approx(0.6)
    assert prediction.scores == pytest.approx({"good": 0.6, "mixed": 0.3, "bad": 0.1})
    assert list(prediction.scores) == ["good", "mixed", "bad"]


@settings(max_examples=50, deadline=None)
@given(logits=st.lists(st.floats(-1e4, 1e4, width=16), min_size=3, max_size=3))
def test_scores_sum_to_one_and_the_label_has_the_largest_of_them(logits: list[float]) -> None:
    (prediction,) = make_classifier(*logits).predict(["film"])
    scores = list(prediction.scores.values())

    assert sum(scores) == pytest.approx(1)
    assert scores == sorted(scores, reverse=True)
    assert set(prediction.scores) == set(LABELS)
    assert prediction.label == LABELS[int(np.argmax(logits))]
    assert prediction.score == scores[0] == prediction.scores[prediction.label]


@pytest.mark.parametrize("batch_size", [1, 4])
@pytest.mark.parametrize("variant", ["fp32", "int8", "torch"])
def test_predictions_come_in_the_order_of_the_texts(
    bundle: Bundle, variant: str, batch_size: int
) -> None:
    engine = load_engine(bundle, variant)
    logits = text_logits(engine, bundle.text_encoder(), TEXTS, batch_size=batch_size)

    found = load(bundle.path, variant=variant).predict(TEXTS, batch_size=batch_size)

    for prediction, row in zip(found, logits, strict=True):
        expected = 1 / (1 + math.exp(row[0] - row[1]))
        assert prediction.scores["positive"] == pytest.approx(expected, abs=1e-6)


def test_by_default_a_texts_answer_does_not_depend_on_its_neighbours(bundle: Bundle) -> None:
    classifier = load(bundle.path, variant="int8")
    alone = [classifier.predict([text])[0] for text in TEXTS]

    assert classifier.predict(TEXTS) == alone


def test_the_batch_size_says_how_many_texts_the_model_sees_at_once() -> None:
    classifier = make_classifier(0, 0, 0)
    classifier.predict(["film"] * 7, batch_size=3)

    assert classifier.engine.runs == [3, 3, 1]


@pytest.mark.parametrize("batch_size", [0, -1])
def test_a_batch_size_below_one_is_refused(batch_size: int) -> None:
    with pytest.raises(UsageError, match=f"batch_size.*at least 1.*{batch_size}"):
        make_classifier(0, 0, 0).predict(["film"], batch_size=batch_size)


def test_no_texts_give_no_predictions() -> None:
    assert make_classifier(0, 0, 0).predict([]) == []


def test_a_tuple_of_texts_is_as_good_as_a_list() -> None:
    classifier = make_classifier(1, 2, 3)

    assert classifier.predict(("film", "a meal")) == classifier.predict(["film", "a meal"])


@pytest.mark.parametrize("empty", ["", " ", "\n\t"])
def test_an_empty_text_is_named_by_its_number_and_nothing_is_run(empty: str) -> None:
    classifier = make_classifier(0, 0, 0)

    with pytest.raises(DataError, match="Text 3 is empty"):
        classifier.predict(["film", "a meal", empty, "soup"])
    assert classifier.engine.runs == []


def test_one_string_instead_of_a_list_is_refused() -> None:
    classifier = make_classifier(0, 0, 0)

    with pytest.raises(UsageError, match="expected a sequence of texts, found one str"):
        classifier.predict("a film")
    assert classifier.engine.runs == []


def test_a_text_longer_than_the_model_takes_is_cut(bundle: Bundle) -> None:
    classifier = load(bundle.path)
    words = WORDS[: bundle.manifest.max_length]

    longest = classifier.predict([" ".join(words * 9)])
    cut = classifier.predict([" ".join(words[:-2])])

    assert longest == cut


def test_the_public_load_is_this_load(bundle: Bundle) -> None:
    assert edgeadapt.load(str(bundle.path)).predict(TEXTS) == load(bundle.path).predict(TEXTS)


def test_int8_is_loaded_where_there_is_one(bundle: Bundle) -> None:
    default = load(bundle.path).predict(TEXTS)

    assert default == load(bundle.path, variant="int8").predict(TEXTS)
    assert default != load(bundle.path, variant="fp32").predict(TEXTS)


def test_fp32_is_loaded_where_there_is_no_int8(own_bundle: Bundle) -> None:
    expected = load(own_bundle.path, variant="fp32").predict(TEXTS)
    without_variant(own_bundle, "int8")

    assert load(own_bundle.path).predict(TEXTS) == expected


@pytest.mark.parametrize("threads", ["2", 1.5, 10**9])
def test_a_thread_count_that_is_no_number_of_threads_is_refused(
    bundle: Bundle, threads: object
) -> None:
    with pytest.raises(UsageError, match=r"--threads: expected at (least|most)"):
        load(bundle.path, threads=threads)  # type: ignore[arg-type]


@pytest.mark.parametrize("path", [None, b"bundle", 3])
def test_a_bundle_that_is_no_path_is_refused(path: object) -> None:
    with pytest.raises(UsageError, match="load: expected the path of a bundle"):
        load(path)  # type: ignore[arg-type]


def test_a_batch_size_of_numpy_is_as_good_as_an_int(bundle: Bundle) -> None:
    classifier = load(bundle.path)

    assert classifier.predict(TEXTS, batch_size=np.int64(2)) == classifier.predict(TEXTS)
    with pytest.raises(UsageError, match=r"batch_size: expected at least 1, found 2\.5"):
        classifier.predict(TEXTS, batch_size=2.5)  # type: ignore[arg-type]


@pytest.mark.parametrize("threads", [0, -2])
def test_a_thread_count_below_one_is_refused(bundle: Bundle, threads: int) -> None:
    with pytest.raises(UsageError, match=f"threads: expected at least 1, found {threads}"):
        load(bundle.path, threads=threads)


def test_one_thread_gives_the_same_labels(bundle: Bundle) -> None:
    one = load(bundle.path, threads=1).predict(TEXTS)

    assert [p.label for p in one] == [p.label for p in load(bundle.path).predict(TEXTS)]


def test_an_unknown_variant_is_refused_with_those_that_there_are(bundle: Bundle) -> None:
    with pytest.raises(UsageError, match="no variant 'int4': found fp32, int8, torch"):
        load(bundle.path, variant="int4")


@pytest.mark.parametrize("engine", ["tflite", ""])
def test_an_engine_that_this_version_does_not_know_is_refused_and_named(
    own_bundle: Bundle, engine: str
) -> None:
    variant = {"file": "onnx/model.onnx", "engine": engine, "scheme": None}
    change_manifest(own_bundle, variants={"fp32": variant})

    with pytest.raises(LayoutError, match=f"engine.*{engine!r}"):
        load(own_bundle.path)


def test_there_is_a_loader_for_every_engine_name() -> None:
    assert set(ENGINES) == set(EngineName)


@pytest.mark.parametrize("name", ["onnx/model_quantized.onnx", "tokenizer.json"])
def test_a_damaged_file_is_refused_and_named(own_bundle: Bundle, name: str) -> None:
    file = own_bundle.path / name
    file.write_bytes(file.read_bytes()[:-1])

    with pytest.raises(IntegrityError, match=rf"{name} is not the file.*expected.*found"):
        load(own_bundle.path)


def test_a_removed_model_is_named_as_missing(own_bundle: Bundle) -> None:
    (own_bundle.path / "onnx" / "model.onnx").unlink()

    with pytest.raises(IntegrityError, match=r"onnx/model\.onnx is missing"):
        load(own_bundle.path, variant="fp32")


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=r"no bundle at .*nowhere"):
        load(tmp_path / "nowhere")


def test_an_unfinished_bundle_is_refused(own_bundle: Bundle) -> None:
    (own_bundle.path / "manifest.json").unlink()

    with pytest.raises(UnfinishedError, match=r"no manifest\.json"):
        load(own_bundle.path)


def test_a_newer_bundle_is_refused(own_bundle: Bundle) -> None:
    known = Bundle.FORMAT_VERSION
    change_manifest(own_bundle, format_version=known + 1)

    with pytest.raises(FormatVersionError, match=rf"format version {known + 1}.*up to {known}"):
        load(own_bundle.path)


def test_predicting_loads_neither_torch_nor_onnx(bundle: Bundle) -> None:
    program = """
import sys
import edgeadapt
print(edgeadapt.load(sys.argv[1]).predict(["the film was great"])[0].label)
heavy = {"torch", "transformers", "datasets", "onnx", "optimum", "safetensors", "rich", "typer"}
print(sorted(heavy & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(bundle.path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )

    expected = load(bundle.path).predict(["the film was great"])[0].label
    assert done.stdout.splitlines() == [expected, "[]"], done.stderr


@settings(max_examples=50, deadline=None)
@given(logits=st.lists(st.floats(-1e4, 1e4, width=32), min_size=3, max_size=3))
def test_one_label_is_given_and_it_is_the_most_probable(logits: list[float]) -> None:
    (prediction,) = make_classifier(*logits).predict(["film"])

    assert prediction.labels == (prediction.label,)


@pytest.mark.parametrize(
    ("logits", "labels"),
    [
        ((1.0, 2.0, -1.0), ("good", "bad")),
        ((-3.0, -2.0, -1.0), ()),
        ((0.5, 0.25, 1.0), ("mixed", "bad", "good")),
        ((0.0, -1.0, 0.0), ()),
    ],
)
def test_multi_label_every_label_with_a_logit_above_zero_is_given(
    logits: tuple[float, ...], labels: tuple[str, ...]
) -> None:
    (prediction,) = make_classifier(*logits, task=Task.MULTI_LABEL).predict(["film"])

    assert prediction.labels == labels
    sigmoid = [1 / (1 + math.exp(-logit)) for logit in logits]
    assert prediction.scores == pytest.approx(dict(zip(LABELS, sigmoid, strict=True)))
    assert prediction.label == LABELS[int(np.argmax(logits))]
    assert prediction.score == pytest.approx(max(sigmoid))


def test_a_bundle_that_says_no_task_gives_one_label_to_single_texts() -> None:
    asset = Path(__file__).parents[1] / "assets" / "tiny_bundle"
    assert "task" not in json.loads((asset / "manifest.json").read_text())

    manifest = Bundle.open(asset).manifest
    (prediction,) = load(asset).predict(["the film was good"])

    assert (manifest.task, manifest.pairs) == (Task.SINGLE_LABEL, False)
    assert prediction.labels == (prediction.label,)


def test_an_unknown_task_is_refused(own_bundle: Bundle) -> None:
    change_manifest(own_bundle, task="ranking")

    with pytest.raises(LayoutError, match=r"not a bundle's: task: expected .*, found 'ranking'"):
        load(own_bundle.path)


@pytest.mark.parametrize(("here", "warns"), [(Platform.X86_AVX2, True), (Platform.ARM64, False)])
def test_a_model_for_another_kind_of_cpu_warns_where_it_may_answer_otherwise(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, here: Platform, warns: bool
) -> None:
    variants = {
        name: replace(each, platform=Platform.X86_VNNI if each.scheme else None)
        for name, each in bundle.manifest.variants.items()
    }
    changed = replace(bundle, manifest=replace(bundle.manifest, variants=variants))
    monkeypatch.setattr("edgeadapt.runtime.this_platform", lambda: here)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        load_engine(changed, "fp32")
        load_engine(changed, "int8")

    said = [str(each.message) for each in caught if "quantized for" in str(each.message)]
    assert len(said) == warns
    for message in said:
        assert "int8 was quantized for x86-vnni, and this CPU is x86-avx2" in message
        assert "--target portable" in message
