"""Checkpoints of training: written atomically, and the latest one is found."""

import json
from pathlib import Path

import pytest
import torch

from edgeadapt.errors import EdgeAdaptError, FormatVersionError, IntegrityError, LayoutError
from edgeadapt.recipe import Recipe
from edgeadapt.training import checkpoints as module
from edgeadapt.training.checkpoints import Begun, Checkpoint, Checkpoints

pytestmark = [pytest.mark.transformers5, pytest.mark.versions]

BEGUN = Begun("edgeadapt train", Recipe().resolved(), {"data": "0" * 64})


def state(number: int) -> Checkpoint:
    tensors = {
        "trained/weight": torch.full((2, 3), float(number)),
        "random/cpu": torch.tensor([1, 255, 7], dtype=torch.uint8),
    }
    return Checkpoint(tensors, {"steps": number, "loss": 0.1 + 0.2, "none": None})


@pytest.fixture
def checkpoints(tmp_path: Path) -> Checkpoints:
    return Checkpoints(tmp_path / "run" / "checkpoint", every=1)


def test_the_latest_state_comes_back_as_it_was(checkpoints: Checkpoints) -> None:
    with checkpoints.kept(BEGUN, anew=False):
        for number in (1, 2, 3):
            checkpoints.save(number, state(number))

    found = checkpoints.load()

    assert found is not None
    assert found.values == state(3).values
    assert found.tensors.keys() == state(3).tensors.keys()
    assert all(torch.equal(found.tensors[n], t) for n, t in state(3).tensors.items())


def test_one_state_is_kept(checkpoints: Checkpoints) -> None:
    with checkpoints.kept(BEGUN, anew=False):
        for number in (1, 2):
            checkpoints.save(number, state(number))

    assert sorted(file.name for file in checkpoints.folder.iterdir()) == [
        "about.json",
        "latest.json",
        "step-00000002.safetensors",
    ]


def test_a_second_state_of_the_same_step_spares_the_first_until_it_is_complete(
    checkpoints: Checkpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints.save(1, state(1))

    def killed(*args: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, "write_json", killed)
        with pytest.raises(KeyboardInterrupt):
            checkpoints.save(1, state(2))

    found = checkpoints.load()
    assert found is not None
    assert found.values["steps"] == 1
    checkpoints.save(1, state(3))
    again = checkpoints.load()
    assert again is not None
    assert again.values["steps"] == 3
    assert len(list(checkpoints.folder.glob("step-*"))) == 1


def test_what_is_trained_is_known_from_the_beginning(checkpoints: Checkpoints) -> None:
    with checkpoints.kept(BEGUN, anew=False):
        assert checkpoints.begun() == BEGUN
        assert not checkpoints.exist()
        assert checkpoints.load() is None


@pytest.mark.parametrize("there_before", [True, False])
def test_a_failure_before_the_first_state_leaves_nothing(
    checkpoints: Checkpoints, there_before: bool
) -> None:
    if there_before:
        checkpoints.folder.parent.mkdir()

    with pytest.raises(ZeroDivisionError), checkpoints.kept(BEGUN, anew=False):
        raise ZeroDivisionError

    assert not checkpoints.folder.exists()
    assert checkpoints.folder.parent.exists() == there_before


def test_a_failure_after_a_state_leaves_it(checkpoints: Checkpoints) -> None:
    checkpoints.save(1, state(1))

    with pytest.raises(ZeroDivisionError), checkpoints.kept(BEGUN, anew=False):
        raise ZeroDivisionError

    assert checkpoints.exist()


def test_forgotten_states_are_gone(checkpoints: Checkpoints) -> None:
    checkpoints.save(1, state(1))

    checkpoints.forget()

    assert checkpoints.load() is None
    assert list(checkpoints.folder.iterdir()) == []


@pytest.mark.parametrize("moment", ["write", "hash", "marker"])
def test_a_failure_while_saving_leaves_the_state_before(
    checkpoints: Checkpoints, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    checkpoints.save(1, state(1))

    def full(*args: object, **more: object) -> None:
        raise OSError(28, "No space left on device")

    name = {"write": "save_file", "hash": "sha256", "marker": "write_json"}[moment]
    with monkeypatch.context() as patch:
        patch.setattr(module, name, full)
        with pytest.raises((EdgeAdaptError, OSError), match="No space left"):
            checkpoints.save(2, state(2))

    found = checkpoints.load()
    assert found is not None
    assert found.values["steps"] == 1
    checkpoints.save(3, state(3))
    assert len(list(checkpoints.folder.glob("step-*"))) == 1


def test_a_damaged_state_is_refused(checkpoints: Checkpoints) -> None:
    checkpoints.save(1, state(1))
    (file,) = checkpoints.folder.glob("step-*")
    file.write_bytes(file.read_bytes()[:-1] + b"?")

    with pytest.raises(IntegrityError, match=file.name):
        checkpoints.load()


def test_a_state_of_a_newer_edgeadapt_is_refused(checkpoints: Checkpoints) -> None:
    checkpoints.save(1, state(1))
    marker = checkpoints.folder / "latest.json"
    marker.write_text(json.dumps({**json.loads(marker.read_text()), "format_version": 99}))

    with pytest.raises(FormatVersionError, match="99"):
        checkpoints.load()


@pytest.mark.parametrize("content", ['{"format_version": 1}', "[]", "{"])
def test_a_marker_that_names_nothing_is_refused(checkpoints: Checkpoints, content: str) -> None:
    checkpoints.save(1, state(1))
    (checkpoints.folder / "latest.json").write_text(content)

    with pytest.raises(LayoutError, match=r"latest\.json"):
        checkpoints.load()
