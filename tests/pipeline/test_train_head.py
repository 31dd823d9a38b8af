"""Training from a fine-tuned classifier or adapter: labels of the head."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from edgeadapt.errors import ModelError
from edgeadapt.models.inference import torch_logits
from edgeadapt.models.opened import OpenedRun
from edgeadapt.pipeline.merge import merge_run
from edgeadapt.pipeline.train import train
from edgeadapt.pipeline.train_baselines import train_baselines
from edgeadapt.pipeline.train_folds import cross_validate
from edgeadapt.recipe import Recipe
from edgeadapt.store.run import Run
from tests.lively import finished_checkpoint
from tests.pipeline.exporting import nothing_is_at
from tests.pipeline.finished import TEXTS, Said, answers, write_data


def recipe_of(model: Path, data: Path, **more: object) -> Recipe:
    """Hardly trains: the head stays what it is at the start."""
    return Recipe.from_dict(
        {
            "model": {"id": str(model), "max_length": 32},
            "data": {"dataset": str(data)},
            "adapter": {"method": "head"},
            "training": {"epochs": 1, "device": "cpu", "learning_rate": 1e-7, **more},
        },
        origin="test",
    )


@pytest.mark.parametrize("model_type", ["bert", "roberta", "distilbert"])
@pytest.mark.parametrize("listed", [("a", "b"), ("b", "a")])
def test_a_finished_classifier_goes_on_with_its_own_labels_in_any_order(
    model_type: str, listed: tuple[str, ...], tmp_path: Path
) -> None:
    model = finished_checkpoint(tmp_path / "model", ("a", "b"), model_type)
    data, said = write_data(tmp_path / "data", model, ("a", "b"), listed), Said()

    run = train(recipe_of(model, data), output=tmp_path / "run", progress=said)

    assert run.info.labels == listed
    assert run.info.test.accuracy == run.info.validation.accuracy == 1.0
    assert len(said.about_heads()) == (listed != ("a", "b"))
    back = torch_logits(
        OpenedRun(run).classifier().model, OpenedRun(run).encoder, TEXTS, batch_size=16
    )
    expected = answers(model)[:, [("a", "b").index(name) for name in listed]]
    assert np.abs(back - expected).max() < 1e-3


@pytest.mark.parametrize(
    ("names", "config", "said"),
    [
        (("x", "y"), {}, "has other labels, x, y: a new head is drawn for a, b"),
        (("x", "y", "z"), {}, "has other labels, x, y, z"),
        (("a", "b", "c"), {}, "has other labels, a, b, c"),
        (("LABEL_0", "LABEL_1"), {}, "has no names for its 2 outputs: a new head is drawn"),
        (("a", "b"), {"problem_type": "multi_label_classification"}, "is multi-label"),
    ],
)
def test_where_the_labels_differ_a_new_head_is_drawn_and_it_is_said(
    names: tuple[str, ...], config: dict[str, str], said: str, tmp_path: Path
) -> None:
    teacher = finished_checkpoint(tmp_path / "teacher", ("a", "b"))
    data = write_data(tmp_path / "data", teacher, ("a", "b"), ("a", "b"))
    model, heard = finished_checkpoint(tmp_path / "model", names, **config), Said()

    run = train(recipe_of(model, data), output=tmp_path / "run", progress=heard)

    assert [said in line for line in heard.about_heads()] == [True]
    assert str(model) in heard.about_heads()[0]
    assert run.info.labels == ("a", "b")
    assert OpenedRun(run).classifier().model.config.id2label == {0: "a", 1: "b"}
    found = torch_logits(
        OpenedRun(run).classifier().model, OpenedRun(run).encoder, TEXTS, batch_size=16
    )
    assert np.abs(found - answers(model)[:, :2]).max() > 0.01


def test_names_that_differ_in_case_alone_are_the_same_and_it_is_said(tmp_path: Path) -> None:
    model, said = finished_checkpoint(tmp_path / "model", ("Pos", "Neg")), Said()
    data = write_data(tmp_path / "data", model, ("pos", "neg"), ("neg", "pos"))

    run = train(recipe_of(model, data), output=tmp_path / "run", progress=said)

    assert run.info.labels == ("neg", "pos")
    assert run.info.test.accuracy == 1.0
    assert "case or spaces" in said.about_heads()[0]


@pytest.mark.parametrize(
    ("names", "config"),
    [(("score",), {}), (("a", "b"), {"problem_type": "regression"})],
)
def test_a_checkpoint_for_regression_is_refused_by_name(
    names: tuple[str, ...], config: dict[str, str], tmp_path: Path
) -> None:
    teacher = finished_checkpoint(tmp_path / "teacher", ("a", "b"))
    data = write_data(tmp_path / "data", teacher, ("a", "b"), ("a", "b"))
    model = finished_checkpoint(tmp_path / "model", names, **config)

    with pytest.raises(ModelError, match="regression"):
        train(recipe_of(model, data), output=tmp_path / "r" / "run")

    assert nothing_is_at(tmp_path / "r")


def test_tables_of_labels_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    model = finished_checkpoint(tmp_path / "model", ("a", "b"))
    data = write_data(tmp_path / "data", model, ("a", "b"), ("a", "b"))
    path = model / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"label2id": {"a": 1, "b": 0}}))

    with pytest.raises(ModelError, match="contradict"):
        train(recipe_of(model, data), output=tmp_path / "run")


def test_baselines_and_folds_begin_with_the_same_outputs(tmp_path: Path) -> None:
    model, said = finished_checkpoint(tmp_path / "model", ("a", "b")), Said()
    data = write_data(tmp_path / "data", model, ("a", "b"), ("b", "a"))
    recipe = recipe_of(model, data, epochs=1)

    folds = cross_validate(recipe, folds=2, output=tmp_path / "folds", progress=said)

    assert folds.scores("accuracy") == [1.0, 1.0]
    assert len(said.about_heads()) == 1
    run = train(recipe, output=tmp_path / "run")
    said = Said()
    baselines = train_baselines(run, progress=said)
    assert [baseline.info.labels for baseline in baselines] == [("b", "a")] * 2
    assert ["order b, a" in line for line in said.about_heads()] == [True, True]


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Run]:
    """A checkpoint, data that it labelled itself, and a run that hardly trained on them."""
    folder = tmp_path_factory.mktemp("known")
    model = finished_checkpoint(folder / "model", ("a", "b"))
    data = write_data(folder / "data", model, ("a", "b"), ("a", "b"))
    return model, data, train(recipe_of(model, data), output=folder / "run")


def with_labels(data: Path, folder: Path, *listed: str) -> Path:
    """A copy of the data with other names, or the same in another order."""
    shutil.copytree(data, folder)
    (folder / "labels.json").write_text(json.dumps(listed))
    if set(listed) != {"a", "b"}:
        for file in folder.glob("*.csv"):
            text = file.read_text()
            for old, new in zip("ab", listed, strict=True):
                text = text.replace(f'"{old}"', f'"{new}"')
            file.write_text(text)
    return folder


def test_an_adapter_to_start_from_brings_its_outputs_in_the_order_of_the_data(
    known: tuple[Path, Path, Run], tmp_path: Path
) -> None:
    model, data, first = known
    turned, said = with_labels(data, tmp_path / "data", "b", "a"), Said()
    recipe = recipe_of(model, turned).updated(
        {"adapter": {"start": str(first.path)}}, origin="test"
    )

    run = train(recipe, output=tmp_path / "run", progress=said)

    assert run.info.labels == ("b", "a")
    assert run.info.test.accuracy == 1.0
    assert [str(first.path) in line for line in said.about_heads()] == [True]


def test_an_adapter_to_start_from_for_other_labels_leaves_its_head_behind_and_it_is_said(
    known: tuple[Path, Path, Run], tmp_path: Path
) -> None:
    model, data, first = known
    other, said = with_labels(data, tmp_path / "data", "x", "y"), Said()
    recipe = recipe_of(model, other).updated({"adapter": {"start": str(first.path)}}, origin="test")

    run = train(recipe, output=tmp_path / "run", progress=said)

    assert run.info.labels == ("x", "y")
    assert any("other labels, a, b" in line and str(first.path) in line for line in said.lines)


def test_a_merged_checkpoint_is_trained_on_from_what_it_knows(
    known: tuple[Path, Path, Run], tmp_path: Path
) -> None:
    _, data, first = known
    merged = merge_run(first, output=tmp_path / "merged")
    turned = with_labels(data, tmp_path / "data", "b", "a")

    run = train(recipe_of(merged.path, turned), output=tmp_path / "run")

    assert run.info.test.accuracy == 1.0
