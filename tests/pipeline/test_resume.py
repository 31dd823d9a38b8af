"""An interrupted training resumes with the same result as an uninterrupted one."""

import json
import multiprocessing
import os
import random
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import edgeadapt.pipeline.train as pipeline
from edgeadapt.data import write_csv
from edgeadapt.errors import (
    EdgeAdaptError,
    IntegrityError,
    MissingError,
    OutputExistsError,
    TrainingError,
)
from edgeadapt.pipeline.train import resume, train
from edgeadapt.recipe import Recipe
from edgeadapt.store.folders import held
from edgeadapt.store.run import Run
from edgeadapt.training import checkpoints
from edgeadapt.training.checkpoints import Checkpoint, Checkpoints
from edgeadapt.training.optimizer import Optimizer
from tests.store.manifests import change_json

pytestmark = pytest.mark.transformers5

KILLS = 20


class Killed(BaseException):
    """Stands for the end of the process: nothing handles it."""


@pytest.fixture
def recipe(tiny_recipe: Callable[..., Recipe]) -> Recipe:
    """Dropout draws random numbers at every step, so that a wrong random state is noticed."""
    recipe = tiny_recipe(epochs=3, batch_size=8, checkpoint_steps=3, threads=1)
    return recipe.updated({"adapter": {"dropout": 0.2}}, origin="test")


@pytest.fixture
def whole(recipe: Recipe, tmp_path: Path) -> Run:
    """A training that was not stopped."""
    return train(recipe, output=tmp_path / "whole")


def without_times(value: Any) -> Any:
    if isinstance(value, dict):
        timed = {"seconds", "examples_per_second", "created"}
        return {key: without_times(v) for key, v in value.items() if key not in timed}
    return value


def assert_same(one: Run, other: Run) -> None:
    """Asserts that two runs hold the same, bit for bit, but for the time that they took."""
    assert one.info.files.keys() == other.info.files.keys()
    timed = {"history.jsonl", "curves.png", "mistakes.html"}  # and titles that are names
    for name in one.info.files.keys() - timed:
        assert (one.path / name).read_bytes() == (other.path / name).read_bytes(), name
    histories = [
        [without_times(json.loads(line)) for line in (run.path / "history.jsonl").open()]
        for run in (one, other)
    ]
    assert histories[0] == histories[1]
    for field in ("recipe", "validation", "test", "data", "frozen_sha256", "best_epoch"):
        assert getattr(one.info, field) == getattr(other.info, field), field


def train_until(
    step: int,
    monkeypatch: pytest.MonkeyPatch,
    recipe: Recipe,
    *,
    error: BaseException | None = None,
    **options: Any,
) -> None:
    """Trains, and ends by an error in place of the step after so many."""
    error = error or Killed()
    real = Optimizer.step

    def counted(self: Optimizer) -> None:
        if self.steps == step:
            raise error
        real(self)

    with monkeypatch.context() as patch:
        patch.setattr(Optimizer, "step", counted)
        with pytest.raises(type(error)):
            train(recipe, **options)


@pytest.mark.parametrize("step", [3, 4, 8, 10, 23])
def test_a_training_that_goes_on_gives_the_same_run_bit_for_bit(
    recipe: Recipe, whole: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    target = tmp_path / "stopped"
    train_until(step, monkeypatch, recipe, output=target)
    torch.rand(3)  # another random state than the one it was stopped in

    assert_same(resume(target), whole)
    assert not (target / "checkpoint").exists()


def test_it_may_be_stopped_before_the_first_state_and_while_the_run_is_written(
    recipe: Recipe, whole: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "stopped"
    with monkeypatch.context() as patch:
        patch.setattr(checkpoints.shutil, "rmtree", _nothing)  # as after a kill
        train_until(1, monkeypatch, recipe, output=target)
    assert not Checkpoints(target / "checkpoint", every=0).exist()
    with monkeypatch.context() as patch:
        patch.setattr(pipeline, "draw_curves", _kill)
        with pytest.raises(Killed):
            resume(target)

    assert_same(resume(target), whole)


def killed_at_once(
    recipe: Recipe, target: Path, monkeypatch: pytest.MonkeyPatch, *, while_saving: bool = False
) -> None:
    """Leaves what a training leaves that is killed before its first state, or while it is saved."""
    with monkeypatch.context() as patch:
        patch.setattr(checkpoints.shutil, "rmtree", _nothing)  # as after a kill
        if while_saving:
            patch.setattr(checkpoints, "sha256", _kill)  # between the state and its marker
            with pytest.raises(Killed):
                train(recipe, output=target)
            assert list(target.glob("checkpoint/step-*"))
        else:
            train_until(1, monkeypatch, recipe, output=target)
    assert target.is_dir()
    assert not Checkpoints(target / "checkpoint", every=0).exist()


@pytest.mark.parametrize("while_saving", [False, True])
def test_where_there_is_no_state_yet_the_same_command_begins_anew(
    recipe: Recipe,
    whole: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    while_saving: bool,
) -> None:
    target = tmp_path / "stopped"
    killed_at_once(recipe, target, monkeypatch, while_saving=while_saving)

    assert_same(train(recipe, output=target), whole)
    assert not (target / "checkpoint").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["stopped", "whole"]


def test_a_second_failure_before_the_first_state_leaves_nothing(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed_at_once(recipe, tmp_path / "stopped", monkeypatch)

    train_until(1, monkeypatch, recipe, output=tmp_path / "stopped")

    assert list(tmp_path.iterdir()) == []


def test_what_else_is_in_the_folder_is_not_taken_for_an_unfinished_training(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed_at_once(recipe, tmp_path / "stopped", monkeypatch)
    (tmp_path / "stopped" / "notes.txt").write_text("mine")

    with pytest.raises(OutputExistsError, match="exists already"):
        train(recipe, output=tmp_path / "stopped")

    assert (tmp_path / "stopped" / "notes.txt").read_text() == "mine"


def test_a_baseline_that_was_killed_at_once_is_trained(
    recipe: Recipe, whole: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed_at_once(recipe, tmp_path / "stopped", monkeypatch)
    (tmp_path / "stopped" / "checkpoint" / "about.json").unlink()  # killed even before that

    assert_same(pipeline.complete(recipe.resolved(), tmp_path / "stopped"), whole)


def _nothing(*args: object, **more: object) -> None: ...


def _kill(*args: object, **more: object) -> None:
    raise Killed


def test_a_kill_between_the_old_folder_and_the_new_one_loses_neither(
    recipe: Recipe, whole: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "stopped"
    train_until(12, monkeypatch, recipe, output=target)
    aside = tmp_path / ".stopped.old-abc"
    aside.mkdir()
    target.rename(aside / "stopped")
    (tmp_path / ".stopped.partial-def").mkdir()

    assert_same(resume(target), whole)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["stopped", "whole"]


@pytest.mark.parametrize("method", ["head", "full", "parallel+lora+bitfit"])
def test_every_method_goes_on(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    recipe = recipe.updated({"adapter": {"method": method}}, origin="test")
    whole = train(recipe, output=tmp_path / "whole")
    train_until(11, monkeypatch, recipe, output=tmp_path / "stopped")

    assert_same(resume(tmp_path / "stopped"), whole)


def test_an_adapter_that_training_started_from_is_not_needed_again(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = train(recipe, output=tmp_path / "first")
    onward = recipe.updated({"adapter": {"start": str(first.path)}}, origin="test")
    whole = train(onward, output=tmp_path / "whole")
    train_until(5, monkeypatch, onward, output=tmp_path / "stopped")
    first.path.rename(tmp_path / "moved")

    assert_same(resume(tmp_path / "stopped"), whole)


@pytest.mark.slow
def test_twenty_kills_at_random_moments_change_nothing(
    tiny_recipe: Callable[..., Recipe], tmp_path: Path
) -> None:
    recipe = tiny_recipe(epochs=400, batch_size=8, checkpoint_steps=5, threads=1)
    recipe = recipe.updated({"adapter": {"dropout": 0.2}}, origin="test")
    whole = train(recipe, output=tmp_path / "whole")
    target = tmp_path / "killed"
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload([__name__])
    moments = random.Random(0)
    kills, states = 0, set()

    while kills < KILLS:
        child = processes.Process(target=_go, args=(recipe.to_dict(), target))
        child.start()
        child.join(moments.uniform(0.1, 0.7))
        assert not (target / "run.json").exists(), f"too short a training for {KILLS} kills"
        if child.exitcode is None:
            os.kill(child.pid, signal.SIGKILL)
            kills += 1
        child.join()
        states |= {path.name for path in target.glob("checkpoint/step-*.safetensors")}

    assert len(states) > KILLS // 4, "the kills came before anything was trained"
    assert_same(resume(target), whole)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["killed", "whole"]


def _go(recipe: dict[str, Any], target: Path) -> None:
    if (target / "checkpoint" / "about.json").exists():
        resume(target)
    else:
        train(Recipe.from_dict(recipe, origin="test"), output=target, force=True)


def test_a_training_that_was_stopped_is_not_begun_anew_by_accident(
    recipe: Recipe, whole: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "stopped"
    train_until(9, monkeypatch, recipe, output=target)

    with pytest.raises(OutputExistsError, match="holds an unfinished training") as caught:
        train(recipe, output=target)

    assert f"--resume {target}" in caught.value.hint
    assert_same(train(recipe, output=target, force=True), whole)


def test_what_is_there_stays_until_the_new_run_is_complete(
    recipe: Recipe, whole: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = recipe.updated({"training": {"seed": 5}}, origin="test")
    train_until(9, monkeypatch, other, output=whole.path, force=True)

    Run.open(whole.path).verify()
    again = resume(whole.path)

    assert again.info.recipe.training.seed == 5
    again.verify()


@pytest.mark.parametrize("what", ["data", "backbone", "tokenizer"])
def test_other_data_or_another_backbone_is_refused(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    target = tmp_path / "stopped"
    train_until(9, monkeypatch, recipe, output=target)
    about = target / "checkpoint" / "about.json"
    change_json(about, **{what: "0" * 64})

    with pytest.raises(IntegrityError, match=f"the {what} changed .* expected sha256 0{{64}}"):
        resume(target)

    assert Checkpoints(target / "checkpoint", every=0).exist()


def test_a_checkpoint_with_other_weights_is_another_backbone(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train_until(9, monkeypatch, recipe, output=tmp_path / "stopped")
    weights = Path(recipe.model.id) / "model.safetensors"
    before = weights.read_bytes()
    try:
        weights.write_bytes(before[:-4] + bytes(4))
        with pytest.raises(IntegrityError, match="the backbone changed"):
            resume(tmp_path / "stopped")
    finally:
        weights.write_bytes(before)

    resume(tmp_path / "stopped").verify()


def test_force_with_bad_input_loses_no_state(
    recipe: Recipe, whole: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "stopped"
    train_until(9, monkeypatch, recipe, output=target)
    wrong = recipe.updated({"data": {"label_column": "typo"}}, origin="test")

    with pytest.raises(EdgeAdaptError, match="typo"):
        train(wrong, output=target, force=True)

    assert_same(resume(target), whole)


def test_force_drops_the_state_and_nothing_else_that_is_there(
    recipe: Recipe, whole: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "stopped"
    train_until(9, monkeypatch, recipe, output=target)
    (target / "thesis.tex").write_text("precious")

    with pytest.raises(OutputExistsError, match=r"expected a folder with run\.json"):
        train(recipe, output=target, force=True)
    assert (target / "thesis.tex").read_text() == "precious"

    (target / "thesis.tex").unlink()
    assert_same(train(recipe, output=target, force=True), whole)


def test_what_another_process_is_training_is_left_alone(
    recipe: Recipe, whole: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "stopped"
    train_until(9, monkeypatch, recipe, output=target)
    with held(target):
        for attempt in (resume, lambda path: train(recipe, output=path, force=True)):
            with pytest.raises(OutputExistsError, match="Another process is writing"):
                attempt(target)

    assert_same(resume(target), whole)


def test_without_an_unfinished_training_there_is_nothing_to_go_on_with(
    whole: Run, tmp_path: Path
) -> None:
    for folder, hint in ((tmp_path / "nowhere", "was stopped"), (whole.path, "It is finished")):
        with pytest.raises(MissingError, match="nothing to resume") as caught:
            resume(folder)

        assert str(folder) in caught.value.message
        assert hint in caught.value.hint


def test_the_command_that_began_a_training_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEADAPT_ARTIFACTS", str(tmp_path))
    (tmp_path / "checkpoints/mine/checkpoint").mkdir(parents=True)

    with pytest.raises(MissingError) as caught:
        resume(tmp_path / "runs/mine")

    assert caught.value.hint == "Resume it with: edgeadapt pretrain --resume mine"


def test_a_full_disk_loses_the_last_interval_at_most(
    recipe: Recipe, whole: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "stopped"
    real = Checkpoints.save

    def full(self: Checkpoints, step: int, checkpoint: Checkpoint) -> None:
        if step > 9:
            raise EdgeAdaptError("No space left while writing")
        real(self, step, checkpoint)

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "save", full)
        with pytest.raises(EdgeAdaptError, match="No space"):
            train(recipe, output=target)

    found = Checkpoints(target / "checkpoint", every=0).load()
    assert found is not None
    assert found.values["steps"] == 9
    assert_same(resume(target), whole)


def test_a_failure_after_a_state_keeps_it_and_one_before_leaves_nothing(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for step, kept in ((1, False), (7, True)):
        error = TrainingError("the loss is nan")
        train_until(step, monkeypatch, recipe, error=error, output=tmp_path / str(step))
        assert (tmp_path / str(step)).exists() == kept


def test_other_labels_than_before_are_other_data(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "data"
    own.mkdir()
    for file in Path(recipe.data.dataset).glob("*.csv"):
        (own / file.name).write_bytes(file.read_bytes())
    recipe = recipe.updated({"data": {"dataset": str(own)}}, origin="test")
    train_until(9, monkeypatch, recipe, output=tmp_path / "stopped")
    write_csv(own / "test.csv", {"text": ["good"], "label": ["positive"]})

    with pytest.raises(IntegrityError, match="the data changed"):
        resume(tmp_path / "stopped")
