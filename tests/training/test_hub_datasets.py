"""Training from hub ids: a stand-in hub serves a tiny checkpoint and small data sets."""

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import pytest

from edgeadapt.store.run import Run
from tests.children import run_child, run_edgeadapt
from tests.conftest import review
from tests.stand_in_hub import StandInHub, files_under, hub_environment, silent_server

pytestmark = pytest.mark.transformers5

LOAD = """
import json, sys
from edgeadapt.recipe import DataConfig
from edgeadapt.errors import EdgeAdaptError
from edgeadapt.training.datasets import load_dataset

try:
    found = load_dataset(DataConfig(**json.loads(sys.argv[1])))
    splits = {"train": found.train, "validation": found.validation, "test": found.test}
    answer = {
        "names": found.label_names,
        "texts": {name: split.texts for name, split in splits.items()},
        "labels": {name: split.known_labels().tolist() for name, split in splits.items()},
    }
except EdgeAdaptError as error:
    answer = {"error": type(error).__name__, "message": error.message, "hint": error.hint}
print(json.dumps(answer))
"""
CARD = b"""---
configs:
- config_name: default
  data_files:
  - split: train
    path: reviews/a.csv
  - split: validation
    path: reviews/b.csv
  - split: test
    path: reviews/c.csv
---
# Reviews
"""


def rows(start: int, count: int) -> list[tuple[str, str]]:
    return [review(number) for number in range(start, start + count)]


def csv_of(pairs: list[tuple[str, str]]) -> bytes:
    return "".join(["text,label\n", *(f"{text},{label}\n" for text, label in pairs)]).encode()


def review_files() -> dict[str, bytes]:
    """A repository whose card, not whose file names, says what is train, validation and test."""
    return {
        "README.md": CARD,
        "reviews/a.csv": csv_of(rows(0, 64)),
        "reviews/b.csv": csv_of(rows(64, 24)),
        "reviews/c.csv": csv_of(rows(88, 24)),
    }


@pytest.fixture
def hub() -> Iterator[StandInHub]:
    with StandInHub().serving() as serving:
        yield serving


def load(hub: StandInHub, home: Path, **config: object) -> dict[str, Any]:
    asked = json.dumps({"dataset": "org/reviews", **config})
    return run_child(LOAD, asked, environment=hub_environment(hub.endpoint, home))


def test_the_card_says_which_file_is_which_split(hub: StandInHub, tmp_path: Path) -> None:
    hub.add("datasets/org/reviews", review_files())

    found = load(hub, tmp_path)

    assert found["names"] == ["negative", "positive"]
    assert found["texts"]["train"] == [text for text, _ in rows(0, 64)]
    assert found["texts"]["validation"] == [text for text, _ in rows(64, 24)]
    assert found["texts"]["test"] == [text for text, _ in rows(88, 24)]
    assert found["labels"]["test"] == [number % 2 for number in range(88, 112)]


def test_names_of_classes_come_from_parquet(hub: StandInHub, tmp_path: Path) -> None:
    names = ["bad", "good"]
    features = datasets.Features(
        {"sentence": datasets.Value("string"), "mood": datasets.ClassLabel(names=names)}
    )
    files = {}
    for split, start in (("train", 0), ("test", 40)):
        texts, labels = zip(*rows(start, 40), strict=True)
        columns = {"sentence": texts, "mood": [int(label == "positive") for label in labels]}
        path = tmp_path / f"{split}.parquet"
        datasets.Dataset.from_dict(columns, features=features).to_parquet(str(path))
        files[f"data/{split}-00000-of-00001.parquet"] = path.read_bytes()
    hub.add("datasets/org/reviews", files)

    found = load(hub, tmp_path / "home", text_column="sentence", label_column="mood")

    assert found["names"] == names
    assert found["texts"]["test"] == [text for text, _ in rows(40, 40)]
    assert found["labels"]["test"] == [number % 2 for number in range(40, 80)]
    assert len(found["texts"]["train"]) + len(found["texts"]["validation"]) == 40


def test_a_configuration_and_a_revision_are_passed_on(hub: StandInHub, tmp_path: Path) -> None:
    card = CARD.replace(b"default", b"films") + b"\n"
    hub.add("datasets/org/reviews", {"README.md": b"# Empty"})
    hub.add("datasets/org/reviews", {**review_files(), "README.md": card}, revision="v1")

    found = load(hub, tmp_path, name="films", revision="v1")

    assert found["texts"]["test"] == [text for text, _ in rows(88, 24)]


def test_a_data_set_made_by_a_script_is_refused_and_its_code_not_fetched(
    hub: StandInHub, tmp_path: Path
) -> None:
    proof = tmp_path / "ran"
    script = f"import pathlib\npathlib.Path({str(proof)!r}).touch()\n".encode()
    hub.add("datasets/org/reviews", {"README.md": b"# Reviews", "reviews.py": script})

    failed = load(hub, tmp_path / "home")

    assert failed["error"] == "DataError"
    assert "org/reviews" in failed["message"]
    assert "script" in failed["hint"]
    assert hub.downloaded() == {"README.md"}
    assert not proof.exists()


def test_a_missing_column_names_the_ones_there_are(hub: StandInHub, tmp_path: Path) -> None:
    hub.add("datasets/org/reviews", review_files())

    failed = load(hub, tmp_path, text_column="body")

    assert failed["error"] == "DataError"
    assert "org/reviews" in failed["message"]
    assert "no column 'body': found text, label" in failed["message"]
    assert "--text-column" in failed["hint"]


@dataclass(frozen=True)
class Trained:
    """Two runs from the same hub ids: the second after the hub had gone."""

    folder: Path
    commit: str
    """Of the model."""
    first: subprocess.CompletedProcess[str]
    second: subprocess.CompletedProcess[str]

    def run(self, name: str) -> Run:
        return Run.open(self.folder / name)


def train(
    folder: Path, environment: dict[str, str], *more: str
) -> subprocess.CompletedProcess[str]:
    return run_edgeadapt(
        "train",
        *("--max-length", "32", "--dimension", "4", "--epochs", "1", "--batch-size", "16"),
        *("--device", "cpu", "--threads", "1"),
        *more,
        cwd=folder,
        env=environment,
    )


@pytest.fixture(scope="module")
def trained(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp("hub")
    ids = ("--model", "org/tiny", "--revision", "v1", "--dataset", "org/reviews")
    with StandInHub().serving() as hub:
        commit = hub.add("org/tiny", files_under(checkpoint), revision="v1")
        hub.add("datasets/org/reviews", review_files())
        environment = hub_environment(hub.endpoint, folder / "home")
        first = train(folder, environment, *ids, "--output", str(folder / "first"))
    second = train(folder, environment, *ids, "--output", str(folder / "second"))
    return Trained(folder, commit, first, second)


@pytest.mark.slow
def test_a_model_and_a_data_set_are_trained_from_their_ids(trained: Trained) -> None:
    assert trained.first.returncode == 0, trained.first.stderr

    info = trained.run("first").info
    assert info.backbone.id == "org/tiny"
    assert info.backbone.commit == trained.commit
    assert info.recipe.model.revision == trained.commit
    assert info.recipe.data.dataset == "org/reviews"
    assert info.data.examples == {"train": 64, "validation": 24, "test": 24}


@pytest.mark.slow
def test_a_second_run_needs_no_hub(trained: Trained) -> None:
    assert trained.second.returncode == 0, trained.second.stderr

    first, second = trained.run("first").info, trained.run("second").info
    assert second.backbone == first.backbone
    assert second.data == first.data
    assert second.files["weights/head.safetensors"] == first.files["weights/head.safetensors"]


@pytest.mark.slow
@pytest.mark.parametrize("missing", ["--model", "--dataset"])
def test_an_unknown_id_ends_the_command_and_leaves_nothing(
    hub: StandInHub, checkpoint: Path, dataset_folder: Path, tmp_path: Path, missing: str
) -> None:
    given = {"--model": str(checkpoint), "--dataset": str(dataset_folder), missing: "org/unknown"}
    arguments = [word for pair in given.items() for word in pair]
    folder = tmp_path / "work"
    folder.mkdir()

    done = train(folder, hub_environment(hub.endpoint, tmp_path / "home"), *arguments)

    assert done.returncode == 1
    assert "error: The hub did not return the" in done.stderr
    assert "'org/unknown' (HTTP status 404)" in done.stderr
    assert "\nhint: " in done.stderr
    assert "Traceback" not in done.stderr
    assert list(folder.rglob("*")) == []


@pytest.mark.slow
def test_without_an_answer_from_the_hub_the_command_says_what_works_offline(
    dataset_folder: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "work"
    folder.mkdir()

    with silent_server() as endpoint:
        environment = hub_environment(endpoint, tmp_path / "home")
        done = train(folder, environment, "--model", "org/tiny", "--dataset", str(dataset_folder))

    assert done.returncode == 1
    error, hint = done.stderr.splitlines()[-2:]
    assert error.startswith("error: The model 'org/tiny' is not in the local cache")
    assert hint.startswith("hint: Offline")
    assert "--model a folder" in hint
    assert "--recipe demo" in hint
    assert "Traceback" not in done.stderr
    assert list(folder.rglob("*")) == []


@pytest.mark.parametrize("multi_label", [True, False])
def test_names_of_label_sets_come_from_parquet(
    hub: StandInHub, tmp_path: Path, multi_label: bool
) -> None:
    features = datasets.Features(
        {
            "text": datasets.Value("string"),
            "label": datasets.Sequence(datasets.ClassLabel(names=["warm", "bad", "good"])),
        }
    )
    texts = [text for text, _ in rows(0, 40)]
    sets = [[1], [2, 0], []] * 13 + [[0]]
    path = tmp_path / "train.parquet"
    columns = {"text": texts, "label": sets}
    datasets.Dataset.from_dict(columns, features=features).to_parquet(str(path))
    content = path.read_bytes()
    files = {f"data/{split}-00000-of-00001.parquet": content for split in ("train", "test")}
    hub.add("datasets/org/reviews", files)

    found = load(hub, tmp_path / "home", multi_label=multi_label)

    if multi_label:
        assert found["names"] == ["warm", "bad", "good"]
        assert found["labels"]["test"][:3] == [[0, 1, 0], [1, 0, 1], [0, 0, 0]]
    else:
        assert found["error"] == "DataError"
        assert "--multi-label" in found["hint"]
