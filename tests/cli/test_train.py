"""``edgeadapt train``."""

import json
import re
import shutil
import signal
import subprocess
import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from edgeadapt.backbones import BACKBONES
from edgeadapt.data import read_rows, write_csv
from edgeadapt.interop import adapters as foreign
from edgeadapt.metrics import wilson_interval
from edgeadapt.recipe import (
    AdapterConfig,
    AdapterKind,
    DataConfig,
    ExportConfig,
    ModelConfig,
    Placement,
    Recipe,
    TrainingConfig,
    Tuned,
)
from edgeadapt.store.run import Run
from tests.children import open_edgeadapt, run_edgeadapt, run_limited
from tests.cli.conftest import Cli, Outcome, written
from tests.conftest import review, write_dataset
from tests.tasks import write_multi_label

Arguments = tuple[str, ...]


@pytest.fixture(scope="module")
def trained(
    tiny_arguments: Arguments, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Outcome, Path]:
    """A fresh process, where nothing that an import prints can hide, and where it worked."""
    folder = tmp_path_factory.mktemp("train")
    done = run_edgeadapt("train", *tiny_arguments, "--json", "--output", "mine", cwd=folder)
    return Outcome(done.returncode, done.stdout, done.stderr), folder


def printed_recipe(shown: str) -> Recipe:
    """The recipe that ``train`` printed before it said anything else."""
    lines = shown.splitlines()
    start = lines.index("[model]")
    end = next(
        number for number, line in enumerate(lines) if line.startswith(("Training ", "warning"))
    )
    return Recipe.from_dict(tomllib.loads("\n".join(lines[start:end])), origin="printed")


@pytest.mark.slow
def test_json_is_one_object_with_run_parameters_and_scores(trained: tuple[Outcome, Path]) -> None:
    answer, folder = trained[0].json, trained[1]

    info = Run.open(folder / answer["run"]).info
    assert answer["run"] == "artifacts/runs/mine"
    assert answer["method"] == AdapterConfig().method
    assert answer["trainable_parameters"] == info.trainable_parameters
    assert answer["total_parameters"] == info.total_parameters
    for split, scores in (("validation", info.validation), ("test", info.test)):
        assert answer[split]["accuracy"] == scores.accuracy
        assert answer[split]["macro_f1"] == scores.macro_f1
    assert answer["seconds"] > 0


@pytest.mark.slow
def test_progress_goes_to_stderr(trained: tuple[Outcome, Path]) -> None:
    shown = trained[0].err

    info = Run.open(trained[1] / "artifacts/runs/mine").info
    count, total = info.trainable_parameters, info.total_parameters
    precision = info.machine.precision
    assert 0 < count < total
    assert precision in ("fp32", "bf16")
    told = (
        f"Training {count:,} of {total:,} parameters ({count / total:.2%}) on cpu in {precision}, "
    )
    assert f"{told}64 examples." in shown
    assert "train 8/8" in shown
    assert "epoch 2: validation accuracy" in shown


def test_scores_and_the_next_command_are_shown(
    cli: Cli, tiny_arguments: Arguments, folder: Path
) -> None:
    done = cli("train", *tiny_arguments)

    assert done.code == 0, done.err
    (run,) = (folder / "artifacts/runs").iterdir()
    scores = Run.open(run).info
    lines = [" ".join(line.split()) for line in done.out.splitlines()]
    assert "texts accuracy macro-F1" in lines
    for name, score in (("validation", scores.validation), ("test", scores.test)):
        assert score is not None
        low, high = wilson_interval(score.accuracy, 24)
        accuracy = f"{score.accuracy:.1%} ±{50 * (high - low):.1f}"
        row = f"{name} 24 {accuracy} {score.macro_f1:.1%}"
        assert row in lines
    assert lines[-1] == f"run: artifacts/runs/{run.name}"
    assert done.err.splitlines()[-1] == f"next: edgeadapt export {run.name} --quantize"


def test_two_runs_without_a_name_get_different_readable_ones(
    cli: Cli, tiny_arguments: Arguments, dataset_folder: Path, folder: Path
) -> None:
    names = [Path(cli("train", *tiny_arguments, "--json").json["run"]).name for _ in range(2)]

    assert len(set(names)) == 2
    assert all(
        name.startswith(f"{dataset_folder.name}-{AdapterConfig().method}-") for name in names
    )


def test_the_recipe_is_printed_as_it_takes_effect(
    cli: Cli, tiny_arguments: Arguments, checkpoint: Path, folder: Path
) -> None:
    done = cli("train", *tiny_arguments, "--method", "head", "--seed", "7", "--output", "mine")

    recipe = printed_recipe(done.err)
    assert recipe.model.id == str(checkpoint)
    assert recipe.adapter.method == "head"
    assert recipe.training.seed == 7
    assert recipe.training.learning_rate == Tuned().rates[AdapterKind.HEAD]
    assert recipe == Recipe.load(str(folder / "artifacts/runs/mine"))


def test_rows_without_text_or_label_are_left_out_where_asked(
    cli: Cli, tiny_arguments: Arguments, folder: Path, tmp_path: Path
) -> None:
    data = write_dataset(tmp_path / "data", train=60)
    with (data / "train.csv").open("a") as file:
        file.write('"","positive"\n"a film",""\n')
    write_csv(data / "test.csv", {"text": ["a film", "a room"], "label": ["-1", "-1"]})
    asked = ("train", *tiny_arguments, "--dataset", data, "--output", "mine")

    cli(*asked).fails_with("train, row 62", "is empty", hint="--skip-unlabelled")
    cli(*asked, "--skip-unlabelled").fails_with("train, row 61", "is empty", hint="--skip-empty")
    done = cli(*asked, "--skip-empty", "--skip-unlabelled", "--split-seed", "3")

    assert done.code == 0, done.err
    assert "train: left out 1 rows with an empty text." in done.err
    assert "train: left out 1 rows with no label." in done.err
    assert "the test split is left out" in done.err
    info = Run.open(folder / "artifacts/runs/mine").info
    assert info.data.examples == {"train": 54, "validation": 24, "test": 6}
    recorded = info.recipe.data
    assert (recorded.skip_empty, recorded.skip_unlabelled, recorded.split_seed) == (True, True, 3)


@pytest.mark.parametrize(
    ("told", "default"),
    [
        ("Bottleneck width in neurons (default: {}).", AdapterConfig.dimension),
        ("Rank of LoRA (default: {}).", AdapterConfig.rank),
        ("Dropout inside the adapter (default: {:.0f}).", AdapterConfig.dropout),
        ("Examples per step (default: {}).", TrainingConfig.batch_size),
        ("Weight decay (default: {}).", TrainingConfig.weight_decay),
        ("Probability spread over all labels (default: {}).", TrainingConfig.label_smoothing),
        ("shuffling and dropout (default: {}).", TrainingConfig.seed),
        ("independent of --seed (default: {}).", DataConfig.split_seed),
        ("besides one per epoch (default: {}).", TrainingConfig.checkpoint_steps),
        ("Longest input in tokens (default: {});", ModelConfig.max_length),
        ("Passes over the data (default: {},", Tuned().epochs[AdapterKind.PARALLEL]),
        ("with --method full {}).", Tuned().epochs[AdapterKind.FULL]),
    ],
)
def test_help_tells_the_defaults_that_count(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, told: str, default: float
) -> None:
    monkeypatch.setenv("COLUMNS", "400")

    assert told.format(default) in " ".join(cli("train", "--help").out.split())


@pytest.mark.slow
def test_a_saved_recipe_is_taken_back_and_gives_the_same_weights(
    cli: Cli, trained: tuple[Outcome, Path], folder: Path
) -> None:
    first = Run.open(trained[1] / trained[0].json["run"])

    again = cli("train", "--recipe", first.path / "run.json", "--output", "again")

    assert again.code == 0, again.err
    second = Run.open(folder / "artifacts/runs/again")
    assert second.info.recipe == first.info.recipe
    assert second.info.data == first.info.data
    assert second.info.validation == first.info.validation
    for name in ("weights/adapter.safetensors", "weights/head.safetensors", "predictions.csv"):
        assert second.info.files[name] == first.info.files[name]


def test_an_option_overrides_the_recipe_file(
    cli: Cli, tiny_arguments: Arguments, tmp_path: Path, folder: Path
) -> None:
    recipe = tmp_path / "mine.toml"
    recipe.write_text('[adapter]\nmethod = "sequential"\ndimension = 9\n[training]\nseed = 3\n')

    done = cli("train", "--recipe", recipe, *tiny_arguments, "--epochs", "1", "--output", "mine")

    assert done.code == 0, done.err
    effective = Recipe.load(str(folder / "artifacts/runs/mine"))
    assert effective.adapter.method == "sequential"
    assert effective.training.seed == 3
    assert effective.adapter.dimension == 4
    assert effective.training.epochs == 1


def test_what_a_recipe_says_of_the_export_is_kept_in_the_run(
    cli: Cli, tiny_arguments: Arguments, tmp_path: Path, folder: Path
) -> None:
    recipe = tmp_path / "mine.toml"
    recipe.write_text('[export]\nquantize = true\ntrim_vocab = "auto"\nmax_drop = 0.02\n')

    done = cli("train", "--recipe", recipe, *tiny_arguments, "--epochs", "1", "--output", "mine")

    assert done.code == 0, done.err
    asked = ExportConfig(quantize=True, trim_vocab="auto", max_drop=0.02)
    assert Recipe.load(str(folder / "artifacts/runs/mine")).export == asked
    assert printed_recipe(done.err).export == asked


def test_every_option_of_the_adapter_and_the_backbone_arrives_in_the_recipe(
    cli: Cli, tiny_arguments: Arguments, folder: Path
) -> None:
    options = (
        *("--method", "houlsby+lora", "--reduction-factor", "4", "--placement", "attention"),
        *("--adapter-layers", "0", "--activation", "relu", "--scaling", "2", "--learn-scaling"),
        *("--rank", "3", "--targets", "key+ffn-out", "--dropout", "0.2", "--backbone-layers", "1"),
    )

    done = cli("train", *tiny_arguments, *options, "--epochs", "1", "--output", "mine")

    assert done.code == 0, done.err
    effective = Recipe.load(str(folder / "artifacts/runs/mine"))
    assert effective.model.layers == 1
    assert effective.adapter == replace(
        Recipe().adapter,
        method="houlsby+lora",
        dimension=4,
        reduction_factor=4.0,
        placement=Placement.ATTENTION,
        layers="0",
        activation="relu",
        scaling=2.0,
        learn_scaling=True,
        rank=3,
        targets="key+ffn-out",
        dropout=0.2,
    )
    weights = load_file(folder / "artifacts/runs/mine/weights/adapter.safetensors")
    assert {name: tuple(tensor.shape) for name, tensor in weights.items()} == {
        "houlsby.layers.0.attention.down.weight": (4, 16),
        "houlsby.layers.0.attention.down.bias": (4,),
        "houlsby.layers.0.attention.up.weight": (16, 4),
        "houlsby.layers.0.attention.up.bias": (16,),
        "houlsby.layers.0.attention.scaling": (),
        "lora.layers.0.key.a": (3, 16),
        "lora.layers.0.key.b": (16, 3),
        "lora.layers.0.ffn-out.a": (3, 24),
        "lora.layers.0.ffn-out.b": (16, 3),
    }


@pytest.mark.parametrize("named", ["first", "artifacts/runs/first"])
def test_the_option_adapter_starts_from_a_run_and_takes_over_its_shape(
    cli: Cli, tiny_arguments: Arguments, tiny_run: Run, folder: Path, named: str
) -> None:
    first = shutil.copytree(tiny_run.path, folder / "artifacts/runs/first")
    options = ("--adapter", named, "--method", "lora", "--dimension", "8", "--epochs", "1")

    done = cli("train", *tiny_arguments, *options, "--learning-rate", "1e-12", "--output", "second")

    assert done.code == 0, done.err
    effective = Recipe.load(str(folder / "artifacts/runs/second"))
    assert printed_recipe(done.err) == effective
    expected = Recipe.load(str(tiny_run.path)).adapter
    assert effective.adapter == replace(expected, start=str(first.resolve()))
    weights = [
        load_file(folder / "artifacts/runs" / name / "weights/adapter.safetensors")
        for name in ("first", "second")
    ]
    assert weights[0].keys() == weights[1].keys()
    for name, tensor in weights[0].items():
        # Steps of 1e-12 vanish; without the weights of the run, up-projections would be zero.
        torch.testing.assert_close(weights[1][name], tensor, rtol=0, atol=1e-6)


def test_a_rate_that_a_recipe_has_for_another_method_is_not_the_adapters(
    cli: Cli, tiny_arguments: Arguments, tiny_run: Run, folder: Path
) -> None:
    shutil.copytree(tiny_run.path, folder / "artifacts/runs/first")
    for method, rate in (("parallel", 0.5), ("lora", Tuned().rates[AdapterKind.PARALLEL])):
        recipe = folder / "own.toml"
        recipe.write_text(f'[adapter]\nmethod = "{method}"\n[training]\nlearning_rate = 0.5\n')
        asked = ("train", *tiny_arguments, "--recipe", recipe, "--adapter", "first", "--json")

        assert rate_of(cli(*asked, "--epochs", "1")) == rate
        assert rate_of(cli(*asked, "--epochs", "1", "--learning-rate", "0.25")) == 0.25


def test_without_a_model_the_adapters_own_is_taken_and_it_is_read_once(
    cli: Cli, tiny_arguments: Arguments, tiny_run: Run, folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    shutil.copytree(tiny_run.path, folder / "artifacts/runs/first")
    at = tiny_arguments.index("--model")
    others = tiny_arguments[:at] + tiny_arguments[at + 2 :]
    read: list[Path] = []
    real = foreign.adapter_of
    monkeypatch.setattr(foreign, "adapter_of", lambda run: (read.append(run.path), real(run))[1])

    done = cli("train", *others, "--adapter", "first", "--epochs", "1", "--output", "second")

    assert done.code == 0, done.err
    second = Run.open(folder / "artifacts/runs/second")
    assert second.info.backbone == tiny_run.info.backbone
    assert len(read) == 1


def test_an_adapter_to_start_from_that_does_not_exist_is_named(
    cli: Cli, tiny_arguments: Arguments, folder: Path
) -> None:
    cli("train", *tiny_arguments, "--adapter", "nowhere").fails_with("nowhere")

    assert written(folder) == []


def test_a_csv_with_a_byte_order_mark_and_quoted_newlines_is_trained_on(
    cli: Cli, tiny_arguments: Arguments, tmp_path: Path, folder: Path
) -> None:
    pairs = [review(number) for number in range(60)]
    rows = "".join(f'"{text}\nagain, ""good""",{label}\r\n' for text, label in pairs)
    file = tmp_path / "reviews.csv"
    file.write_bytes(("\ufefftext,label\r\n" + rows).encode())

    done = cli("train", *tiny_arguments, "--dataset", file, "--output", "mine")

    assert done.code == 0, done.err
    run = Run.open(folder / "artifacts/runs/mine")
    assert sum(run.info.data.examples.values()) == 60
    assert run.info.labels == ("negative", "positive")
    kept = read_rows(run.path / "predictions.csv") + read_rows(run.path / "validation.csv")
    assert kept
    assert all(row["text"].endswith('\nagain, "good"') for row in kept)


def test_texts_that_are_cut_are_counted(
    cli: Cli, tiny_arguments: Arguments, dataset_folder: Path, tmp_path: Path, folder: Path
) -> None:
    data = shutil.copytree(dataset_folder, tmp_path / "data")
    rows = [review(number) for number in range(64)]
    long = {3, 10, 11, 40, 63}
    texts = [text + " good" * 40 * (number in long) for number, (text, _) in enumerate(rows)]
    write_csv(data / "train.csv", {"text": texts, "label": [label for _, label in rows]})

    done = cli("train", *tiny_arguments, "--dataset", data, "--output", "mine")

    assert done.code == 0, done.err
    assert "Longer than 32 tokens and cut: 5 of 64 train" in done.err
    info = Run.open(folder / "artifacts/runs/mine").info
    assert info.data.truncated == {"train": 5, "validation": 0, "test": 0}


def test_no_word_of_cut_texts_where_none_is(
    cli: Cli, tiny_arguments: Arguments, folder: Path
) -> None:
    assert "and cut" not in cli("train", *tiny_arguments, "--epochs", "1").err


def test_texts_in_train_and_test_are_warned_about(
    cli: Cli, tiny_arguments: Arguments, dataset_folder: Path, tmp_path: Path, folder: Path
) -> None:
    data = shutil.copytree(dataset_folder, tmp_path / "data")
    rows = [review(number) for number in (0, 1, 2, 90, 91, 92)]
    texts, labels = zip(*rows, strict=True)
    write_csv(data / "test.csv", {"text": texts, "label": labels})

    done = cli("train", *tiny_arguments, "--dataset", data, "--epochs", "1")

    assert "warning: 3 of 6 test texts also occur in train." in done.err


def test_an_existing_run_is_replaced_only_by_force(
    cli: Cli, tiny_arguments: Arguments, folder: Path
) -> None:
    run = folder / "artifacts/runs/mine"
    run.mkdir(parents=True)
    (run / "notes.txt").write_text("mine")
    quick = (*tiny_arguments, "--epochs", "1", "--output", "mine")

    cli("train", *quick).fails_with("artifacts/runs/mine", "exists already", hint="--force")
    assert written(folder) == ["artifacts/runs/mine", "artifacts/runs/mine/notes.txt"]

    cli("train", *quick, "--force").fails_with("expected a folder with run.json", "notes.txt")
    assert written(folder) == ["artifacts/runs/mine", "artifacts/runs/mine/notes.txt"]

    (run / "run.json").write_text("{}")
    assert cli("train", *quick, "--force").code == 0
    assert not (run / "notes.txt").exists()
    Run.open(run).verify()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--recipe", "nonsense"), ["Unknown recipe 'nonsense'", "demo, imdb, sst2"]),
        (("--method", "magic"), ["unknown method 'magic'", "parallel, sequential"]),
        (("--method", "parallel+magic"), ["unknown method 'magic'"]),
        (("--method", "head+head"), ["'head+head'", "twice"]),
        (("--text-column", "body"), ["no column 'body'", "found text, label"]),
        (("--label-column", "stars"), ["no column 'stars'", "found text, label"]),
        (("--threads", "0"), ["--threads", "at least 1", "found 0"]),
        (("--epochs", "0"), ["--epochs", "at least 1", "found 0"]),
        (("--max-length", "2"), ["--max-length", "at least 3", "found 2"]),
        (("--activation", "magic"), ["magic"]),
        (("--reduction-factor", "0"), ["--reduction-factor", "above 0", "found 0"]),
        (("--reduction-factor", "17"), ["factor of 17 leaves no neuron", "at most 16"]),
        (("--adapter-layers", "1-2"), ["Adapter layers 1-2", "from 0 to 1"]),
        (("--adapter-layers", "last"), ["--adapter-layers", "found 'last'"]),
        (("--method", "lora", "--targets", "values"), ["unknown target 'values'", "query, key"]),
        (("--method", "lora", "--rank", "0"), ["--rank", "at least 1", "found 0"]),
        (("--method", "compacter", "--dimension", "6"), ["multiples of 4", "found 6"]),
        (("--method", "sequential+houlsby"), ["--method sequential+houlsby", "are attached to"]),
        (("--backbone-layers", "0"), ["--backbone-layers", "at least 1", "found 0"]),
        (("--backbone-layers", "3"), ["--backbone-layers 3", "expected 1 to 2"]),
        (("--model", "./nowhere"), ["no folder ./nowhere"]),
        (("--dataset", "./nowhere"), ["nowhere does not exist"]),
        (("--dataset", "nowhere.csv"), ["nowhere.csv does not exist"]),
    ],
    ids=" ".join,
)
def test_a_wrong_value_is_named_and_nothing_is_written(
    cli: Cli, tiny_arguments: Arguments, folder: Path, options: Arguments, words: list[str]
) -> None:
    cli("train", *tiny_arguments, *options).fails_with(*words)

    assert written(folder) == []


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('[adapter]\nkind = "head"\n', ["[adapter]", "'kind'", "expected one of start, method"]),
        ("[training]\nepochs = 1.5\n", ["epochs", "expected int", "1.5"]),
        ("[optimizer]\n", ["[optimizer]", "expected model, data"]),
        ("[model", ["cannot be read"]),
    ],
)
def test_a_recipe_file_that_cannot_be_used_is_named(
    cli: Cli,
    tiny_arguments: Arguments,
    tmp_path: Path,
    folder: Path,
    content: str,
    words: Arguments,
) -> None:
    recipe = tmp_path / "mine.toml"
    recipe.write_text(content)

    cli("train", "--recipe", recipe, *tiny_arguments).fails_with(str(recipe), *words)

    assert written(folder) == []


def test_a_model_type_without_a_row_lists_the_ones_that_have_one(
    cli: Cli, tiny_arguments: Arguments, tmp_path: Path, folder: Path
) -> None:
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text(json.dumps({"model_type": "gpt2"}))

    cli("train", *tiny_arguments, "--model", model).fails_with(
        "'gpt2'", f"expected one of {', '.join(BACKBONES)}"
    )

    assert written(folder) == []


def test_a_folder_without_a_checkpoint_is_named(
    cli: Cli, tiny_arguments: Arguments, tmp_path: Path, folder: Path
) -> None:
    model = tmp_path / "model"
    model.mkdir()

    cli("train", *tiny_arguments, "--model", model).fails_with(str(model), "config.json")

    assert written(folder) == []


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("data.csv", b"", ["holds no examples"]),
        ("data.csv", b"text,label\n", ["holds no examples"]),
        ("data.jsonl", b"\n", ["holds no examples"]),
        ("data.csv", b"text,label\ngood,a\n ,b\nbad,b\n", ["row 2", "text is empty"]),
        ("data.csv", b"text,label\ngood,a\nbad,a\n", ["label 'a'", "at least two labels"]),
        ("data.csv", b"text,label\ngood,a\nbad,b\ncaf\xe9,a\n", ["row 3", "UTF-8", "0xe9"]),
        ("data.csv", b"text,label\ngood,a\nbad, or not,b\n", ["row 2", "expected 2 fields"]),
        ("data.jsonl", b'{"text": "good", "label": "a"}\n{', ["row 2", "not valid JSON"]),
        ("data.csv", b"text,label\ngood,a\nbad,b\n", ["Too few different texts"]),
        ("data.parquet", b"PAR1", ["cannot be read as parquet"]),
    ],
    ids=[
        "empty file",
        "header only",
        "empty lines",
        "empty text",
        "one label",
        "latin-1",
        "comma without quotes",
        "broken JSON",
        "too few texts",
        "broken parquet",
    ],
)
def test_data_that_cannot_be_trained_on_is_named(
    cli: Cli,
    tiny_arguments: Arguments,
    tmp_path: Path,
    folder: Path,
    name: str,
    content: bytes,
    words: list[str],
) -> None:
    file = tmp_path / name
    file.write_bytes(content)

    cli("train", *tiny_arguments, "--dataset", file).fails_with(*words)

    assert written(folder) == []


def test_a_label_outside_labels_json_is_named_with_its_row(
    cli: Cli, tiny_arguments: Arguments, dataset_folder: Path, tmp_path: Path, folder: Path
) -> None:
    data = shutil.copytree(dataset_folder, tmp_path / "data")
    write_csv(
        data / "validation.csv",
        {"text": ["good film", "odd film"], "label": ["positive", "neutral"]},
    )

    cli("train", *tiny_arguments, "--dataset", data).fails_with(
        "validation, row 2", "unknown label 'neutral'", "negative, positive", hint="labels.json"
    )

    assert written(folder) == []


def test_one_label_only_in_train_is_refused_though_labels_json_names_two(
    cli: Cli, tiny_arguments: Arguments, dataset_folder: Path, tmp_path: Path, folder: Path
) -> None:
    data = shutil.copytree(dataset_folder, tmp_path / "data")
    write_csv(data / "train.csv", {"text": ["good film", "fine film"], "label": ["positive"] * 2})

    cli("train", *tiny_arguments, "--dataset", data).fails_with(
        str(data), "one label only", "at least two"
    )

    assert written(folder) == []


@pytest.mark.slow
@pytest.mark.parametrize("limit", [1_000, 20_000], ids=["weights", "curves"])
def test_a_full_disk_leaves_no_run(tiny_arguments: Arguments, tmp_path: Path, limit: int) -> None:
    done = run_limited(limit, "train", *tiny_arguments, cwd=tmp_path)

    Outcome(done.returncode, done.stdout, done.stderr).fails_with(
        "No space left", "artifacts/runs", hint="another folder"
    )
    inside = [path for path in written(tmp_path) if path.count("/") > 2]
    assert all("/checkpoint" in path for path in inside), inside


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_training_is_saved_and_goes_on(
    tiny_arguments: Arguments, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    run = tmp_path / "artifacts/runs/mine"
    asked = ("train", *tiny_arguments, "--epochs", "60", "--output", "mine")
    with open_edgeadapt(*asked, cwd=tmp_path) as process:
        wait_for_line(process, "train ")
        process.send_signal(number)
        out, err = process.communicate(timeout=120)

    assert process.returncode == code
    assert out == ""
    assert "Traceback" not in err
    assert f"edgeadapt train --resume {Path('artifacts/runs/mine')}" in err
    assert [path.name for path in run.parent.iterdir()] == ["mine"]
    assert [path.name for path in run.iterdir()] == ["checkpoint"]
    done = run_edgeadapt("train", "--resume", "mine", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["run"] == "artifacts/runs/mine"
    assert Run.open(run).info.recipe.training.epochs == 60


def test_nothing_but_a_name_goes_with_resume(
    cli: Cli, tiny_arguments: Arguments, folder: Path
) -> None:
    cli("train", "--resume", "mine", "--epochs", "3", "--force").fails_with(
        "--epochs, --force", hint="Leave them out"
    )
    cli("train", "--resume", "mine").fails_with("mine", "nothing to resume")


def test_baselines_are_shown_beside_the_run(
    cli: Cli, tiny_arguments: Arguments, folder: Path
) -> None:
    asked = ("train", *tiny_arguments, "--epochs", "1", "--output", "mine", "--baselines")

    shown = cli(*asked)
    answer = cli(*asked, "--force", "--json").json

    assert shown.code == 0, shown.err
    for method in (AdapterConfig().method, "head", "full"):
        assert [method] in [line.split()[:1] for line in shown.out.splitlines()]
    assert [row["method"] for row in answer["baselines"]] == ["head", "full"]
    assert written(folder)


def test_folds_are_shown_with_their_mean(cli: Cli, tiny_arguments: Arguments, folder: Path) -> None:
    asked = ("train", *tiny_arguments, "--epochs", "1", "--output", "mine", "--folds", "2")

    shown = cli(*asked)
    answer = cli(*asked, "--force", "--json").json

    assert shown.code == 0, shown.err
    assert f"accuracy {answer['accuracy']['mean']:.2%} ±" in " ".join(shown.out.split())
    assert answer["runs"] == ["artifacts/runs/mine-fold-1", "artifacts/runs/mine-fold-2"]
    cli(*asked, "--baselines").fails_with("--baselines and --folds")


def test_labels_are_shown_with_what_they_are_mistaken_for(
    cli: Cli, tiny_arguments: Arguments, folder: Path
) -> None:
    done = cli("train", *tiny_arguments, "--epochs", "1", "--output", "mine")

    assert {"mostly", "mistaken", "for"} <= set(done.out.split())
    assert re.search(r"(negative|positive) \(\d+\)\n", done.out)
    assert "calibration error" in " ".join(done.out.split())
    assert (folder / "artifacts/runs/mine/mistakes.html").is_file()


def wait_for_line(process: subprocess.Popen[str], beginning: str) -> None:
    """Reads standard error up to the first line that begins so."""
    assert process.stderr is not None
    seen = []
    for line in process.stderr:
        seen.append(line)
        if line.startswith(beginning):
            return
    raise AssertionError(f"no line that begins with {beginning!r}: {''.join(seen)}")


@pytest.mark.parametrize(
    "arguments",
    [
        ("--unknown",),
        ("--epochs", "many"),
        ("--device", "tpu"),
        ("--placement", "middle"),
        ("--rank", "1.5"),
        ("--reduction-factor", "half"),
        ("--backbone-layers", "all"),
        ("stray",),
        ("--output",),
    ],
    ids=" ".join,
)
def test_wrong_usage_ends_with_2(cli: Cli, folder: Path, arguments: Arguments) -> None:
    done = cli("train", *arguments)

    assert done.code == 2
    assert done.out == ""
    assert arguments[0] in done.err
    assert written(folder) == []


def test_a_method_is_trained_with_the_rate_tuned_for_it_unless_told_otherwise(
    cli: Cli, tiny_arguments: Arguments, folder: Path
) -> None:
    quick: Callable[..., float] = lambda *more: rate_of(  # noqa: E731
        cli("train", *tiny_arguments, "--epochs", "1", "--method", "bitfit", *more, "--json")
    )

    assert quick() == Tuned().rates[AdapterKind.BITFIT]
    assert quick("--learning-rate", "0.01") == 0.01


def rate_of(done: Outcome) -> float:
    rate = Run.open(Path(done.json["run"])).info.recipe.training.learning_rate
    assert isinstance(rate, float)
    return rate


def test_pairs_and_label_sets_are_options(cli: Cli, checkpoint: Path, folder: Path) -> None:
    data = write_multi_label(folder / "data", pairs=True)

    answer = cli(
        *("train", "--model", checkpoint, "--dataset", data, "--max-length", "32"),
        *("--text-pair-column", "second", "--multi-label", "--epochs", "1", "--device", "cpu"),
        *("--dimension", "4", "--output", "mine", "--json"),
    ).json

    run = Run.open(folder / answer["run"])
    assert answer["task"] == "multi-label"
    assert (run.info.task, run.info.pairs) == ("multi-label", True)
    # The saved recipe says both, so that --recipe repeats them.
    again = Recipe.load(str(run.path)).data
    assert (again.text_pair_column, again.multi_label) == ("second", True)


def test_label_sets_without_the_option_are_refused_with_it(
    cli: Cli, checkpoint: Path, folder: Path
) -> None:
    lines = [{"text": "a good film", "label": ["film", "good"]}, {"text": "bad", "label": []}]
    (folder / "train.jsonl").write_text("\n".join(map(json.dumps, lines)))

    cli("train", "--model", checkpoint, "--dataset", "train.jsonl").fails_with(
        "row 1", "expected one label, found a list", hint="--multi-label"
    )
