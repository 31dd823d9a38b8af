"""``edgeadapt merge``: a checkpoint for other tools."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from edgeadapt.errors import ExportError, GateError, OutputExistsError
from edgeadapt.models.merge import Merged
from edgeadapt.models.opened import OpenedRun
from edgeadapt.pipeline import merge as pipeline
from edgeadapt.pipeline.merge import Checkpoint, merge_run
from edgeadapt.pipeline.train import train
from edgeadapt.store.run import Run
from tests.conftest import TINY_CONFIGS, review
from tests.lively import lively_recipe, lively_run
from tests.pipeline.exporting import content, nothing_is_at

TEXTS = [review(number)[0] for number in range(100, 108)]


def run_logits(run: Run) -> np.ndarray:
    from edgeadapt.models.inference import torch_logits

    return torch_logits(
        OpenedRun(run).classifier().model, OpenedRun(run).encoder, TEXTS, batch_size=8
    )


@pytest.fixture(scope="module")
def checkpoint(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return merge_run(run, output=tmp_path_factory.mktemp("merged") / "checkpoint")


@pytest.mark.parametrize("model_type", TINY_CONFIGS)
def test_plain_transformers_loads_it_with_no_key_missing_or_unexpected(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, model_type: str
) -> None:
    run = lively_run(tmp_path_factory, model_type)

    merged = merge_run(run, output=tmp_path / "checkpoint")

    model, report = AutoModelForSequenceClassification.from_pretrained(
        merged.path, output_loading_info=True
    )
    assert not any(report[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    tokens = AutoTokenizer.from_pretrained(merged.path)(TEXTS, padding=True, return_tensors="pt")
    tokens = {name: tokens[name] for name in ("input_ids", "attention_mask")}
    with torch.inference_mode():
        found = model(**tokens).logits.numpy()
    np.testing.assert_allclose(found, run_logits(run), atol=1e-5)


def test_its_labels_are_the_runs(checkpoint: Checkpoint, run: Run) -> None:
    model = AutoModelForSequenceClassification.from_pretrained(checkpoint.path)

    assert tuple(model.config.id2label.values()) == run.info.labels


def test_it_tells_nothing_of_the_folder_it_was_trained_from(checkpoint: Checkpoint) -> None:
    assert "checkpoint" not in (checkpoint.path / "config.json").read_text()


@pytest.mark.slow
def test_optimum_exports_it(checkpoint: Checkpoint, run: Run, tmp_path: Path) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "optimum.commands.optimum_cli", "export", "onnx"),
            *("--model", str(checkpoint.path), "--task", "text-classification"),
            str(tmp_path / "onnx"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    session = onnxruntime.InferenceSession(tmp_path / "onnx" / "model.onnx")
    batch = OpenedRun(run).encoder.batch(TEXTS)
    found = session.run(None, batch.select([value.name for value in session.get_inputs()]))[0]
    np.testing.assert_allclose(found, run_logits(run), atol=1e-4)


def test_its_parity_is_proven_on_the_reloaded_model(checkpoint: Checkpoint) -> None:
    assert checkpoint.parity.texts == 64
    assert 0 < checkpoint.parity.max_difference <= checkpoint.parity.limit == 1e-5


def test_a_checkpoint_with_other_answers_is_not_written(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = pipeline.merge

    def crooked(classifier: object) -> Merged:
        merged = real(classifier)
        with torch.no_grad():
            merged.model.classifier.bias += 0.01
        return merged

    monkeypatch.setattr(pipeline, "merge", crooked)

    with pytest.raises(GateError, match=r"Merged checkpoint.*differ by up to 0\.01"):
        merge_run(run, output=tmp_path / "m" / "checkpoint")
    assert nothing_is_at(tmp_path / "m")


def test_adapters_that_do_not_fold_are_refused_by_number(tmp_path: Path) -> None:
    run = train(lively_recipe(tmp_path, method="houlsby", epochs=1), output=tmp_path / "run")

    with pytest.raises(ExportError, match=r"4 bottlenecks with [\d,]+ parameters") as caught:
        merge_run(run, output=tmp_path / "m" / "checkpoint")

    assert "--method parallel" in caught.value.hint
    assert nothing_is_at(tmp_path / "m")


def test_an_existing_folder_is_kept_unless_it_may_be_replaced(
    checkpoint: Checkpoint, run: Run, tmp_path: Path
) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "note").write_text("mine")

    for force in (False, True):  # it is no checkpoint
        with pytest.raises(OutputExistsError):
            merge_run(run, output=tmp_path / "taken", force=force)
    assert content(tmp_path / "taken") == {"note": b"mine"}

    (tmp_path / "taken" / "config.json").write_text("{}")
    merge_run(run, output=tmp_path / "taken", force=True)
    assert content(tmp_path / "taken").keys() == content(checkpoint.path).keys()
