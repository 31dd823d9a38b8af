"""A pickled classifier is loaded again from the path of its bundle."""

import copy
import json
import multiprocessing
import pickle
import shutil
from pathlib import Path

import pytest

import edgeadapt.errors
from edgeadapt.errors import EdgeAdaptError, IntegrityError, MissingError, UsageError
from edgeadapt.recipe import Task
from edgeadapt.runtime.classifier import Classifier, load
from edgeadapt.store.bundle import Bundle

ASSET = Path(__file__).parents[1] / "assets" / "tiny_bundle"
TEXTS = ["the film was good", "a bad meal", "the room was cold and dull"]


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return Path(shutil.copytree(ASSET, tmp_path / "bundle"))


@pytest.mark.parametrize("variant", ["fp32", "int8"])
def test_a_pickled_classifier_gives_the_same_answers(bundle: Path, variant: str) -> None:
    classifier = load(bundle, variant=variant, threads=1)

    again = pickle.loads(pickle.dumps(classifier))

    assert again.predict(TEXTS) == classifier.predict(TEXTS)


def test_a_pickle_holds_no_weights(bundle: Path) -> None:
    assert len(pickle.dumps(load(bundle))) < 1_000


def test_a_pickle_can_be_read_in_another_working_folder(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    pickled = pickle.dumps(load("bundle"))
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")

    assert len(pickle.loads(pickled).predict(TEXTS)) == 3


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
def test_a_copy_gives_the_same_answers(bundle: Path, copied: object) -> None:
    classifier = load(bundle)

    assert copied(classifier).predict(TEXTS) == classifier.predict(TEXTS)  # type: ignore[operator]


def test_a_classifier_can_be_sent_to_a_spawned_process(bundle: Path) -> None:
    classifier = load(bundle, threads=1)

    with multiprocessing.get_context("spawn").Pool(1) as pool:
        found = pool.apply(classifier.predict, (TEXTS,))
        with pytest.raises(UsageError, match="one str") as caught:
            pool.apply(classifier.predict, ("film",))

    assert found == classifier.predict(TEXTS)
    assert "predict([text])" in caught.value.hint


def test_a_bundle_that_is_another_one_by_then_is_refused(bundle: Path) -> None:
    pickled = pickle.dumps(load(bundle))
    manifest = json.loads((bundle / "manifest.json").read_text())
    (bundle / "manifest.json").write_text(json.dumps(manifest | {"created": "later"}))

    with pytest.raises(IntegrityError, match="not the bundle that this classifier was loaded from"):
        pickle.loads(pickled)


def test_a_bundle_that_is_gone_by_then_is_named(bundle: Path) -> None:
    pickled = pickle.dumps(load(bundle))
    shutil.rmtree(bundle)

    with pytest.raises(MissingError, match="no bundle at"):
        pickle.loads(pickled)


def test_a_classifier_made_by_hand_says_why_it_cannot_be_pickled(bundle: Path) -> None:
    loaded, opened = load(bundle), Bundle.open(bundle)
    classifier = Classifier(
        loaded.engine, loaded.encoder, opened.manifest.labels, task=Task.SINGLE_LABEL
    )

    with pytest.raises(UsageError, match=r"not created by edgeadapt\.load"):
        pickle.dumps(classifier)
    with pytest.raises(UsageError, match=r"not created by edgeadapt\.load"):
        copy.deepcopy(classifier)


@pytest.mark.parametrize("name", sorted(edgeadapt.errors.__all__))
def test_an_error_keeps_message_and_hint_when_it_is_pickled(name: str) -> None:
    kind = getattr(edgeadapt.errors, name)
    if name == "MissingExtraError":
        error = kind("edgeadapt train", extra="train", missing="torch")
    else:
        error = kind("what went wrong", hint="what to do")

    again = pickle.loads(pickle.dumps(error))

    assert isinstance(again, EdgeAdaptError)
    assert (type(again), again.message, again.hint) == (kind, error.message, error.hint)
    assert str(again) == str(error)
