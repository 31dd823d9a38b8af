"""``edgeadapt inspect``."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from edgeadapt.store.bundle import Bundle
from edgeadapt.store.evaluation import EvaluationInfo
from edgeadapt.store.machine import Machine
from edgeadapt.store.plan import Plan
from edgeadapt.store.record import Record
from edgeadapt.store.run import Run
from tests.benchmark.handmade import copy_bundle
from tests.cli.conftest import Cli
from tests.store.handmade import make_compression, make_search, make_shrunk
from tests.store.manifests import edit_json


def write_record(path: Path) -> Path:
    record = Record(
        created="2026-01-02T03:04:05+00:00",
        edgeadapt="0.1.0",
        machine=Machine("A small processor"),
        threads=2,
        plan=Plan(),
        evaluation=EvaluationInfo(origin="none", texts=0, labels=None),
        baseline="tiny:fp32",
        samples=(),
    )
    record.write(path)
    return path


def test_a_run_is_described(cli: Cli, tiny_run: Run) -> None:
    found = cli("inspect", tiny_run.path, "--json").json

    assert found["kind"] == "run"
    assert found["path"] == str(tiny_run.path)
    assert found["method"] == "parallel"
    assert found["labels"] == ["negative", "positive"]
    assert found["examples"] == {"train": 64, "validation": 24, "test": 24}
    assert found["trainable_parameters"] == tiny_run.info.trainable_parameters
    assert found["validation_accuracy"] == tiny_run.info.validation.accuracy
    assert found["test_accuracy"] == tiny_run.info.test.accuracy
    assert found["files_verified"] == len(tiny_run.info.files)


def test_a_bundle_is_described(cli: Cli, tiny_bundle: Bundle) -> None:
    found = cli("inspect", tiny_bundle.path, "--json").json

    assert found["kind"] == "bundle"
    assert found["path"] == str(tiny_bundle.path)
    assert found["method"] == "parallel"
    assert found["max_length"] == 32
    assert found["variants"].keys() == {"fp32", "int8", "torch"}
    assert found["variants"]["fp32"] == (tiny_bundle.path / "onnx/model.onnx").stat().st_size
    assert found["files_verified"] == len(tiny_bundle.manifest.files)


def test_a_record_is_described(cli: Cli, tmp_path: Path) -> None:
    path = write_record(tmp_path / "bench.json")

    found = cli("inspect", path, "--json").json

    assert found["kind"] == "record"
    assert found["path"] == str(path)
    assert found["machine"] == "A small processor"
    assert found["baseline"] == "tiny:fp32"


def test_a_person_reads_the_same_facts_in_lines(cli: Cli, tiny_run: Run) -> None:
    found = cli("inspect", tiny_run.path, "--json").json

    shown = cli("inspect", tiny_run.path)

    assert shown.code == 0
    assert len(shown.out.splitlines()) == len(found)
    lines = [" ".join(line.split()) for line in shown.out.splitlines()]
    assert "kind run" in lines
    assert "examples train 64, validation 24, test 24" in lines
    assert "labels negative, positive" in lines
    assert f"trainable parameters {found['trainable_parameters']:,}" in lines


def test_a_person_reads_what_is_left_of_each_layer_in_a_table(
    cli: Cli, tiny_bundle: Bundle, tmp_path: Path
) -> None:
    compression = make_compression(make_search(), shrunk=make_shrunk())
    copy_bundle(tiny_bundle, tmp_path / "smaller", compression=compression)

    shown = cli("inspect", tmp_path / "smaller").out

    lines = [" ".join(line.split()) for line in shown.splitlines()]
    assert "1 7 of 12 1,088 of 1,600 75.0% 40.0%" in lines
    assert "3 removed removed – –" in lines
    assert shown.count("29 of 36 attention heads") == 1
    assert "speedup" not in shown


@pytest.mark.parametrize("place", ["runs", "bundles", "records"])
def test_a_bare_name_is_looked_up_in_every_place(
    cli: Cli, tiny_run: Run, tiny_bundle: Bundle, folder: Path, place: str
) -> None:
    shutil.copytree(tiny_run.path, folder / "artifacts/runs/in-runs")
    shutil.copytree(tiny_bundle.path, folder / "artifacts/bundles/in-bundles")
    write_record(folder / "artifacts/records/in-records.json")

    found = cli("inspect", f"in-{place}", "--json").json

    assert found["kind"] == place.removesuffix("s")


def test_a_name_that_two_things_have_is_refused_with_both_paths(
    cli: Cli, tiny_run: Run, tiny_bundle: Bundle, folder: Path
) -> None:
    shutil.copytree(tiny_run.path, folder / "artifacts/runs/reviews")
    shutil.copytree(tiny_bundle.path, folder / "artifacts/bundles/reviews")

    cli("inspect", "reviews").fails_with(
        "'reviews'", "artifacts/runs/reviews", "artifacts/bundles/reviews", hint="path"
    )


def test_a_name_that_nothing_has_is_refused(cli: Cli, folder: Path) -> None:
    cli("inspect", "nowhere").fails_with("'nowhere'", hint="path")


def test_an_unfinished_folder_is_named(cli: Cli, folder: Path) -> None:
    (folder / "unfinished").mkdir()

    cli("inspect", "unfinished").fails_with("unfinished", "run.json", "manifest.json")


@pytest.mark.parametrize("name", ["weights/head.safetensors", "predictions.csv"])
def test_a_changed_file_of_a_run_is_named_with_both_hashes(
    cli: Cli, tiny_run: Run, tmp_path: Path, name: str
) -> None:
    run = shutil.copytree(tiny_run.path, tmp_path / "damaged")
    (run / name).write_bytes((run / name).read_bytes()[:-1])

    cli("inspect", run).fails_with(
        str(run / name), f"expected sha256 {tiny_run.info.files[name]}", "found "
    )


def test_a_missing_file_of_a_bundle_is_named(cli: Cli, tiny_bundle: Bundle, tmp_path: Path) -> None:
    bundle = shutil.copytree(tiny_bundle.path, tmp_path / "damaged")
    (bundle / "evaluation.csv").unlink()

    cli("inspect", bundle).fails_with(str(bundle / "evaluation.csv"), "missing", "sha256")


def test_every_layout_of_a_newer_format_names_both_versions(
    cli: Cli, tiny_run: Run, tiny_bundle: Bundle, tmp_path: Path
) -> None:
    run = shutil.copytree(tiny_run.path, tmp_path / "run")
    bundle = shutil.copytree(tiny_bundle.path, tmp_path / "bundle")
    files = {
        run: run / "run.json",
        bundle: bundle / "manifest.json",
        tmp_path / "record.json": write_record(tmp_path / "record.json"),
    }

    for path, file in files.items():
        newest = json.loads(file.read_text())["format_version"]
        edit_json(file, lambda value: value.update(format_version=7))
        words = (str(file), "format version 7", f"up to {newest}")
        cli("inspect", path).fails_with(*words, hint="--upgrade")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", ["not valid JSON"]),
        ("[]", ["expected a JSON object"]),
        ("{}", ["format version"]),
        (json.dumps({"format_version": 1, "samples": []}), ["not a benchmark record"]),
    ],
)
def test_a_file_that_is_no_record_is_named(
    cli: Cli, tmp_path: Path, content: str, words: list[str]
) -> None:
    path = tmp_path / "bench.json"
    path.write_text(content)

    cli("inspect", path).fails_with(str(path), *words)


def test_a_label_with_brackets_is_shown_as_it_is(cli: Cli, tiny_run: Run, tmp_path: Path) -> None:
    run = shutil.copytree(tiny_run.path, tmp_path / "brackets")
    info = replace(tiny_run.info, labels=("[bold]no[/bold]", "yes"))
    Run.write(run, info)

    assert "[bold]no[/bold], yes" in cli("inspect", run).out
