"""``edgeadapt pretrain``."""

from pathlib import Path

import pytest

from edgeadapt.recipe import AdapterConfig
from tests.cli.conftest import Cli, written
from tests.conftest import review

QUICK = ("--epochs", "1", "--batch-size", "16", "--max-length", "32", "--device", "cpu")


@pytest.fixture
def text(folder: Path) -> Path:
    path = folder / "own.txt"
    path.write_text("\n".join(review(number)[0] for number in range(60)))
    return path


def test_json_is_one_object_and_the_checkpoint_is_a_backbone(
    cli: Cli, checkpoint: Path, dataset_folder: Path, text: Path, folder: Path
) -> None:
    asked = ("pretrain", "--text", text, "--model", checkpoint, "--dimension", "4", *QUICK)

    answer = cli(*asked, "--threads", "1", "--output", "read", "--json").json

    assert answer["checkpoint"] == "artifacts/checkpoints/read"
    assert answer.keys() == {
        "checkpoint", "texts", "trainable_parameters", "total_parameters", "perplexity",
        "accuracy", "seconds",
    }  # fmt: skip
    trained = cli(
        *("train", "--model", answer["checkpoint"], "--dataset", dataset_folder, *QUICK),
        *("--threads", "1", "--json"),
    ).json
    assert trained["method"] == AdapterConfig().method


def test_it_says_what_was_learned_and_what_comes_next(
    cli: Cli, checkpoint: Path, text: Path
) -> None:
    done = cli("pretrain", "--text", text, "--model", checkpoint, *QUICK, "--output", "read")

    assert done.code == 0, done.err
    assert "perplexity of masked held-out text" in done.out
    assert done.out.splitlines()[-1] == "checkpoint: artifacts/checkpoints/read"
    assert "next: edgeadapt train --model artifacts/checkpoints/read" in done.err


def test_text_that_is_not_there_is_named(cli: Cli, checkpoint: Path, folder: Path) -> None:
    cli("pretrain", "--text", "nowhere.txt", "--model", checkpoint).fails_with("nowhere.txt")

    assert written(folder) == []


def test_without_text_it_is_wrong_usage(cli: Cli, folder: Path) -> None:
    done = cli("pretrain")

    assert done.code == 1
    assert "Expected --text FILE" in done.err


def test_going_on_takes_no_other_option_and_needs_something_to_go_on_with(
    cli: Cli, folder: Path
) -> None:
    done = cli("pretrain", "--resume", "read", "--epochs", "2", "--text", "own.txt")
    assert done.code == 1
    assert "expected no other option, found --epochs, --text" in done.err

    cli("pretrain", "--resume", "read").fails_with("no unfinished training")
    assert written(folder) == []
