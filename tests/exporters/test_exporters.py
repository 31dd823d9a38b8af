"""Both exporters: inputs, outputs and content of the ONNX file, for every backbone."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel

import edgeadapt.exporters
from edgeadapt.backbones import BACKBONES
from edgeadapt.errors import ExportError, MissingExtraError
from edgeadapt.exporters import export_onnx
from edgeadapt.recipe import Exporter
from tests.conftest import TINY_CONFIGS
from tests.lively import lively_model

pytestmark = pytest.mark.transformers5

LABELS = 3
LIMIT = 1e-4
Inputs = dict[str, NDArray[np.int64]]


@dataclass(frozen=True)
class Exported:
    """A model and the file that was made of it."""

    model: PreTrainedModel
    path: Path

    def session(self) -> onnxruntime.InferenceSession:
        return onnxruntime.InferenceSession(self.path, providers=["CPUExecutionProvider"])

    def onnx_logits(self, inputs: Inputs) -> NDArray[np.float32]:
        return np.asarray(self.session().run(["logits"], inputs)[0])

    def torch_logits(self, inputs: Inputs) -> NDArray[np.float32]:
        self.model.eval()
        return answers(self.model, inputs)


def answers(model: PreTrainedModel, inputs: Inputs) -> NDArray[np.float32]:
    """Asks the model in whichever mode it is."""
    with torch.inference_mode():
        tensors = {name: torch.from_numpy(array) for name, array in inputs.items()}
        return np.asarray(model(**tensors).logits.numpy())


@pytest.fixture(
    scope="module",
    params=[
        (exporter, model_type)
        for exporter in (Exporter.OPTIMUM, Exporter.TORCH)
        for model_type in TINY_CONFIGS
    ],
    ids="-".join,
)
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    exporter, model_type = request.param
    path = tmp_path_factory.mktemp(f"{exporter}-{model_type}") / "onnx" / "model.onnx"
    model = lively_model(model_type, labels=LABELS)
    export_onnx(model, path, exporter=exporter)
    return Exported(model, path)


def make_inputs(model: PreTrainedModel, lengths: Sequence[int], *, seed: int = 0) -> Inputs:
    """Random tokens, one row per length, padded on the right to the longest."""
    generator = np.random.default_rng(seed)
    shape = (len(lengths), max(lengths))
    mask = (np.arange(shape[1]) < np.asarray(lengths)[:, None]).astype(np.int64)
    ids = generator.integers(5, model.config.vocab_size, shape, dtype=np.int64)
    inputs = {"input_ids": ids * mask, "attention_mask": mask}
    if BACKBONES[model.config.model_type].token_type_ids:
        inputs["token_type_ids"] = np.zeros(shape, dtype=np.int64)
    return inputs


@pytest.mark.parametrize("length", [1, 3, 8, 21, 40])
@pytest.mark.parametrize("batch", [1, 5])
def test_the_file_gives_torchs_logits(exported: Exported, batch: int, length: int) -> None:
    inputs = make_inputs(exported.model, [length] * batch, seed=length)

    found, expected = exported.onnx_logits(inputs), exported.torch_logits(inputs)

    assert found.shape == (batch, LABELS)
    np.testing.assert_allclose(found, expected, rtol=0, atol=LIMIT)


def test_the_file_gives_torchs_logits_for_a_padded_batch(exported: Exported) -> None:
    inputs = make_inputs(exported.model, [1, 30, 7, 3, 18])

    found, expected = exported.onnx_logits(inputs), exported.torch_logits(inputs)

    assert expected.std(axis=0).min() > 100 * LIMIT, "the answers must depend on the text"
    np.testing.assert_allclose(found, expected, rtol=0, atol=LIMIT)


def test_padding_does_not_change_what_the_file_gives(exported: Exported) -> None:
    inputs = make_inputs(exported.model, [6, 17])
    alone = {name: array[:1, :6] for name, array in inputs.items()}

    np.testing.assert_allclose(
        exported.onnx_logits(inputs)[:1], exported.onnx_logits(alone), rtol=0, atol=LIMIT
    )


def test_the_inputs_are_the_promised_ones_and_dynamic(exported: Exported) -> None:
    inputs = {value.name: value for value in exported.session().get_inputs()}

    assert list(inputs) == list(make_inputs(exported.model, [2]))
    for value in inputs.values():
        assert value.type == "tensor(int64)"
        assert len(value.shape) == 2
        assert all(isinstance(size, str) for size in value.shape), value.shape


def test_the_only_output_is_float_logits_with_a_dynamic_batch(exported: Exported) -> None:
    (output,) = exported.session().get_outputs()

    assert (output.name, output.type, len(output.shape)) == ("logits", "tensor(float)", 2)
    assert isinstance(output.shape[0], str)


def test_all_weights_are_in_the_one_file(exported: Exported) -> None:
    model = onnx.load(exported.path, load_external_data=False)

    assert [file.name for file in exported.path.parent.iterdir()] == ["model.onnx"]
    assert model.graph.initializer
    for tensor in model.graph.initializer:
        assert tensor.data_location == onnx.TensorProto.DEFAULT, tensor.name


def test_the_file_is_valid_and_needs_no_custom_operator(exported: Exported) -> None:
    model = onnx.load(exported.path)

    onnx.checker.check_model(model, full_check=True)
    assert {opset.domain for opset in model.opset_import} <= {"", "ai.onnx"}


@pytest.mark.parametrize("exporter", [Exporter.OPTIMUM, Exporter.TORCH])
def test_dropout_is_off_even_when_the_model_was_training(
    tmp_path: Path, exporter: Exporter
) -> None:
    model = lively_model("bert", labels=LABELS)
    assert model.config.hidden_dropout_prob > 0
    model.train()
    export_onnx(model, tmp_path / "model.onnx", exporter=exporter)
    exported = Exported(model, tmp_path / "model.onnx")
    inputs = make_inputs(model, [9])

    np.testing.assert_allclose(
        exported.onnx_logits(inputs), exported.torch_logits(inputs), rtol=0, atol=LIMIT
    )


@pytest.mark.parametrize("exporter", [Exporter.OPTIMUM, Exporter.TORCH])
def test_an_export_leaves_the_models_answers_and_gradients_as_they_were(
    tmp_path: Path, exporter: Exporter
) -> None:
    model = lively_model("bert", labels=LABELS)
    inputs = make_inputs(model, [9, 4])
    before = answers(model, inputs)

    export_onnx(model, tmp_path / "model.onnx", exporter=exporter)

    np.testing.assert_array_equal(answers(model, inputs), before)
    assert all(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize("exporter", [Exporter.OPTIMUM, Exporter.TORCH])
def test_the_used_exporter_is_returned(tmp_path: Path, exporter: Exporter) -> None:
    model = lively_model("distilbert")

    assert export_onnx(model, tmp_path / "model.onnx", exporter=exporter) is exporter


@pytest.fixture
def fake_exporters(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exporters that write their name and nothing more."""

    def writes(name: str) -> object:
        return lambda _model, path: path.write_text(name)

    fakes = {exporter: writes(exporter) for exporter in (Exporter.OPTIMUM, Exporter.TORCH)}
    monkeypatch.setattr(edgeadapt.exporters, "EXPORTERS", fakes)


@pytest.mark.usefixtures("fake_exporters")
def test_auto_takes_optimum_where_it_is_installed(tmp_path: Path) -> None:
    used = export_onnx(lively_model("bert"), tmp_path / "m.onnx", exporter=Exporter.AUTO)

    assert used is Exporter.OPTIMUM
    assert (tmp_path / "m.onnx").read_text() == "optimum"


@pytest.mark.usefixtures("fake_exporters")
@pytest.mark.parametrize("missing", ["optimum", "optimum.exporters.onnx"])
def test_auto_takes_torch_where_optimum_or_its_onnx_part_is_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    from importlib.util import find_spec

    monkeypatch.setattr(
        edgeadapt.exporters, "find_spec", lambda name: None if name == missing else find_spec(name)
    )

    used = export_onnx(lively_model("bert"), tmp_path / "m.onnx", exporter=Exporter.AUTO)

    assert used is Exporter.TORCH
    assert (tmp_path / "m.onnx").read_text() == "torch"


@pytest.mark.parametrize("missing", ["optimum", "optimum.exporters.onnx"])
def test_a_missing_optimum_is_named_with_its_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    monkeypatch.delitem(sys.modules, "edgeadapt.exporters.optimum_exporter", raising=False)
    for name in [name for name in sys.modules if name.partition(".")[0] == "optimum"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)

    with pytest.raises(MissingExtraError, match=r"--exporter optimum needs .*\[optimum\]") as got:
        export_onnx(lively_model("bert"), tmp_path / "m.onnx", exporter=Exporter.OPTIMUM)
    assert "the module 'optimum" in got.value.message
    assert 'pip install "edgeadapt[optimum]"' in got.value.hint
    assert list(tmp_path.iterdir()) == []


def test_external_data_is_refused_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_two(_model: PreTrainedModel, path: Path) -> None:
        path.write_text("graph")
        path.with_name("m.onnx.data").write_text("weights")

    monkeypatch.setattr(edgeadapt.exporters, "EXPORTERS", {Exporter.TORCH: write_two})

    with pytest.raises(ExportError, match=r"more than one file: m\.onnx\.data"):
        export_onnx(lively_model("bert"), tmp_path / "m.onnx", exporter=Exporter.TORCH)


@pytest.mark.usefixtures("fake_exporters")
def test_a_file_that_was_there_before_is_not_taken_for_external_data(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")

    export_onnx(lively_model("bert"), tmp_path / "m.onnx", exporter=Exporter.TORCH)

    assert (tmp_path / "m.onnx").read_text() == "torch"
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_there_is_an_exporter_for_every_name_but_auto() -> None:
    assert set(edgeadapt.exporters.EXPORTERS) == set(Exporter) - {Exporter.AUTO}
