"""The OpenVINO engine compared with ONNX Runtime on the same graph, and its errors."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import openvino
import pytest

from edgeadapt.errors import LayoutError, MissingExtraError
from edgeadapt.pipeline.export import ExportOptions, Quantization, export
from edgeadapt.recipe import EngineName, Exporter, Objective, Platform
from edgeadapt.runtime import load_engine
from edgeadapt.runtime.onnxruntime_engine import OnnxRuntimeEngine
from edgeadapt.runtime.openvino_engine import OpenVinoEngine
from edgeadapt.store.bundle import Bundle
from edgeadapt.store.run import Run
from edgeadapt.text import TokenBatch
from tests.lively import lively_run
from tests.store.handmade import step_of
from tests.store.manifests import change_json

pytestmark = pytest.mark.versions

TEXTS = ["film", "the film was great", "we never liked the cold soup and the dull staff"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return lively_run(tmp_path_factory)


@pytest.fixture(scope="module")
def bundle(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    asked = Quantization(engine=EngineName.OPENVINO)
    options = ExportOptions(quantize=asked, exporter=Exporter.TORCH)
    return export(run, options=options, output=tmp_path_factory.mktemp("openvino") / "bundle")


def test_a_bundle_for_it_names_it_and_takes_fixed_scales(bundle: Bundle) -> None:
    int8 = bundle.manifest.variants["int8"]

    assert (int8.engine, int8.scheme) == ("openvino", "static-int8")
    assert bundle.manifest.variants["fp32"].engine == "onnxruntime"
    assert load_engine(bundle, "int8").describe().startswith("openvino ")
    assert 'pip install "edgeadapt[openvino]"' in (bundle.path / "README.md").read_text()


def test_no_operator_of_onnx_runtimes_own_is_in_its_graph_not_even_for_size(
    run: Run, tmp_path: Path
) -> None:
    asked = Quantization(
        objective=Objective.SIZE, engine=EngineName.OPENVINO, platform=Platform.WASM
    )
    options = ExportOptions(quantize=asked, exporter=Exporter.TORCH)

    found = export(run, options=options, output=tmp_path / "b")

    graph = onnx.load(found.path / found.manifest.variants["int8"].file).graph
    assert {node.domain for node in graph.node} == {""}
    tried = [trial.settings for trial in step_of(found, "quantize").trials]
    assert {each["embedding_bits"] for each in tried} == {8}


@pytest.mark.parametrize("texts", [*([text] for text in TEXTS), TEXTS])
def test_it_answers_as_onnx_runtime_does_up_to_a_level_of_int8(
    bundle: Bundle, texts: list[str]
) -> None:
    batch = bundle.text_encoder().batch(texts)
    theirs = OnnxRuntimeEngine.load(bundle, "int8").run(batch)

    ours = load_engine(bundle, "int8").run(batch)

    assert ours.shape == (len(texts), 2)
    assert ours.dtype == np.float32
    fp32 = load_engine(bundle, "fp32").run(batch)
    assert np.abs(ours - theirs).max() <= np.abs(theirs - fp32).max()


def test_fp32_answers_are_fp32s(run: Run, tmp_path: Path) -> None:
    options = ExportOptions(passes=(), exporter=Exporter.TORCH)
    plain = export(run, options=options, output=tmp_path / "plain")
    batch = plain.text_encoder().batch(TEXTS)

    found = OpenVinoEngine(plain.path / "onnx/model.onnx").run(batch)

    expected = OnnxRuntimeEngine(plain.path / "onnx/model.onnx").run(batch)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize(("threads", "expected"), [(None, None), (1, 1), (3, 3)])
def test_the_model_is_compiled_for_the_thread_count_and_in_float32(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, threads: int | None, expected: int | None
) -> None:
    given: dict[str, Any] = {}
    core = openvino.Core

    class Remembering(core):  # type: ignore[misc, valid-type]
        def compile_model(self, model: Path, device: str, how: dict[str, Any]) -> object:
            given.update(how)
            return super().compile_model(model, device, how)

    monkeypatch.setattr(openvino, "Core", Remembering)
    OpenVinoEngine.load(bundle, "int8", threads=threads)

    assert given.get("INFERENCE_NUM_THREADS") == expected
    assert given["INFERENCE_PRECISION_HINT"] == "f32"


def test_it_says_its_name_and_version(bundle: Bundle) -> None:
    assert load_engine(bundle, "int8").describe() == (
        f"openvino {openvino.__version__.split('-')[0]}"
    )


def test_a_file_that_is_not_a_model_is_refused_and_named(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"this is no protobuf")

    with pytest.raises(LayoutError, match=r"openvino .* cannot load .*model\.onnx"):
        OpenVinoEngine(tmp_path / "model.onnx")


def test_where_it_is_not_installed_the_extra_is_named(
    run: Run, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    monkeypatch.delitem(sys.modules, "edgeadapt.runtime.openvino_engine")

    with pytest.raises(MissingExtraError, match=r"needs the extra \[openvino\]"):
        load_engine(bundle, "int8")
    with pytest.raises(MissingExtraError, match=r"needs the extra \[openvino\]"):
        export(run, options=ExportOptions(quantize=Quantization(engine=EngineName.OPENVINO)))


def test_nobody_is_told_that_it_is_used(tmp_path: Path) -> None:
    script = (
        "import sys, edgeadapt.runtime.openvino_engine\n"
        "assert 'openvino' in sys.modules\n"
        "assert not [name for name in sys.modules if 'openvino_telemetry' in name]\n"
    )
    environment = {**os.environ, "HOME": str(tmp_path)}
    environment.pop("CI", None)

    subprocess.run([sys.executable, "-c", script], env=environment, check=True)

    assert list(tmp_path.iterdir()) == []


def test_a_bundle_with_other_labels_than_its_model_gives_is_refused(
    bundle: Bundle, tmp_path: Path
) -> None:
    own = Path(shutil.copytree(bundle.path, tmp_path / "copy"))
    change_json(own / "manifest.json", labels=["a", "b", "c"])
    opened = Bundle.open(own)

    with pytest.raises(LayoutError, match=r"does not give logits: .*found float32 of shape \(1, 2"):
        load_engine(opened, "int8").run(opened.text_encoder().batch(TEXTS[:1]))


def test_a_model_that_cannot_answer_is_an_error_that_names_it(bundle: Bundle) -> None:
    batch = bundle.text_encoder().batch(["film"])
    longer = TokenBatch(*(np.repeat(each, 50, axis=1) for each in vars(batch).values()))

    with pytest.raises(LayoutError, match=r"cannot run .*model\.onnx on 150 tokens of ids up to"):
        OpenVinoEngine.load(bundle, "fp32").run(longer)


def test_a_model_with_other_inputs_is_refused_when_it_is_loaded(
    bundle: Bundle, tmp_path: Path
) -> None:
    model = onnx.load(bundle.file("onnx/model.onnx"))
    model.graph.input[0].name = "pixels"
    for node in model.graph.node:
        node.input[:] = ["pixels" if name == "input_ids" else name for name in node.input]
    onnx.save(model, tmp_path / "m.onnx")

    with pytest.raises(LayoutError, match=r"m\.onnx has an input 'pixels': expected only input"):
        OpenVinoEngine(tmp_path / "m.onnx")
