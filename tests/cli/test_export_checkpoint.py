"""``edgeadapt export CHECKPOINT``: how its argument is read, what is rejected, the output."""

import json
import shutil
from pathlib import Path

import pytest

from edgeadapt.store.bundle import Bundle
from edgeadapt.store.run import Run
from tests.cli.conftest import Cli, written
from tests.lively import finished_checkpoint
from tests.pipeline.finished import write_data

NAMES = ("so-so", "bad", "good")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished_checkpoint(tmp_path_factory.mktemp("finished") / "moods", NAMES, "distilbert")


@pytest.fixture(scope="module")
def data(model: Path) -> Path:
    return write_data(model.parent / "data", model, NAMES, None)


def test_a_checkpoint_with_data_is_quantized_and_json_is_that_of_every_export(
    cli: Cli, model: Path, data: Path, folder: Path
) -> None:
    quick = ("--quantize", "--max-drop", "1", "--exporter", "torch", "--json")

    answer = cli("export", model, "--dataset", data, *quick).json

    assert answer["bundle"] == "artifacts/bundles/moods"
    assert answer.keys() == {"bundle", "parity", "quantization", "compression", "files"}
    assert answer["parity"]["int8"]["scheme"] == "dynamic-int8"
    assert Bundle.open(folder / answer["bundle"]).manifest.labels == NAMES
    assert not (folder / "artifacts/runs").exists()
    predicted = cli("predict", "moods", "the film was good", "--json").json
    assert predicted["predictions"][0]["label"] in NAMES


def test_without_data_it_says_what_is_missing_and_what_comes_next(
    cli: Cli, model: Path, folder: Path
) -> None:
    done = cli("export", model, "--exporter", "torch", "--output", "mine", "--max-length", "16")

    assert done.code == 0, done.err
    assert "Without --dataset" in done.err
    assert done.out.splitlines()[-1] == "bundle: artifacts/bundles/mine"
    assert "next: edgeadapt bench mine" in done.err
    assert Bundle.open(folder / "artifacts/bundles/mine").manifest.max_length == 16


def test_a_name_under_artifacts_checkpoints_is_one(cli: Cli, model: Path, folder: Path) -> None:
    shutil.copytree(model, folder / "artifacts/checkpoints/own")

    assert cli("export", "own", "--exporter", "torch", "--json").json["bundle"].endswith("/own")


@pytest.mark.parametrize("option", ["--quantize", "--trim-vocab"])
def test_what_needs_data_is_refused_without_it(
    cli: Cli, model: Path, folder: Path, option: str
) -> None:
    value = ("auto",) if option == "--trim-vocab" else ()

    cli("export", model, option, *value).fails_with(option, "--dataset", hint="--dataset")

    assert written(folder) == []


@pytest.mark.parametrize(
    ("option", "named"),
    [
        (("--text-column", "body"), "--text-column"),
        (("--text-pair-column", "second"), "--text-pair-column"),
        (("--label-column", "mood"), "--label-column"),
        (("--multi-label",), "--multi-label"),
        (("--dataset-name", "x"), "--dataset-name"),
        (("--dataset-revision", "x"), "--dataset-revision"),
    ],
)
def test_what_describes_data_is_refused_without_data(
    cli: Cli, model: Path, folder: Path, option: tuple[str, ...], named: str
) -> None:
    cli("export", model, *option).fails_with(named, hint="--dataset")

    assert written(folder) == []


@pytest.mark.parametrize(
    "option",
    [("--dataset", "demo"), ("--labels", "a,b"), ("--revision", "x"), ("--max-length", "16")],
)
@pytest.mark.parametrize("named", [True, False])
def test_a_run_has_data_and_labels_of_its_own(
    cli: Cli, tiny_run: Run, folder: Path, option: tuple[str, ...], named: bool
) -> None:
    shutil.copytree(tiny_run.path, folder / "artifacts/runs/tiny")

    cli("export", *(["tiny"] if named else []), *option).fails_with(
        option[0], "the run tiny", hint="checkpoint"
    )


def test_a_bundle_is_still_no_run(cli: Cli, light_bundle: Path, folder: Path) -> None:
    cli("export", light_bundle).fails_with("is a bundle: expected a run")


def test_an_adapter_is_to_be_imported_first(cli: Cli, tmp_path: Path, folder: Path) -> None:
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA"}))

    cli("export", adapter).fails_with("holds an adapter", hint=f"edgeadapt import {adapter}")


@pytest.mark.parametrize("name", ["nothing", "artifacts/nothing", "./no/thing"])
def test_a_name_that_is_nothing_is_no_run(cli: Cli, folder: Path, name: str) -> None:
    (folder / "artifacts").mkdir()

    cli("export", name).fails_with("There is no run", "nothing" if "nothing" in name else "thing")


def test_an_id_of_the_hub_is_looked_for_there(
    cli: Cli, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    cli("export", "somebody/moods").fails_with("somebody/moods", "hub cannot be reached")
    cli("export", "moods", "--revision", "v2").fails_with("'moods'", "hub cannot be reached")
    assert written(folder) == []


def test_labels_name_outputs_without_names(
    cli: Cli, data: Path, tmp_path: Path, folder: Path
) -> None:
    unnamed = finished_checkpoint(
        tmp_path / "unnamed", ("LABEL_0", "LABEL_1", "LABEL_2"), "distilbert"
    )
    given = ("export", unnamed, "--dataset", data, "--exporter", "torch")

    cli(*given).fails_with("LABEL_0, LABEL_1, LABEL_2", "bad, good, so-so", hint="--labels")
    assert written(folder) == []

    answer = cli(*given, "--labels", "so-so,bad,good", "--json").json
    manifest = Bundle.open(folder / answer["bundle"]).manifest
    assert manifest.labels == NAMES
    assert manifest.provenance.test.accuracy == 1.0
