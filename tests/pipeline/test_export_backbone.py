"""Export of a run whose backbone has changed is rejected."""

import json
import shutil
from pathlib import Path

import pytest
from safetensors.numpy import load_file, save_file

from edgeadapt.errors import (
    EdgeAdaptError,
    IntegrityError,
    ModelError,
)
from edgeadapt.pipeline.export import export
from edgeadapt.pipeline.train import train
from edgeadapt.store.manifests import write_manifest
from edgeadapt.store.run import UNFINISHED, Run
from edgeadapt.training.resumable import Resumable
from tests.lively import lively_recipe
from tests.pipeline.exporting import PLAIN, nothing_is_at
from tests.store.manifests import change_json


@pytest.fixture
def own_run(tmp_path: Path) -> Run:
    """A run whose backbone may be damaged."""
    recipe = lively_recipe(tmp_path / "own", epochs=1)
    return train(recipe, output=tmp_path / "own" / "run")


def test_a_run_with_a_changed_file_is_refused_and_named(run: Run, tmp_path: Path) -> None:
    copy = Run.open(Path(shutil.copytree(run.path, tmp_path / "run")))
    file = copy.path / "weights" / "head.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"\0")

    with pytest.raises(IntegrityError, match=r"head\.safetensors is not the file"):
        export(copy, options=PLAIN, output=tmp_path / "b" / "x")
    assert nothing_is_at(tmp_path / "b")


def test_a_backbone_whose_weights_changed_is_refused_with_both_hashes(
    own_run: Run, tmp_path: Path
) -> None:
    file = Path(own_run.info.recipe.model.id) / "model.safetensors"
    tensors = load_file(file)
    tensors["encoder.layer.1.output.dense.bias"][3] += 1e-3
    save_file(tensors, file, metadata={"format": "pt"})

    with pytest.raises(IntegrityError, match=r"not the backbone that .* was trained on") as got:
        export(own_run, options=PLAIN, output=tmp_path / "b" / "x")
    assert str(file.parent) in got.value.message
    assert f"sha256 {own_run.info.frozen_sha256.after}, found" in got.value.message
    assert nothing_is_at(tmp_path / "b")


@pytest.mark.parametrize(
    "change", [{"hidden_act": "relu"}, {"num_attention_heads": 4}, {"layer_norm_eps": 0.5}], ids=str
)
def test_a_backbone_that_computes_something_else_is_refused(
    own_run: Run, tmp_path: Path, change: dict[str, object]
) -> None:
    file = Path(own_run.info.recipe.model.id) / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))

    with pytest.raises(EdgeAdaptError, match="backbone"):
        export(own_run, options=PLAIN, output=tmp_path / "b" / "x")
    assert nothing_is_at(tmp_path / "b")


def test_a_backbone_that_is_gone_is_named(own_run: Run, tmp_path: Path) -> None:
    checkpoint = Path(own_run.info.recipe.model.id)
    shutil.rmtree(checkpoint)

    with pytest.raises(ModelError, match=f"no folder {checkpoint}"):
        export(own_run, options=PLAIN, output=tmp_path / "b" / "x")
    assert nothing_is_at(tmp_path / "b")


def test_an_older_run_and_an_older_unfinished_training_keep_the_splits_they_had(
    tiny_run: Run, tmp_path: Path
) -> None:
    recorded = tiny_run.info.recipe.to_dict()
    recorded["training"]["seed"] = 7
    del recorded["data"]["split_seed"]
    run = Path(shutil.copytree(tiny_run.path, tmp_path / "older"))
    change_json(run / "run.json", recipe=recorded)
    older = Run.open(run)

    assert older.info.recipe.data.split_seed == 7
    about = {"command": "edgeadapt train", "recipe": recorded}
    write_manifest(tmp_path / "run" / UNFINISHED / "about.json", about, version=2)
    begun = Resumable("edgeadapt train", tmp_path / "run").begun()
    assert begun.recipe == older.info.recipe
