"""``edgeadapt convert``."""

import json
import shutil
from pathlib import Path

import pytest

from edgeadapt.store.run import Run
from tests.cli.conftest import Cli, written
from tests.store.manifests import edit_json

FILES = {
    "adapter_config.json",
    "pytorch_adapter.bin",
    "head_config.json",
    "pytorch_model_head.bin",
    "edgeadapt.json",
}


def test_json_is_one_object_with_the_folder_its_format_and_its_files(
    cli: Cli, tiny_run: Run, tmp_path: Path, folder: Path
) -> None:
    answer = cli("convert", tiny_run.path, tmp_path / "out", "--to", "adapterhub", "--json").json

    assert answer.keys() == {"adapter", "format", "files"}
    assert (answer["adapter"], answer["format"]) == (str(tmp_path / "out"), "adapterhub")
    assert answer["files"].keys() == FILES
    assert answer["files"] == {f.name: f.stat().st_size for f in (tmp_path / "out").iterdir()}
    assert written(folder) == []


def test_the_files_are_listed_and_the_last_line_says_where_they_are(
    cli: Cli, tiny_run: Run, folder: Path
) -> None:
    done = cli("convert", tiny_run.path, "out", "--to", "adapterhub")

    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert {line.split()[-1] for line in lines[:-1]} == FILES
    assert lines[-1] == "adapter: out"
    assert (folder / "out" / "edgeadapt.json").is_file()


def test_a_run_is_found_by_its_name(cli: Cli, tiny_run: Run, folder: Path) -> None:
    shutil.copytree(tiny_run.path, folder / "artifacts/runs/mine")

    answer = cli("convert", "mine", "out", "--to", "adapterhub", "--json").json

    assert answer["adapter"] == "out"


def test_what_travels_with_the_adapter_are_labels_and_hashes(
    cli: Cli, tiny_run: Run, folder: Path
) -> None:
    cli("convert", tiny_run.path, "out", "--to", "adapterhub")

    identity = json.loads((folder / "out" / "edgeadapt.json").read_text())
    assert identity["labels"] == list(tiny_run.info.labels)
    assert identity["backbone_sha256"] == tiny_run.info.frozen_sha256.after
    assert identity["backbone_config_sha256"] == tiny_run.info.backbone.config_sha256
    assert len(identity["tokenizer_sha256"]) == 64


def test_a_kind_that_the_format_cannot_hold_is_refused_by_name(
    cli: Cli, tiny_run: Run, tmp_path: Path, folder: Path
) -> None:
    refused = cli("convert", tiny_run.path, tmp_path / "out", "--to", "peft")

    refused.fails_with("the method parallel", "lora", hint="AdapterHub")
    assert not (tmp_path / "out").exists()


def test_an_existing_folder_is_kept_unless_it_may_be_replaced(
    cli: Cli, tiny_run: Run, tmp_path: Path, folder: Path
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "note").write_text("mine")

    cli("convert", tiny_run.path, tmp_path / "out", "--to", "adapterhub").fails_with(
        f"{tmp_path / 'out'} exists already", hint="--force"
    )
    cli("convert", tiny_run.path, tmp_path / "out", "--to", "adapterhub", "--force").fails_with(
        "expected a folder with adapter_config.json", "found note"
    )
    assert written(tmp_path / "out") == ["note"]

    (tmp_path / "out" / "adapter_config.json").write_text("{}")
    done = cli("convert", tiny_run.path, tmp_path / "out", "--to", "adapterhub", "--force")
    assert done.code == 0, done.err
    assert set(written(tmp_path / "out")) == FILES


def test_a_run_that_is_not_there_is_named(cli: Cli, folder: Path) -> None:
    cli("convert", "nowhere", "out", "--to", "peft").fails_with("no run", "nowhere", hint="train")

    assert written(folder) == []


def test_a_damaged_run_is_refused(cli: Cli, tiny_run: Run, tmp_path: Path, folder: Path) -> None:
    run = Path(shutil.copytree(tiny_run.path, tmp_path / "run"))
    edit_json(run / "tokenizer_config.json", lambda value: value.update(more=1))

    cli("convert", run, "out", "--to", "adapterhub").fails_with("tokenizer_config.json")

    assert written(folder) == []


@pytest.mark.parametrize("arguments", [(), ("--to", "onnx")])
def test_a_format_has_to_be_named_and_known(
    cli: Cli, tiny_run: Run, folder: Path, arguments: tuple[str, ...]
) -> None:
    done = cli("convert", tiny_run.path, "out", *arguments)

    assert (done.code, done.out) == (2, "")
    assert "--to" in done.err
    assert written(folder) == []
