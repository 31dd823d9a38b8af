"""Runs and bundles of tiny models whose predictions depend on the text."""

from collections.abc import Iterator, Mapping

import pytest

from edgeadapt.pipeline.export import export
from edgeadapt.pipeline.train import train
from edgeadapt.recipe import Recipe
from edgeadapt.store.bundle import Bundle
from edgeadapt.store.run import Run
from tests.lively import lively_bundle, lively_recipe, lively_run
from tests.pipeline.exporting import METHODS, WITHOUT_LIMIT
from tests.steady import steady_latencies


@pytest.fixture
def steady() -> Iterator[None]:
    """Exports start no processes to measure latency."""
    with steady_latencies():
        yield


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return lively_run(tmp_path_factory)


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return lively_bundle(tmp_path_factory)


@pytest.fixture(scope="session")
def runs(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Run]:
    """A run per method."""
    folder = tmp_path_factory.mktemp("methods")
    recipe = Recipe.load(str(run.path))
    found = {"parallel": run}
    for method in METHODS[1:]:
        changes = {"adapter": {"method": method}, "training": {"learning_rate": 5e-3}}
        found[method] = train(recipe.updated(changes, origin="test"), output=folder / method)
    return found


@pytest.fixture(scope="session")
def bundles(runs: Mapping[str, Run], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Bundle]:
    """A bundle with int8 per method."""
    folder = tmp_path_factory.mktemp("method-bundles")
    with steady_latencies():
        return {
            method: export(run, options=WITHOUT_LIMIT, output=folder / method)
            for method, run in runs.items()
        }


@pytest.fixture(scope="session")
def accurate_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run that has learned its task, so that there is accuracy to lose."""
    folder = tmp_path_factory.mktemp("accurate")
    run = train(lively_recipe(folder, method="full", epochs=12), output=folder / "run")
    assert run.info.validation.accuracy > 0.75
    return run
