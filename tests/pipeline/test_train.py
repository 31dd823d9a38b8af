"""The training pipeline: content of a run, correctness of its figures, failures."""

import csv
import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from tokenizers import Tokenizer
from transformers import AutoTokenizer

import edgeadapt.pipeline.train as pipeline
from edgeadapt import __version__
from edgeadapt.errors import EdgeAdaptError, OutputExistsError, TrainingError
from edgeadapt.metrics import probabilities
from edgeadapt.models import run_files
from edgeadapt.models.classifier import AdaptedClassifier
from edgeadapt.models.inference import torch_logits
from edgeadapt.models.opened import OpenedRun
from edgeadapt.models.sources import find_model
from edgeadapt.pipeline.export import export
from edgeadapt.pipeline.train import train
from edgeadapt.recipe import Recipe, Task
from edgeadapt.store.run import Run
from edgeadapt.text import TextEncoder
from edgeadapt.training.objectives import Objective
from edgeadapt.training.outcome import Outcome
from tests.listener import Listener
from tests.lively import lively_recipe, lively_run

FILES = {
    "weights/adapter.safetensors",
    "weights/head.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    "calibration.csv",
    "validation.csv",
    "vocabulary.json",
    "predictions.csv",
    "mistakes.html",
    "history.jsonl",
    "curves.png",
}
Fit = Callable[..., Outcome]
Trained = Mapping[str, torch.nn.Parameter]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return lively_run(tmp_path_factory)


@pytest.fixture
def recipe(run: Run) -> Recipe:
    """The recipe of ``run``, one epoch only."""
    return Recipe.load(str(run.path)).updated({"training": {"epochs": 1}}, origin="test")


@pytest.fixture
def no_fit(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Notes that training was begun, and fails."""
    begun: list[str] = []

    def fail(*_arguments: object, **_options: object) -> Outcome:
        begun.append("fit")
        raise TrainingError("stopped by the test")

    monkeypatch.setattr(pipeline, "fit", fail)
    return begun


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def events(run: Run, kind: str) -> list[dict[str, float]]:
    lines = (run.path / "history.jsonl").read_text().splitlines()
    return [event for event in map(json.loads, lines) if event["event"] == kind]


def restored(run: Run) -> AdaptedClassifier:
    """The run's classifier, put together again from backbone and weights."""
    recipe = Recipe.load(str(run.path))
    torch.manual_seed(99)
    classifier = AdaptedClassifier.build(find_model(recipe.model), run.info.labels, recipe.adapter)
    classifier.load(run.path / "weights")
    return classifier


def folder_state(folder: Path) -> dict[str, str]:
    files = [file for file in folder.rglob("*") if file.is_file()]
    return {str(file): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def test_a_run_holds_every_file_and_no_other(run: Run) -> None:
    found = {
        file.relative_to(run.path).as_posix() for file in run.path.rglob("*") if file.is_file()
    }

    assert found == FILES | {"run.json"}
    assert set(run.info.files) == FILES
    run.verify()


def test_the_returned_run_is_the_one_on_disk(run: Run) -> None:
    assert Run.open(run.path) == run
    assert run.info.edgeadapt == __version__
    assert run.info.labels == ("negative", "positive")


def test_the_weights_are_the_trained_tensors_and_nothing_else(run: Run) -> None:
    tensors = load_file(run.path / "weights" / "adapter.safetensors")
    tensors |= load_file(run.path / "weights" / "head.safetensors")
    expected = restored(run).trained()

    assert {name: t.shape for name, t in tensors.items()} == {
        name: tuple(parameter.shape) for name, parameter in expected.items()
    }
    assert run.info.trainable_parameters == sum(t.size for t in tensors.values())


def test_the_weights_are_no_longer_the_initial_ones(run: Run) -> None:
    tensors = load_file(run.path / "weights" / "adapter.safetensors")
    up = {name: t for name, t in tensors.items() if ".up." in name}

    # A parallel adapter starts with zeros there.
    assert up
    assert all(np.abs(t).max() > 0 for t in up.values())


def test_the_total_is_the_checkpoints_frozen_weights_plus_the_trained_ones(run: Run) -> None:
    checkpoint = load_file(Path(run.info.recipe.model.id) / "model.safetensors")
    frozen = sum(t.size for name, t in checkpoint.items() if not name.startswith("pooler."))

    assert run.info.total_parameters == frozen + run.info.trainable_parameters


def test_the_test_figures_follow_from_predictions_csv(run: Run) -> None:
    rows = read_csv(run.path / "predictions.csv")
    hits = dict.fromkeys(run.info.labels, 0)
    for row in rows:
        hits[row["label"]] += row["label"] == row["prediction"]
    names = run.info.labels
    occurs = {name: sum(row["label"] == name for row in rows) for name in names}
    chosen = {name: sum(row["prediction"] == name for row in rows) for name in names}
    f1 = [2 * hits[name] / (occurs[name] + chosen[name]) for name in names]

    assert run.info.test.texts == len(rows) == 24
    assert run.info.test.accuracy == pytest.approx(sum(hits.values()) / len(rows))
    assert run.info.test.macro_f1 == pytest.approx(sum(f1) / len(f1))
    assert run.info.test.recall == pytest.approx([hits[n] / occurs[n] for n in names])


def test_predictions_csv_holds_the_test_split_in_its_order(run: Run) -> None:
    data = Path(run.info.recipe.data.dataset)
    expected = [(row["text"], row["label"]) for row in read_csv(data / "test.csv")]

    found = [(row["text"], row["label"]) for row in read_csv(run.path / "predictions.csv")]
    assert found == expected


def test_the_predictions_are_those_of_the_saved_weights(run: Run) -> None:
    rows = read_csv(run.path / "predictions.csv")
    encoder = TextEncoder.from_file(run.path / "tokenizer.json", max_length=32, pad_id=0)

    logits = torch_logits(restored(run).model, encoder, [r["text"] for r in rows], batch_size=1)

    assert logits.std(axis=0).min() > 0.01, "the answers must depend on the text"
    chosen = [run.info.labels[label] for label in logits.argmax(axis=1)]
    assert [row["prediction"] for row in rows] == chosen
    confidence = [float(row["confidence"]) for row in rows]
    assert confidence == pytest.approx(
        probabilities(logits, Task.SINGLE_LABEL).max(axis=1), abs=1e-5
    )


def test_validation_csv_holds_the_validation_split_in_its_order(run: Run) -> None:
    data = Path(run.info.recipe.data.dataset)

    assert read_csv(run.path / "validation.csv") == read_csv(data / "validation.csv")


def test_the_history_has_every_epoch_and_the_best_one_is_the_runs(run: Run) -> None:
    epochs = events(run, "epoch")
    best = max(epochs, key=lambda event: (event["accuracy"], -event["validation_loss"]))

    assert [event["epoch"] for event in epochs] == [1, 2]
    assert run.info.best_epoch == best["epoch"]
    assert run.info.validation.accuracy == best["accuracy"]
    assert run.info.validation.macro_f1 == best["macro_f1"]


def test_the_history_ends_with_the_last_step(run: Run) -> None:
    steps = events(run, "step")

    # 64 examples at 16 a step, twice.
    assert steps[-1]["step"] == events(run, "epoch")[-1]["step"] == 8
    assert all(np.isfinite(event["loss"]) for event in steps)


def test_the_curves_are_a_picture(run: Run) -> None:
    content = (run.path / "curves.png").read_bytes()

    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    assert len(content) > 5_000


def test_the_tokenizer_of_a_run_does_not_pad(run: Run) -> None:
    tokenizer = Tokenizer.from_file(str(run.path / "tokenizer.json"))

    assert tokenizer.padding is None
    assert len(tokenizer.encode("film").ids) == 3


def test_a_tokenizer_that_cuts_on_the_left_does_so_in_training_runs_and_bundles(
    recipe: Recipe, tmp_path: Path
) -> None:
    checkpoint = shutil.copytree(recipe.model.id, tmp_path / "checkpoint")
    config = json.loads((checkpoint / "tokenizer_config.json").read_text())
    (checkpoint / "tokenizer_config.json").write_text(
        json.dumps(config | {"truncation_side": "left"})
    )
    recipe = recipe.updated({"model": {"id": str(checkpoint), "max_length": 6}}, origin="test")
    # "the film was good and meal bright ...": of the first texts nothing but the ends is seen.
    ends = ["[CLS]", "and", "meal", "bright", "film", "[SEP]"]
    text = " ".join(["the film was good", *ends[1:-1]])

    run = train(recipe, output=tmp_path / "run")
    bundle = export(run, output=tmp_path / "bundle")

    assert run.info.data.truncated["train"] == 64
    pieces = json.loads((run.path / "vocabulary.json").read_text())
    assert "was" not in pieces  # the third word of every text
    for encoder in (OpenedRun(run).encoder, bundle.text_encoder()):
        assert encoder.truncation_side == "left"
        ids = encoder.encode([text])[0].ids
        assert [encoder.tokenizer.id_to_token(number) for number in ids] == ends
    stock = AutoTokenizer.from_pretrained(bundle.path)
    assert stock(text, truncation=True)["input_ids"] == ids


def test_the_frozen_weights_are_the_checkpoints_before_and_after(run: Run) -> None:
    recipe = Recipe.load(str(run.path))
    fresh = AdaptedClassifier.build(find_model(recipe.model), run.info.labels, recipe.adapter)

    hashes = run.info.frozen_sha256
    assert hashes.before == hashes.after == fresh.frozen_sha256()


def test_the_saved_recipe_is_effective_and_can_be_used_again(run: Run) -> None:
    recipe = Recipe.load(str(run.path))

    assert recipe == run.info.recipe
    assert recipe.training.learning_rate == 5e-3
    assert recipe.model.max_length == 32
    assert Path(recipe.model.id).is_absolute()
    assert Path(recipe.data.dataset).is_absolute()


def test_the_data_is_described(run: Run) -> None:
    data = run.info.data

    assert data.examples == {"train": 64, "validation": 24, "test": 24}
    assert data.truncated == {"train": 0, "validation": 0, "test": 0}
    assert data.shared == {
        "validation in train": 0,
        "test in train": 0,
        "test in validation": 0,
    }
    assert len(data.fingerprint) == 64


def test_a_longest_input_beyond_the_positions_is_saved_as_what_was_used(
    recipe: Recipe, tmp_path: Path
) -> None:
    recipe = recipe.updated({"model": {"max_length": 500}}, origin="test")
    listener = Listener()

    run = train(recipe, output=tmp_path / "run", progress=listener)

    assert run.info.recipe.model.max_length == 40
    assert "Inputs are cut to 40 tokens instead of 500" in "".join(listener.said)


def test_the_same_recipe_gives_the_same_weights_and_another_seed_others(
    recipe: Recipe, tmp_path: Path
) -> None:
    other = recipe.updated({"training": {"seed": 1}}, origin="test")
    first, again, different = (
        train(r, output=tmp_path / name)
        for name, r in (("first", recipe), ("again", recipe), ("different", other))
    )

    for name in ("weights/adapter.safetensors", "weights/head.safetensors", "predictions.csv"):
        assert again.info.files[name] == first.info.files[name], name
        assert different.info.files[name] != first.info.files[name], name


@pytest.mark.parametrize(
    ("method", "files"),
    [
        ("head", {"weights/head.safetensors"}),
        ("houlsby", {"weights/head.safetensors", "weights/adapter.safetensors"}),
        ("parallel+bitfit", {"weights/head.safetensors", "weights/adapter.safetensors"}),
    ],
)
def test_every_method_trains_through_the_same_pipeline(
    recipe: Recipe, tmp_path: Path, method: str, files: set[str]
) -> None:
    recipe = recipe.updated({"adapter": {"method": method}}, origin="test")

    run = train(recipe, output=tmp_path / "run")

    assert {name for name in run.info.files if name.startswith("weights/")} == files
    tensors = [load_file(run.path / name) for name in files]
    count = sum(tensor.size for file in tensors for tensor in file.values())
    assert run.info.trainable_parameters == count
    assert run.info.frozen_sha256.before == run.info.frozen_sha256.after


def test_only_the_first_validation_examples_are_kept(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_files, "KEPT_EXAMPLES", 5)

    run = train(recipe, output=tmp_path / "run")

    data = Path(recipe.data.dataset)
    assert read_csv(run.path / "validation.csv") == read_csv(data / "validation.csv")[:5]
    assert run.info.validation.texts == 24


def test_without_a_name_a_run_gets_a_new_readable_one_each_time(
    recipe: Recipe, in_empty_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("EDGEADAPT_ARTIFACTS", raising=False)

    first, second = train(recipe), train(recipe)

    names = sorted(path.name for path in (in_empty_folder / "artifacts" / "runs").iterdir())
    assert names == sorted([first.name, second.name])
    assert first.name != second.name
    assert all(name.startswith("data-parallel-") for name in names)


def test_training_leaves_the_checkpoint_as_it_was(tmp_path: Path) -> None:
    recipe = lively_recipe(tmp_path, epochs=1, learning_rate=0.1)
    before = folder_state(tmp_path / "checkpoint")

    train(recipe, output=tmp_path / "runs" / "run")

    assert folder_state(tmp_path / "checkpoint") == before


def after_fit(change: Callable[[Objective, Trained], None]) -> Fit:
    """Training that changes the model once more at its end."""
    real = pipeline.fit

    def fit(objective: Objective, trained: Trained, **options: object) -> Outcome:
        outcome = real(objective, trained, **options)  # type: ignore[arg-type]
        with torch.no_grad():
            change(objective, trained)
        return outcome

    return fit


def nudge_frozen(objective: Objective, trained: Trained) -> None:
    objective.model.get_parameter("bert.encoder.layer.1.attention.self.query.weight")[0, 0] += 1e-6


def nudge_trained(objective: Objective, trained: Trained) -> None:
    trained["parallel.layers.0.ffn.up.bias"][0] += 1e-3


def assert_only_a_checkpoint(runs: Path) -> None:
    """Asserts that there is nothing but what training can go on from."""
    assert [path.name for path in runs.iterdir()] == ["run"]
    assert [path.name for path in (runs / "run").iterdir()] == ["checkpoint"]


def test_a_frozen_weight_that_changes_is_an_error_and_leaves_no_run(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    monkeypatch.setattr(pipeline, "fit", after_fit(nudge_frozen))

    with pytest.raises(TrainingError, match=r"Frozen weights changed.*before, .* after") as caught:
        train(recipe, output=tmp_path / "runs" / "run")
    assert run.info.frozen_sha256.before in caught.value.message
    assert_only_a_checkpoint(tmp_path / "runs")


def test_a_trained_weight_may_change(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "fit", after_fit(nudge_trained))

    assert train(recipe, output=tmp_path / "runs" / "run").info.frozen_sha256.after


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_interrupted_training_leaves_a_checkpoint(
    recipe: Recipe,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: type[BaseException],
) -> None:
    def stop(objective: Objective, trained: Trained) -> None:
        raise error("stopped")

    monkeypatch.setattr(pipeline, "fit", after_fit(stop))

    with pytest.raises(error):
        train(recipe, output=tmp_path / "runs" / "run")
    assert_only_a_checkpoint(tmp_path / "runs")


def test_a_failure_while_files_are_written_leaves_a_checkpoint(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_arguments: object, **_options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pipeline, "draw_curves", full)

    with pytest.raises(EdgeAdaptError, match=f"No space left while writing to {tmp_path}"):
        train(recipe, output=tmp_path / "runs" / "run")
    assert_only_a_checkpoint(tmp_path / "runs")


def test_an_existing_run_is_not_replaced_and_nothing_is_trained(
    recipe: Recipe, tmp_path: Path, no_fit: list[str]
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine.txt").write_text("keep")
    before = folder_state(tmp_path)

    with pytest.raises(OutputExistsError, match="run exists already") as caught:
        train(recipe, output=tmp_path / "run")
    assert "--force" in caught.value.hint
    assert folder_state(tmp_path) == before
    assert no_fit == []


def test_an_existing_run_is_replaced_by_force(recipe: Recipe, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "old.txt").write_text("old")
    (tmp_path / "run" / "run.json").write_text("{}")

    run = train(recipe, output=tmp_path / "run", force=True)

    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    assert not (run.path / "old.txt").exists()
    run.verify()


def test_a_failed_training_by_force_leaves_the_old_run_as_it_was(
    recipe: Recipe, tmp_path: Path, no_fit: list[str]
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "old.txt").write_text("old")
    (tmp_path / "run" / "run.json").write_text("{}")
    before = folder_state(tmp_path)

    with pytest.raises(TrainingError, match="stopped by the test"):
        train(recipe, output=tmp_path / "run", force=True)
    assert no_fit == ["fit"]
    assert folder_state(tmp_path) == before
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
