"""Conversion of runs of version 1 to version 2."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgeadapt.errors import LayoutError
from edgeadapt.store.run import Run, RunInfo

SAMPLE = Path(__file__).parents[1] / "assets" / "samples" / "run-1"


@pytest.fixture
def opened(tmp_path: Path) -> Callable[..., RunInfo]:
    """Opens the sample of version 1, its ``run.json`` changed."""

    def make(**changes: Any) -> RunInfo:
        path = Path(shutil.copytree(SAMPLE, tmp_path / "old"))
        value = json.loads((path / "run.json").read_text())
        (path / "run.json").write_text(json.dumps({**value, **changes}))
        return Run.open(path).info

    return make


def test_what_it_says_of_data_machine_and_scores_is_kept(opened: Callable[..., RunInfo]) -> None:
    found = opened()

    assert found.data.examples == {"train": 64, "validation": 24, "test": 24}
    assert found.data.shared["test in train"] == 0
    assert (found.machine.cpu, found.machine.precision) == ("AMD EPYC", "bf16")
    assert found.test is not None
    assert (found.test.accuracy, found.test.confusion) == (1.0, ((12, 0), (0, 12)))
    assert found.frozen_sha256.before == found.frozen_sha256.after
    assert found.backbone.model_type == "bert"


def test_empty_scores_are_none(opened: Callable[..., RunInfo]) -> None:
    found = opened(validation={}, test={})

    assert (found.validation, found.test) == (None, None)


def test_what_was_told_once_and_is_not_any_more_is_left_out(opened: Callable[..., RunInfo]) -> None:
    found = opened(
        machine={"device": "cuda", "hostname": "box"}, data={"examples": {}, "languages": 2}
    )

    assert (found.machine.cpu, found.machine.device) == ("unknown", "cuda")
    assert found.data.examples == {}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"machine": "mine"}, "machine: expected an object, found 'mine'"),
        ({"test": 0.5}, "test: expected an object, found 0.5"),
        ({"test": {"texts": 1}}, "test: the key 'accuracy' is missing"),
        ({"backbone": {}}, "backbone: the key 'id' is missing"),
        ({"data": {"examples": [1]}}, "data.examples: expected an object, found a list of 1"),
        ({"surprise": 1}, "unknown key 'surprise'"),
    ],
)
def test_a_value_of_another_type_is_named(
    opened: Callable[..., RunInfo], changes: dict[str, object], expected: str
) -> None:
    with pytest.raises(LayoutError, match=r"run\.json is not a run's: ") as caught:
        opened(**changes)
    assert expected in caught.value.message
