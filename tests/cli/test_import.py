"""``edgeadapt import``, and ``edgeadapt train --adapter``, which starts from the same folders."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file

from edgeadapt.pipeline.convert import convert
from edgeadapt.recipe import Format
from edgeadapt.store.run import Run
from tests.cli.conftest import Cli, written
from tests.conftest import write_dataset
from tests.store.handmade import as_json
from tests.store.manifests import edit_json

KEYS = {
    "run",
    "imported",
    "method",
    "labels",
    "trainable_parameters",
    "total_parameters",
    "validation",
    "test",
}
TRAINING = ("--epochs", "1", "--batch-size", "16", "--device", "cpu", "--threads", "1")


@pytest.fixture(scope="module")
def shared(tiny_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("converted") / "adapter"
    convert(tiny_run, folder, to=Format.ADAPTERHUB)
    return folder


@pytest.fixture
def adapter(shared: Path, tmp_path: Path) -> Path:
    """A run's adapter in AdapterHub's format, to be changed."""
    return Path(shutil.copytree(shared, tmp_path / "adapter"))


@pytest.fixture
def headless(adapter: Path) -> Path:
    """The same without its head."""
    for name in ("head_config.json", "pytorch_model_head.bin"):
        (adapter / name).unlink()
    return adapter


def test_json_is_one_object_with_run_labels_and_scores(
    cli: Cli, adapter: Path, dataset_folder: Path, tiny_run: Run, folder: Path
) -> None:
    answer = cli("import", adapter, "--dataset", dataset_folder, "--output", "back", "--json").json

    assert answer == {
        "run": "artifacts/runs/back",
        "imported": {"format": "adapterhub", "folder": "adapter"},
        "method": "parallel",
        "labels": list(tiny_run.info.labels),
        "trainable_parameters": tiny_run.info.trainable_parameters,
        "total_parameters": tiny_run.info.total_parameters,
        "validation": as_json(tiny_run.info.validation),
        "test": as_json(tiny_run.info.test),
    }
    assert Run.open(folder / answer["run"]).info.test == tiny_run.info.test


def test_without_data_json_has_the_same_keys_and_no_scores(
    cli: Cli, adapter: Path, folder: Path
) -> None:
    answer = cli("import", adapter, "--json").json

    assert answer.keys() == KEYS
    assert (answer["validation"], answer["test"]) == ({}, {})
    # Named after the folder where no name is given.
    assert Path(answer["run"]).name.startswith("adapter-")


@pytest.mark.parametrize("with_data", [False, True])
def test_it_says_what_it_is_where_it_is_and_what_comes_next(
    cli: Cli, adapter: Path, dataset_folder: Path, folder: Path, with_data: bool
) -> None:
    data = ("--dataset", dataset_folder) if with_data else ()

    done = cli("import", adapter, "--output", "back", *data)

    assert done.code == 0, done.err
    assert "adapter (adapterhub)" in done.out
    assert ("accuracy" in done.out) == with_data
    assert done.out.splitlines()[-1] == "run: artifacts/runs/back"
    assert f"next: edgeadapt export back{' --quantize' if with_data else ''}\n" in done.err


def test_what_it_says_comes_next_works_and_int8_without_data_is_refused_with_a_way_out(
    cli: Cli, adapter: Path, folder: Path
) -> None:
    cli("import", adapter, "--output", "back")

    cli("export", "back", "--quantize").fails_with(
        "--quantize", "no labelled text", hint="Import it again with --dataset"
    )
    assert not list((folder / "artifacts").rglob("*.onnx"))
    exported = cli("export", "back", "--exporter", "torch", "--json").json
    assert exported["bundle"] == "artifacts/bundles/back"
    assert (exported["parity"]["onnx"]["texts"], exported["parity"]["int8"]) == (64, None)
    inspected = cli("inspect", "artifacts/runs/back", "--json").json
    assert inspected["imported_from"] == "adapter (adapterhub)"
    assert "test_accuracy" not in inspected
    predicted = cli("predict", "back", "the film was good")
    assert predicted.code == 0, predicted.err
    assert predicted.out.split()[0] in {"negative", "positive"}


@pytest.mark.parametrize(
    ("option", "named"),
    [
        (("--text-column", "body"), "--text-column"),
        (("--text-pair-column", "second"), "--text-pair-column"),
        (("--label-column", "mood"), "--label-column"),
        (("--multi-label",), "--multi-label"),
    ],
)
def test_what_describes_data_is_refused_without_data(
    cli: Cli, adapter: Path, folder: Path, option: tuple[str, ...], named: str
) -> None:
    cli("import", adapter, *option).fails_with(named, hint="--dataset")

    assert written(folder) == []


def test_columns_are_those_of_the_data(
    cli: Cli, adapter: Path, dataset_folder: Path, tiny_run: Run, folder: Path
) -> None:
    data = Path(shutil.copytree(dataset_folder, folder / "renamed"))
    for file in data.glob("*.csv"):
        file.write_text(file.read_text().replace('"text","label"', '"body","mood"', 1))
    columns = ("--text-column", "body", "--label-column", "mood")

    answer = cli("import", adapter, "--dataset", "renamed", *columns, "--json").json

    assert answer["test"] == as_json(tiny_run.info.test)


def test_a_folder_that_holds_no_adapter_is_named(cli: Cli, tmp_path: Path, folder: Path) -> None:
    cli("import", tmp_path).fails_with(f"{tmp_path}/adapter_config.json does not exist")

    assert written(folder) == []


def test_an_adapter_that_names_no_backbone_needs_one(
    cli: Cli, adapter: Path, checkpoint: Path, folder: Path
) -> None:
    edit_json(adapter / "adapter_config.json", lambda value: value.pop("model_name"))

    cli("import", adapter).fails_with("does not say which backbone", hint="--model")
    assert written(folder) == []

    assert cli("import", adapter, "--model", checkpoint, "--json").json["method"] == "parallel"


@pytest.mark.parametrize("key", ["backbone_sha256", "tokenizer_sha256", "backbone_config_sha256"])
def test_an_adapter_of_another_model_is_refused(
    cli: Cli, adapter: Path, checkpoint: Path, folder: Path, key: str
) -> None:
    found = json.loads((adapter / "edgeadapt.json").read_text())[key]
    edit_json(adapter / "edgeadapt.json", lambda value: value.update({key: "0" * 64}))

    cli("import", adapter, "--model", checkpoint).fails_with(
        f"{key}: expected {'0' * 64}, found {found}", hint="use that backbone"
    )

    assert written(folder) == []


def test_an_existing_run_is_kept_unless_it_may_be_replaced(
    cli: Cli, adapter: Path, folder: Path
) -> None:
    cli("import", adapter, "--output", "back")
    before = (folder / "artifacts/runs/back/run.json").read_bytes()
    edit_json(adapter / "head_config.json", lambda value: value.update(more=1))

    cli("import", adapter, "--output", "back").fails_with("exists already", hint="--force")
    assert (folder / "artifacts/runs/back/run.json").read_bytes() == before

    again = cli("import", adapter, "--output", "back", "--max-length", "16", "--force", "--json")
    assert again.json["run"] == "artifacts/runs/back"
    assert Run.open(folder / "artifacts/runs/back").info.recipe.model.max_length == 16


def test_a_path_is_taken_as_it_is(cli: Cli, adapter: Path, folder: Path, tmp_path: Path) -> None:
    answer = cli("import", adapter, "--output", tmp_path / "here", "--json").json

    assert answer["run"] == str(tmp_path / "here")
    assert written(folder) == []


def test_without_a_head_the_hint_is_a_command_that_trains_one(
    cli: Cli, headless: Path, dataset_folder: Path, folder: Path
) -> None:
    refused = cli("import", headless, "--dataset", dataset_folder)
    refused.fails_with("no complete head", "classifier.weight", hint="edgeadapt train --adapter")
    assert written(folder) == []
    command = refused.err.strip().partition("edgeadapt train ")[2].split()

    answer = cli("train", *command, *TRAINING, "--max-length", "32", "--json").json

    assert answer["method"] == "parallel"
    assert answer["test"]["texts"] == 24


def test_training_goes_on_from_a_run_by_its_name_and_shows_the_adapters_own_shape(
    cli: Cli, tiny_run: Run, checkpoint: Path, dataset_folder: Path, folder: Path
) -> None:
    start = Path(shutil.copytree(tiny_run.path, folder / "artifacts/runs/first"))
    options = ("--model", checkpoint, "--dataset", dataset_folder, "--max-length", "32")

    done = cli(
        *("train", "--adapter", "first", "--output", "second", "--dimension", "9"),
        *(*options, *TRAINING, "--learning-rate", "1e-12", "--dropout", "0.25"),
    )

    assert done.code == 0, done.err
    for line in (f'start = "{start}"', 'method = "parallel"', "dimension = 4", "dropout = 0.25"):
        assert f"\n{line}\n" in done.err
    for name in ("adapter", "head"):
        before, after = (
            load_file(folder / f"artifacts/runs/{run}/weights/{name}.safetensors")
            for run in ("first", "second")
        )
        assert before.keys() == after.keys()
        assert max(abs(before[key] - after[key]).max() for key in before) < 1e-6


def test_training_does_not_start_from_an_adapter_of_another_backbone(
    cli: Cli, adapter: Path, checkpoint: Path, dataset_folder: Path, folder: Path
) -> None:
    edit_json(adapter / "edgeadapt.json", lambda value: value.update(backbone_sha256="0" * 64))

    cli(
        *("train", "--adapter", adapter, "--model", checkpoint, "--dataset", dataset_folder),
        *(*TRAINING, "--max-length", "32", "--json"),
    ).fails_with(f"{adapter} belongs to another model", "backbone_sha256", hint="that backbone")

    assert written(folder) == []


def test_training_does_not_start_from_what_is_not_there(
    cli: Cli, checkpoint: Path, dataset_folder: Path, folder: Path
) -> None:
    cli(
        *("train", "--adapter", "nowhere", "--model", checkpoint, "--dataset", dataset_folder),
        *TRAINING,
    ).fails_with("nowhere")

    assert written(folder) == []


def test_rows_without_text_or_label_are_left_out_where_asked(
    cli: Cli, adapter: Path, tmp_path: Path, folder: Path
) -> None:
    data = write_dataset(tmp_path / "data")
    with (data / "validation.csv").open("a") as file:
        file.write('"","positive"\n"a film","-1"\n')
    asked = ("import", adapter, "--dataset", data, "--output", "back")

    cli(*asked).fails_with("validation, row 26", "is empty", hint="--skip-unlabelled")
    done = cli(*asked, "--skip-empty", "--skip-unlabelled", "--json")

    assert done.json["validation"]["texts"] == 24
    assert "validation: left out 1 rows with an empty text." in done.err


def test_labels_name_the_outputs_of_a_head_without_names_and_the_hint_says_so(
    cli: Cli, adapter: Path, dataset_folder: Path, tiny_run: Run, folder: Path
) -> None:
    def unnamed(value: dict[str, Any]) -> None:
        value["config"]["label2id"] = {"LABEL_0": 0, "LABEL_1": 1}

    edit_json(adapter / "head_config.json", unnamed)
    (adapter / "edgeadapt.json").unlink()
    cli("import", adapter, "--dataset", dataset_folder).fails_with(
        "LABEL_0, LABEL_1", "negative, positive", hint="--labels NAME,NAME"
    )
    assert written(folder) == []
    (folder / "labels.json").write_text('["negative", "positive"]')

    for labels in ("negative, positive", "labels.json"):
        given = ("--dataset", dataset_folder, "--labels", labels)
        answer = cli("import", adapter, *given, "--json").json
        assert answer["labels"] == ["negative", "positive"]
        assert answer["test"] == as_json(tiny_run.info.test)


@pytest.mark.parametrize("labels", ["negative", "a,a", "a,,b", "", "nowhere.json"])
def test_labels_have_to_be_two_different_names_or_more(
    cli: Cli, adapter: Path, folder: Path, labels: str
) -> None:
    cli("import", adapter, "--labels", labels).fails_with("--labels")

    assert written(folder) == []


def test_labels_of_a_file_have_the_same_normal_form_as_those_of_the_command_line(
    cli: Cli, adapter: Path, folder: Path
) -> None:
    (folder / "spaced.json").write_text('["negative ", "positive"]')
    (folder / "numbers.json").write_text("[1, 2]")

    answer = cli("import", adapter, "--labels", "spaced.json", "--json").json
    assert answer["labels"] == ["negative", "positive"]
    cli("import", adapter, "--labels", "numbers.json").fails_with("expected a list of names")


def test_a_whole_model_is_told_from_an_adapter_and_the_hint_says_what_takes_it(
    cli: Cli, checkpoint: Path, folder: Path
) -> None:
    cli("import", checkpoint).fails_with(
        "adapter_config.json does not exist", "whole model", hint=f"edgeadapt export {checkpoint}"
    )
