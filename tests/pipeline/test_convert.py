"""``edgeadapt convert``: our adapters, loaded by the real libraries and imported again."""

import json
import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from adapters import AutoAdapterModel
from peft import PeftModel
from torch import nn
from transformers import AutoModelForSequenceClassification

from edgeadapt.errors import IntegrityError, LayoutError, ModelError, OutputExistsError
from edgeadapt.models.inference import torch_logits
from edgeadapt.models.opened import OpenedRun
from edgeadapt.pipeline.convert import convert
from edgeadapt.pipeline.importing import import_adapter
from edgeadapt.pipeline.train import train
from edgeadapt.recipe import Format, ModelConfig
from edgeadapt.store.run import Run
from tests.conftest import review
from tests.lively import lively_recipe
from tests.pipeline.exporting import content, nothing_is_at
from tests.pipeline.foreign_files import library_logits, write_adapterhub, write_lora

LIMIT = 1e-5
TEXTS = [review(number)[0] for number in range(100, 112)]
FORMATS = {
    "parallel": Format.ADAPTERHUB,
    "sequential": Format.ADAPTERHUB,
    "houlsby": Format.ADAPTERHUB,
    "lora": Format.PEFT,
}
FILES = {
    Format.ADAPTERHUB: {
        "adapter_config.json",
        "pytorch_adapter.bin",
        "head_config.json",
        "pytorch_model_head.bin",
        "edgeadapt.json",
    },
    Format.PEFT: {"adapter_config.json", "adapter_model.safetensors", "edgeadapt.json"},
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Run]:
    """A run per method, all on one backbone, far enough from where they began."""
    folder = tmp_path_factory.mktemp("trained")
    recipe = lively_recipe(folder, epochs=1, learning_rate=2e-2)
    found = {}
    for method in (*FORMATS, "ia3", "parallel+lora"):
        changes = {"adapter": {"method": method}, "training": {"learning_rate": 2e-2}}
        found[method] = train(recipe.updated(changes, origin="test"), output=folder / method)
    return found


@pytest.fixture(params=FORMATS)
def method(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def imported(folder: Path, output: Path) -> Run:
    return import_adapter(
        folder, model=ModelConfig(id="", max_length=32), model_named=False, output=output
    )


def run_logits(run: Run) -> np.ndarray:
    return torch_logits(
        OpenedRun(run).classifier().model, OpenedRun(run).encoder, TEXTS, batch_size=4
    )


def backbone(run: Run) -> Path:
    return Path(run.info.backbone.id)


def loaded(folder: Path, base: Path, written_as: Format) -> nn.Module:
    """What the real library makes of a folder; it may not find anything missing."""
    if written_as is Format.ADAPTERHUB:
        model = AutoAdapterModel.from_pretrained(base)
        name = model.load_adapter(str(folder), set_active=True)
        assert model.active_head == name
        return model.eval()
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*missing adapter keys.*")
        stock = AutoModelForSequenceClassification.from_pretrained(base)
        return PeftModel.from_pretrained(stock, str(folder)).eval()


def close(one: np.ndarray, other: np.ndarray) -> bool:
    return one.shape == other.shape and bool(np.abs(one - other).max() <= LIMIT)


def test_the_library_gives_the_runs_logits(
    trained: Mapping[str, Run], method: str, tmp_path: Path
) -> None:
    run = trained[method]
    expected = run_logits(run)

    convert(run, tmp_path / "adapter", to=FORMATS[method])

    model = loaded(tmp_path / "adapter", backbone(run), FORMATS[method])
    assert expected.std(axis=0).min() > 1000 * LIMIT
    assert close(library_logits(model, backbone(run), TEXTS), expected)
    assert content(tmp_path / "adapter").keys() == FILES[FORMATS[method]]


def test_imported_again_it_is_the_run_bit_for_bit(
    trained: Mapping[str, Run], method: str, tmp_path: Path
) -> None:
    run = trained[method]
    convert(run, tmp_path / "adapter", to=FORMATS[method])

    again = imported(tmp_path / "adapter", tmp_path / "run")

    assert np.array_equal(run_logits(again), run_logits(run))
    assert again.info.labels == run.info.labels
    assert again.info.recipe.adapter.method == method
    assert again.info.recipe.model == run.info.recipe.model
    assert again.info.frozen_sha256 == run.info.frozen_sha256
    assert again.info.trainable_parameters == run.info.trainable_parameters
    for name in ("tokenizer.json", "weights/head.safetensors", "weights/adapter.safetensors"):
        assert again.info.files[name] == run.info.files[name]


def test_labels_tokenizer_and_backbone_travel_with_it(
    trained: Mapping[str, Run], method: str, tmp_path: Path
) -> None:
    run = trained[method]

    convert(run, tmp_path / "adapter", to=FORMATS[method])

    assert json.loads((tmp_path / "adapter" / "edgeadapt.json").read_text()) == {
        "format_version": 1,
        "labels": list(run.info.labels),
        "task": "single-label",
        "pairs": False,
        "backbone_layers": None,
        "tokenizer_sha256": OpenedRun(run).encoder.sha256(),
        "backbone_sha256": run.info.frozen_sha256.after,
        "backbone_config_sha256": run.info.backbone.config_sha256,
        "base_model": str(backbone(run)),
    }


@pytest.mark.parametrize("name", ["seq_bn", "double_seq_bn", "par_bn", "lora"])
def test_what_another_library_wrote_is_given_back_to_it_with_its_answers(
    trained: Mapping[str, Run], name: str, tmp_path: Path
) -> None:
    base = backbone(trained["lora"])
    written_as = Format.PEFT if name == "lora" else Format.ADAPTERHUB
    if name == "lora":
        theirs = write_lora(base, tmp_path / "theirs")
    else:
        theirs = write_adapterhub(base, tmp_path / "theirs", name)

    convert(imported(tmp_path / "theirs", tmp_path / "run"), tmp_path / "ours", to=written_as)

    expected = library_logits(theirs, base, TEXTS)
    assert close(library_logits(loaded(tmp_path / "ours", base, written_as), base, TEXTS), expected)


@pytest.mark.parametrize(
    ("method", "to"),
    [
        ("houlsby", Format.PEFT),
        ("parallel", Format.PEFT),
        ("lora", Format.ADAPTERHUB),
        ("ia3", Format.PEFT),
        ("ia3", Format.ADAPTERHUB),
        ("parallel+lora", Format.PEFT),
        ("parallel+lora", Format.ADAPTERHUB),
    ],
)
def test_a_kind_that_the_format_cannot_hold_is_refused_by_name(
    trained: Mapping[str, Run], method: str, to: Format, tmp_path: Path
) -> None:
    with pytest.raises(ModelError) as caught:
        convert(trained[method], tmp_path / "out" / "adapter", to=to)

    assert f"the method {method}" in caught.value.message
    assert nothing_is_at(tmp_path / "out")


def test_an_existing_folder_is_kept_unless_it_may_be_replaced(
    trained: Mapping[str, Run], tmp_path: Path
) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "note").write_text("mine")

    with pytest.raises(OutputExistsError):
        convert(trained["lora"], tmp_path / "taken", to=Format.PEFT)
    with pytest.raises(ModelError):
        convert(trained["lora"], tmp_path / "taken", to=Format.ADAPTERHUB, force=True)
    with pytest.raises(OutputExistsError, match="expected a folder with adapter_config"):
        convert(trained["lora"], tmp_path / "taken", to=Format.PEFT, force=True)
    assert content(tmp_path / "taken") == {"note": b"mine"}

    (tmp_path / "taken" / "adapter_config.json").write_text("{}")
    convert(trained["lora"], tmp_path / "taken", to=Format.PEFT, force=True)
    assert content(tmp_path / "taken").keys() == FILES[Format.PEFT]


@pytest.mark.parametrize("file", ["weights/adapter.safetensors", "tokenizer.json"])
def test_a_damaged_run_is_refused(trained: Mapping[str, Run], tmp_path: Path, file: str) -> None:
    path = trained["lora"].path / file
    kept = path.read_bytes()
    path.write_bytes(kept[:-1] + bytes([kept[-1] ^ 1]))
    try:
        with pytest.raises(IntegrityError, match=Path(file).name):
            convert(trained["lora"], tmp_path / "out" / "adapter", to=Format.PEFT)
    finally:
        path.write_bytes(kept)

    assert nothing_is_at(tmp_path / "out")


def test_a_run_whose_backbone_changed_is_refused(
    trained: Mapping[str, Run], tmp_path: Path
) -> None:
    path = backbone(trained["lora"]) / "config.json"
    kept = path.read_text()
    path.write_text(json.dumps({**json.loads(kept), "layer_norm_eps": 1e-3}))
    try:
        with pytest.raises(LayoutError, match=r"config\.json.*expected settings.*found"):
            convert(trained["lora"], tmp_path / "out" / "adapter", to=Format.PEFT)
    finally:
        path.write_text(kept)

    assert nothing_is_at(tmp_path / "out")
