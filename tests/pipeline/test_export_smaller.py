"""``export --compress``: layers, heads and neurons are removed, and the bundle says so."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgeadapt.errors import EdgeAdaptError, ExportError, IntegrityError, UsageError
from edgeadapt.models.classifier import load_stock
from edgeadapt.pipeline.export import ExportOptions, Quantization, Trimming, export
from edgeadapt.pipeline.export_bundle import export_bundle
from edgeadapt.pipeline.train import train
from edgeadapt.recipe import Objective, Recipe
from edgeadapt.recipe.reduction import Reduction
from edgeadapt.runtime import load_engine
from edgeadapt.runtime.base import text_logits
from edgeadapt.store.bundle import Bundle
from edgeadapt.store.run import Run
from edgeadapt.store.structure import Structure
from tests.conftest import review

ANY = ExportOptions(quantize=Quantization(threads=1), max_drop=1.0, with_torch=True)
TEXTS = [review(number)[0] for number in range(300, 312)]


@pytest.fixture(scope="module")
def pruned(tiny_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    options = replace(ANY, reduction=Reduction(prune=0.4))
    return export(tiny_run, options=options, output=tmp_path_factory.mktemp("b") / "pruned")


@pytest.fixture(scope="module")
def shallow(tiny_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    options = replace(ANY, reduction=Reduction(depth=1))
    return export(tiny_run, options=options, output=tmp_path_factory.mktemp("b") / "shallow")


def answers(bundle: Bundle, variant: str) -> np.ndarray:
    return text_logits(load_engine(bundle, variant), bundle.text_encoder(), TEXTS)


def test_the_manifest_says_what_each_layer_has_left(pruned: Bundle) -> None:
    structure, compression = pruned.manifest.structure, pruned.manifest.compression
    assert structure is not None
    assert compression is not None
    assert compression.shrunk is not None

    assert compression.shrunk.after == structure
    assert compression.shrunk.before == Structure((2, 2), (28, 28))
    assert structure != compression.shrunk.before
    assert [step.name for step in compression.steps] == ["structure", "quantize"]
    assert compression.shrunk.predicted > 0
    assert compression.shrunk.measured > 0
    assert len(compression.shrunk.neuron_importance) == 2


def test_every_form_of_it_gives_the_same_answers(pruned: Bundle) -> None:
    fp32 = answers(pruned, "fp32")

    np.testing.assert_allclose(answers(pruned, "torch"), fp32, atol=1e-4)
    assert np.abs(answers(pruned, "int8") - fp32).max() < 0.5


def test_one_half_of_the_validation_text_chooses_and_the_other_judges(pruned: Bundle) -> None:
    compression = pruned.manifest.compression
    assert compression is not None

    assert [step.taken.drift.texts for step in compression.steps] == [12, 12]
    assert compression.spent.texts == 12
    assert compression.steps[-1].taken.drift != compression.spent


def test_a_bundle_with_fewer_layers_is_a_stock_checkpoint(shallow: Bundle) -> None:
    assert shallow.manifest.structure is None
    model = load_stock(shallow.path / "torch")

    assert model.config.num_hidden_layers == 1
    np.testing.assert_allclose(answers(shallow, "torch"), answers(shallow, "fp32"), atol=1e-4)


def test_the_device_chooses_a_scheme_again(pruned: Bundle, tmp_path: Path) -> None:
    again = export_bundle(
        pruned, asked=Quantization(threads=1), max_drop=1.0, output=tmp_path / "again"
    )

    assert again.manifest.structure == pruned.manifest.structure
    assert again.manifest.compression is not None
    assert again.manifest.compression.step("structure") is not None


def test_it_goes_with_a_smaller_vocabulary(tiny_run: Run, tmp_path: Path) -> None:
    options = replace(ANY, reduction=Reduction(prune=0.4), trim=Trimming(60))
    bundle = export(tiny_run, options=options, output=tmp_path / "both")

    assert bundle.manifest.compression is not None
    names = [step.name for step in bundle.manifest.compression.steps]
    assert names == ["structure", "vocabulary", "quantize"]


@pytest.mark.parametrize("objective", [Objective.LATENCY, Objective.SIZE])
def test_auto_removes_what_the_budget_allows(
    tiny_run: Run, tmp_path: Path, objective: Objective
) -> None:
    options = ExportOptions(
        quantize=Quantization(threads=1, objective=objective), reduction=Reduction(), max_drop=1.0
    )
    bundle = export(tiny_run, options=options, output=tmp_path / "auto")

    compression = bundle.manifest.compression
    assert compression is not None
    step = compression.step("structure")
    assert step is not None
    factors = {trial.name: float(str(trial.settings["factor"])) for trial in step.trials}
    assert factors[step.chosen] == max(factors.values())
    assert len(factors) >= 2


def test_of_the_models_with_the_speed_that_is_asked_for_the_nearest_to_the_original_is_chosen(
    tiny_run: Run, tmp_path: Path
) -> None:
    options = replace(ANY, quantize=None, reduction=Reduction(), speedup=1.05)
    bundle = export(tiny_run, options=options, output=tmp_path / "fast")

    compression = bundle.manifest.compression
    assert compression is not None
    assert compression.shrunk is not None
    assert compression.shrunk.predicted >= 1.05
    step = compression.step("structure")
    assert step is not None
    fast = [trial for trial in step.trials if float(str(trial.settings["factor"])) >= 1.05]
    distances = {trial.name: float(str(trial.settings["divergence"])) for trial in fast}
    assert distances[step.chosen] == min(distances.values())
    assert len(distances) >= 2


def test_a_run_whose_training_text_is_gone_is_refused(
    tiny_recipe: Callable[..., Recipe], dataset_folder: Path, tmp_path: Path
) -> None:
    data = shutil.copytree(dataset_folder, tmp_path / "data")
    recipe = tiny_recipe()
    recipe = replace(recipe, data=replace(recipe.data, dataset=str(data)))
    run = train(recipe, output=tmp_path / "r")
    options = replace(ANY, reduction=Reduction(prune=0.5))

    (data / "train.csv").write_text("text,label\nthe meal was good,positive\nno,negative\n")
    with pytest.raises(IntegrityError, match="is not the data that the run was trained on"):
        export(run, options=options, output=tmp_path / "b")

    shutil.rmtree(data)
    with pytest.raises(UsageError, match="needs the text that the run was trained on"):
        export(run, options=options, output=tmp_path / "b")


def test_more_layers_than_there_are_cannot_be_kept(tiny_run: Run, tmp_path: Path) -> None:
    options = replace(ANY, reduction=Reduction(depth=3))

    with pytest.raises(UsageError, match="--compress depth=3: expected 1 to 2, the layers of this"):
        export(tiny_run, options=options, output=tmp_path / "b")


def test_what_was_removed_can_be_trained_on(tiny_run: Run, tmp_path: Path) -> None:
    options = replace(ANY, reduction=Reduction(prune=0.6), recover=1)
    bundle = export(tiny_run, options=options, output=tmp_path / "recovered")

    assert bundle.manifest.compression is not None
    step = bundle.manifest.compression.step("structure")
    assert step is not None
    assert {trial.settings["recovered"] for trial in step.trials} == {True, False}


def test_parts_that_stay_beside_the_layers_are_refused_by_name(
    tiny_recipe: Callable[..., Recipe], tmp_path: Path
) -> None:
    run = train(tiny_recipe("houlsby"), output=tmp_path / "run")

    with pytest.raises(ExportError, match="bottlenecks stay"):
        export(run, options=replace(ANY, with_torch=False, reduction=Reduction(prune=0.5)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"speedup": 2.0, "reduction": Reduction(depth=1)}, "--speedup: expected --compress auto"),
        ({"recover": 1}, "--recover: expected --compress or --speedup"),
    ],
)
def test_options_that_contradict_each_other_are_refused(
    changes: dict[str, object], message: str
) -> None:
    with pytest.raises(EdgeAdaptError, match=message):
        replace(ExportOptions(), **changes)  # type: ignore[arg-type]
