"""``edgeadapt merge``."""

from pathlib import Path

from edgeadapt.store.bundle import Bundle
from edgeadapt.store.run import Run
from tests.cli.conftest import Cli, written
from tests.pruned import pruned_bundle


def test_json_is_one_object_with_checkpoint_parity_and_files(
    cli: Cli, tiny_run: Run, folder: Path
) -> None:
    answer = cli("merge", tiny_run.path, "--output", "out", "--json").json

    assert answer["checkpoint"] == "artifacts/checkpoints/out"
    assert answer["parity"]["max_difference"] <= answer["parity"]["limit"]
    assert answer["parameters"] > tiny_run.info.total_parameters / 2
    assert answer["unshared_bytes"] == 0
    assert set(answer["files"]) >= {"config.json", "model.safetensors", "tokenizer.json"}
    assert (
        answer["files"]["model.safetensors"]
        == (folder / "artifacts/checkpoints/out/model.safetensors").stat().st_size
    )


def test_the_checkpoint_takes_the_runs_name_and_the_last_line_says_where_it_is(
    cli: Cli, tiny_run: Run, folder: Path
) -> None:
    done = cli("merge", tiny_run.path)

    assert done.code == 0, done.err
    assert done.out.splitlines()[-1] == f"checkpoint: artifacts/checkpoints/{tiny_run.name}"
    assert "logits differ by" in done.out


def test_a_path_is_taken_as_it_is(cli: Cli, tiny_run: Run, folder: Path, tmp_path: Path) -> None:
    cli("merge", tiny_run.path, "--output", tmp_path / "here")

    assert (tmp_path / "here" / "model.safetensors").is_file()
    assert written(folder) == []


def test_a_pruned_bundle_says_why_it_cannot_be_a_stock_checkpoint(
    cli: Cli, tiny_bundle: Bundle, folder: Path, tmp_path: Path
) -> None:
    pruned = pruned_bundle(tiny_bundle, tmp_path / "pruned")

    cli("merge", pruned.path).fails_with(
        "cannot be a stock checkpoint", "heads 1, 0; neurons 4, 0", hint="edgeadapt merge RUN"
    )
    cli("merge", tiny_bundle.path).fails_with("is a bundle: expected a run")


def test_a_run_that_is_not_there_is_named(cli: Cli, folder: Path) -> None:
    cli("merge", "nowhere").fails_with("no run", "nowhere", hint="edgeadapt train")
