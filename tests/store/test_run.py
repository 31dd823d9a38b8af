"""A run on disk: writing, opening, verifying, finding."""

import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest

from edgeadapt.errors import (
    FormatVersionError,
    IntegrityError,
    LayoutError,
    MissingError,
    UnfinishedError,
)
from edgeadapt.recipe import ModelConfig, Recipe, Task
from edgeadapt.store.bundle import Bundle
from edgeadapt.store.machine import TrainingMachine
from edgeadapt.store.provenance import Backbone
from edgeadapt.store.run import UNFINISHED, Run, RunInfo
from edgeadapt.store.training import DataReport, FrozenHashes
from tests.store.handmade import as_json, make_score
from tests.store.manifests import change_json, edit_json

INFO = RunInfo(
    recipe=Recipe(model=ModelConfig(id="somewhere")),
    labels=("negative", "naïve ✓", "positive"),
    pad_id=3,
    backbone=Backbone("somewhere", "bert"),
    frozen_sha256=FrozenHashes("ab", "ab"),
    trainable_parameters=12,
    total_parameters=345,
    data=DataReport({"train": 7}, "cd"),
    validation=make_score(accuracy=0.75, recall=(0.5, 1.0)),
    test=make_score(accuracy=0.5),
    best_epoch=2,
    seconds=1.25,
    examples_per_second=56.5,
    machine=TrainingMachine("Some CPU", device="cpu"),
    created="2026-01-02T03:04:05+00:00",
    edgeadapt="0.0.0",
)


SCORE = as_json(make_score())


def write_run(path: Path) -> Run:
    """Writes a run with two files."""
    (path / "weights").mkdir(parents=True)
    (path / "weights" / "head.safetensors").write_bytes(b"weights")
    (path / "history.jsonl").write_text("{}\n")
    return Run.write(path, INFO)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_an_opened_run_is_equal_to_the_written_one(tmp_path: Path) -> None:
    written = write_run(tmp_path / "run")

    assert Run.open(tmp_path / "run") == written
    assert {**written.info.__dict__, "files": {}} == INFO.__dict__


def test_run_json_lists_every_other_file_with_its_hash(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")

    assert run.info.files == {
        "weights/head.safetensors": digest(run.path / "weights" / "head.safetensors"),
        "history.jsonl": digest(run.path / "history.jsonl"),
    }


def test_run_json_carries_the_format_version(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")

    assert json.loads((run.path / "run.json").read_text())["format_version"] == Run.FORMAT_VERSION


def test_writing_leaves_nothing_but_run_json_behind(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")

    assert {file.name for file in run.path.iterdir()} == {"run.json", "weights", "history.jsonl"}


def test_a_run_written_again_does_not_list_itself(tmp_path: Path) -> None:
    write_run(tmp_path / "run")

    assert "run.json" not in Run.write(tmp_path / "run", INFO).info.files


def test_a_missing_run_is_named_with_the_command_that_makes_one(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=r"no run at .*nowhere") as caught:
        Run.open(tmp_path / "nowhere")

    assert "edgeadapt train" in caught.value.hint


def test_a_folder_without_run_json_is_unfinished(tmp_path: Path) -> None:
    run = write_run(tmp_path / "half")
    (run.path / "run.json").unlink()

    with pytest.raises(UnfinishedError, match=r"half is not a finished run: it has no run\.json"):
        Run.open(run.path)


def test_an_interrupted_training_says_how_to_go_on(tmp_path: Path) -> None:
    (tmp_path / "half" / UNFINISHED).mkdir(parents=True)

    with pytest.raises(UnfinishedError) as caught:
        Run.open(tmp_path / "half")

    assert f"edgeadapt train --resume {tmp_path / 'half'}" in caught.value.hint


def test_a_newer_run_is_refused_with_both_versions(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    change_json(run.path / "run.json", format_version=Run.FORMAT_VERSION + 5)

    with pytest.raises(FormatVersionError, match=r"run\.json has format version 7.*up to 2") as got:
        Run.open(run.path)
    assert "pip install --upgrade" in got.value.hint


@pytest.mark.parametrize("version", [None, 0, -1, "1", 1.5, [1]])
def test_an_unusable_format_version_is_refused_and_shown(tmp_path: Path, version: object) -> None:
    run = write_run(tmp_path / "run")
    change_json(run.path / "run.json", format_version=version)

    with pytest.raises(LayoutError, match="no usable format version") as caught:
        Run.open(run.path)
    assert repr(version) in caught.value.message


@pytest.mark.parametrize("text", ["", "{", "[]", "7", '"run"', "\udcff"])
def test_a_run_json_without_a_json_object_is_refused(tmp_path: Path, text: str) -> None:
    run = write_run(tmp_path / "run")
    (run.path / "run.json").write_bytes(text.encode("utf-8", "surrogateescape"))

    with pytest.raises(LayoutError, match=r"run\.json"):
        Run.open(run.path)


@pytest.mark.parametrize("name", ["labels", "recipe", "frozen_sha256", "created"])
def test_a_run_json_without_a_field_is_refused_naming_it(tmp_path: Path, name: str) -> None:
    run = write_run(tmp_path / "run")
    edit_json(run.path / "run.json", lambda value: value.pop(name))

    with pytest.raises(LayoutError, match=rf"run\.json is not a run's: .*{name}"):
        Run.open(run.path)


def test_a_run_json_with_an_unknown_field_is_refused_naming_it(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    change_json(run.path / "run.json", surprise=1)

    with pytest.raises(LayoutError, match=r"run\.json is not a run's: .*surprise"):
        Run.open(run.path)


@pytest.mark.parametrize("files", [None, 5, ["history.jsonl"], {"history.jsonl": 5}])
def test_a_run_json_with_a_malformed_file_list_is_refused(tmp_path: Path, files: object) -> None:
    run = write_run(tmp_path / "run")
    change_json(run.path / "run.json", files=files)

    with pytest.raises(LayoutError, match=str(run.path)):
        Run.open(run.path).verify()


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("labels", ["a", "a"], "labels: expected at least one name, all different"),
        ("labels", [["a"]], "labels[0]: expected a string, found a list of 1"),
        ("pad_id", 2.5, "pad_id: expected a whole number, found 2.5"),
        ("pad_id", -1, "pad_id: expected a whole number from 0, found -1"),
        ("pairs", 1, "pairs: expected true or false, found 1"),
        ("best_epoch", "two", "best_epoch: expected a whole number, found 'two'"),
        ("seconds", "long", "seconds: expected a number, found 'long'"),
        ("recipe", [], "recipe: expected an object, found a list of 0"),
        ("backbone", {}, "backbone: the key 'id' is missing"),
        ("backbone", {"id": None}, "backbone.id: expected a string, found null"),
        ("backbone", {"id": "x", "commit": 3}, "backbone.commit: expected a string, found 3"),
        ("frozen_sha256", {"before": "ab"}, "frozen_sha256: the key 'after' is missing"),
        ("data", {}, "data: the key 'examples' is missing"),
        ("data", {"examples": {"train": -7}}, "data.examples.train: expected a whole number from"),
        ("validation", SCORE | {"accuracy": "high"}, "validation.accuracy: expected a number"),
        ("test", SCORE | {"recall": [0.5, None]}, "test.recall[1]: expected a number, found null"),
        ("test", {}, "test: the key 'texts' is missing"),
        ("machine", {"device": "cpu"}, "machine: the key 'cpu' is missing"),
        ("machine", "mine", "machine: expected an object, found 'mine'"),
        ("imported", {"format": "peft"}, "imported: the key 'folder' is missing"),
        ("sizes", {"history.jsonl": -1}, "sizes.history.jsonl: expected a whole number from 0"),
        ("sizes", [], "sizes: expected an object, found a list of 0"),
    ],
)
def test_a_value_of_another_type_is_named_before_it_is_used(
    tmp_path: Path, key: str, value: object, expected: str
) -> None:
    run = write_run(tmp_path / "run")
    change_json(run.path / "run.json", **{key: value})

    with pytest.raises(LayoutError, match=r"run\.json is not a run's: ") as caught:
        Run.open(run.path)
    assert expected in caught.value.message


def test_a_bundles_manifest_is_not_a_run(tmp_path: Path, tiny_bundle: Bundle) -> None:
    shutil.copy(tiny_bundle.path / "manifest.json", tmp_path / "run.json")
    change_json(tmp_path / "run.json", format_version=Run.FORMAT_VERSION)

    with pytest.raises(LayoutError, match=r"run\.json is not a run's"):
        Run.open(tmp_path)


def test_a_file_of_the_run_is_given_when_it_is_intact(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")

    assert run.file("weights/head.safetensors").read_bytes() == b"weights"


def test_a_changed_file_is_named_with_expected_and_found_hash(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    file = run.path / "weights" / "head.safetensors"
    expected = digest(file)
    file.write_bytes(b"weighty")

    with pytest.raises(IntegrityError) as caught:
        run.file("weights/head.safetensors")
    assert f"{file} is not the file" in caught.value.message
    assert f"expected sha256 {expected}, found {digest(file)}" in caught.value.message


def test_a_removed_file_is_named_as_missing(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    (run.path / "history.jsonl").unlink()

    with pytest.raises(IntegrityError, match=r"history\.jsonl is missing"):
        run.verify()


def test_a_file_that_run_json_does_not_list_is_refused(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    (run.path / "later.txt").write_text("not there when the run was written")

    with pytest.raises(LayoutError, match=r"run\.json lists no file 'later\.txt'"):
        run.file("later.txt")


def test_verify_accepts_an_intact_run_and_names_the_one_changed_file(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    run.verify()
    (run.path / "history.jsonl").write_text("[]\n")

    with pytest.raises(IntegrityError, match=r"history\.jsonl is not the file"):
        run.verify()


@pytest.mark.parametrize("name", ["../secret", "weights/../../secret", "{root}/secret"])
def test_a_file_name_that_leaves_the_run_is_refused(tmp_path: Path, name: str) -> None:
    run = write_run(tmp_path / "run")
    secret = tmp_path / "secret"
    secret.write_text("outside")
    name = name.format(root=tmp_path)
    change_json(run.path / "run.json", files={name: digest(secret)})

    with pytest.raises(LayoutError, match="secret"):
        Run.open(run.path).file(name)


def test_the_state_of_a_training_that_replaces_a_run_is_no_part_of_it(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    (run.path / UNFINISHED).mkdir()
    (run.path / UNFINISHED / "about.json").write_text("{}")
    run.verify()
    (run.path / "weights" / UNFINISHED).mkdir()
    (run.path / "weights" / UNFINISHED / "about.json").write_text("{}")

    with pytest.raises(IntegrityError, match="does not list: 'weights/checkpoint/about"):
        run.verify()


def test_the_latest_run_is_the_one_that_was_finished_last(tmp_path: Path) -> None:
    for number, name in enumerate(("b", "c", "a")):
        write_run(tmp_path / name)
        os.utime(tmp_path / name / "run.json", (1000 + number, 1000 + number))

    assert Run.latest(tmp_path).path == tmp_path / "a"


def test_the_latest_run_is_never_a_staging_or_unfinished_folder(tmp_path: Path) -> None:
    for number, name in enumerate(("done", ".next.partial-x", "half")):
        write_run(tmp_path / name)
        os.utime(tmp_path / name / "run.json", (1000 + number, 1000 + number))
    (tmp_path / "half" / "run.json").unlink()

    assert Run.latest(tmp_path).path == tmp_path / "done"


@pytest.mark.parametrize("root", ["empty", "nowhere"])
def test_latest_without_any_run_says_where_it_looked(tmp_path: Path, root: str) -> None:
    (tmp_path / "empty").mkdir()

    with pytest.raises(MissingError, match=f"no run under .*{root}") as caught:
        Run.latest(tmp_path / root)
    assert "edgeadapt train" in caught.value.hint


def test_a_run_is_called_like_its_folder_even_from_within(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_run(tmp_path / "reviews")
    monkeypatch.chdir(tmp_path / "reviews")

    assert Run.open(Path()).name == "reviews"


def test_a_bundle_in_place_of_a_run_is_called_one(tiny_bundle: Bundle) -> None:
    with pytest.raises(LayoutError, match=r"is a bundle: expected a run") as caught:
        Run.open(tiny_bundle.path)

    assert "edgeadapt inspect" in caught.value.hint


def test_a_checkpoint_in_place_of_a_run_is_called_one(tmp_path: Path) -> None:
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_text("{}")

    with pytest.raises(LayoutError, match="is a checkpoint: expected a run") as caught:
        Run.open(tmp_path)
    assert f"edgeadapt train --model {tmp_path} --dataset" in caught.value.hint


def test_the_task_is_read_back(tmp_path: Path) -> None:
    write_run(tmp_path / "run")
    change_json(tmp_path / "run" / "run.json", task="multi-label", pairs=True)

    info = Run.open(tmp_path / "run").info

    assert (info.task, info.pairs) == (Task.MULTI_LABEL, True)


def test_a_run_that_says_no_task_gave_one_label_to_single_texts(tmp_path: Path) -> None:
    write_run(tmp_path / "run")
    file = tmp_path / "run" / "run.json"
    edit_json(file, lambda value: (value.pop("task"), value.pop("pairs")))

    info = Run.open(tmp_path / "run").info

    assert (info.task, info.pairs) == (Task.SINGLE_LABEL, False)


def test_an_unknown_task_is_refused(tmp_path: Path) -> None:
    write_run(tmp_path / "run")
    change_json(tmp_path / "run" / "run.json", task="ranking")

    with pytest.raises(
        LayoutError, match=r"run\.json is not a run's: task: expected .*, found 'ranking'"
    ):
        Run.open(tmp_path / "run")
