"""Baselines: other methods with the same data, backbone and seed."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from edgeadapt.pipeline.train import train
from edgeadapt.pipeline.train_baselines import train_baselines
from edgeadapt.recipe import AdapterKind, Recipe, Tuned


def test_head_and_full_are_trained_beside_the_run_on_the_same_data_with_its_seed(
    tiny_recipe: Callable[..., Recipe], tmp_path: Path
) -> None:
    run = train(
        tiny_recipe(epochs=1, seed=5, learning_rate=0.5, head_rate=0.3, label_smoothing=0.1),
        output=tmp_path / "mine",
    )

    head, full = train_baselines(run)

    assert (head.path.name, full.path.name) == ("mine-head", "mine-full")
    for baseline, kind in ((head, AdapterKind.HEAD), (full, AdapterKind.FULL)):
        info = baseline.info
        assert info.recipe.adapter.method == kind
        assert info.recipe.training == replace(
            run.info.recipe.training,
            learning_rate=Tuned().rates[kind],
            head_rate=1.0,
            epochs=1,
        )
        assert info.recipe.data == run.info.recipe.data
        assert info.data.fingerprint == run.info.data.fingerprint
        assert info.backbone == run.info.backbone
    times = [baseline.path.joinpath("run.json").stat().st_mtime_ns for baseline in (head, full)]
    again = train_baselines(run)
    assert [each.path.joinpath("run.json").stat().st_mtime_ns for each in again] == times
    assert full.info.trainable_parameters == full.info.total_parameters
    assert head.info.trainable_parameters < run.info.trainable_parameters


def test_each_baseline_is_trained_for_as_long_as_is_best_for_it_where_the_run_was(
    tiny_recipe: Callable[..., Recipe], tmp_path: Path
) -> None:
    run = train(tiny_recipe(epochs=None), output=tmp_path / "mine")
    assert run.info.recipe.training.epochs == Tuned().epochs[AdapterKind.PARALLEL]

    found = [baseline.info.recipe.training.epochs for baseline in train_baselines(run)]

    assert found == [Tuned().epochs[kind] for kind in (AdapterKind.HEAD, AdapterKind.FULL)]
