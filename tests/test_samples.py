"""Artefacts of earlier format versions can still be read; a sample of each version is kept."""

import csv
import shutil
from pathlib import Path

import pytest

from edgeadapt.pipeline.inspect import inspect
from edgeadapt.recipe import Recipe
from edgeadapt.runtime.classifier import load
from edgeadapt.store.bundle import Bundle
from edgeadapt.store.record import Record
from edgeadapt.store.run import Run
from edgeadapt.training.checkpoints import Checkpoints

pytestmark = pytest.mark.versions

ASSETS = Path(__file__).parent / "assets"
SAMPLES = ASSETS / "samples"
BUNDLES = {1: ASSETS / "tiny_bundle", 2: SAMPLES / "bundle-2", 3: SAMPLES / "bundle-3"}


def versions(kind: str) -> list[int]:
    """Format versions of which there is a sample."""
    return sorted(int(path.stem.split("-")[1]) for path in SAMPLES.glob(f"{kind}-*"))


def test_there_is_a_sample_of_every_format_version() -> None:
    assert versions("run") == list(range(1, Run.FORMAT_VERSION + 1))
    assert versions("record") == list(range(1, Record.FORMAT_VERSION + 1))
    assert list(BUNDLES) == list(range(1, Bundle.FORMAT_VERSION + 1))


@pytest.mark.parametrize("version", [1, 2])
def test_a_run_of_every_version_is_opened_and_verified(version: int) -> None:
    run = Run.open(SAMPLES / f"run-{version}")
    run.verify()

    assert run.info.labels == ("negative", "positive")
    assert bool(run.sizes) == (version >= 2)
    assert Recipe.load(str(run.path)).adapter.method == "full"
    assert inspect(str(run.path))["test_accuracy"] == run.info.test.accuracy


@pytest.mark.parametrize("version", [1, 2, 3])
def test_a_bundle_of_every_version_is_verified_and_answers(version: int) -> None:
    bundle = Bundle.open(BUNDLES[version])
    bundle.verify()
    with bundle.file("evaluation.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))

    scored = bundle.manifest.provenance.test
    assert scored is not None
    assert bundle.manifest.labels == ("negative", "positive")
    assert bundle.manifest.structure is None
    for variant in ("fp32", "int8"):
        found = load(bundle.path, variant=variant, threads=1).predict([row["text"] for row in rows])
        right = sum(one.label == row["label"] for one, row in zip(found, rows, strict=True))
        assert right / len(rows) == scored.accuracy
    assert inspect(str(bundle.path))["method"] == "full"


@pytest.mark.parametrize("version", [1, 2, 3, 4])
def test_a_record_of_every_version_is_opened(version: int) -> None:
    record = Record.open(SAMPLES / f"record-{version}.json")

    assert [str(sample) for sample in record.samples] == ["small:fp32"]
    assert record.samples[0].load_ns == [300_000_000, 100_000_000, 200_000_000]
    assert record == Record.open(SAMPLES / f"record-{Record.FORMAT_VERSION}.json")


@pytest.mark.parametrize("version", [1, 2])
def test_what_an_unfinished_training_of_every_version_is_about_is_read(
    version: int, tmp_path: Path
) -> None:
    shutil.copy(SAMPLES / f"about-{version}.json", tmp_path / "about.json")

    begun = Checkpoints(tmp_path, every=0).begun()

    assert begun.command == "edgeadapt train"
    assert begun.recipe.adapter.method == "full"
    assert set(begun.sha256) == {"data"}


@pytest.mark.parametrize("version", [1, 2])
def test_what_pretraining_of_every_version_says_is_shown(
    version: int, checkpoint: Path, tmp_path: Path
) -> None:
    encoder = shutil.copytree(checkpoint, tmp_path / "encoder")
    shutil.copy(SAMPLES / f"pretraining-{version}.json", encoder / "pretraining.json")

    found = inspect(str(encoder))

    assert (found["pretrained_from"], found["texts"]) == ("checkpoint", 61)
