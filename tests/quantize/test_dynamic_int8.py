"""Dynamic int8: quantized nodes, granularity, and requirements."""

import hashlib
import logging
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edgeadapt.exporters import export_onnx
from edgeadapt.quantize.candidate import Candidate, write
from edgeadapt.quantize.dynamic_int8 import quantize_dynamic_int8
from edgeadapt.recipe import Exporter, Scheme
from tests.lively import lively_model

pytestmark = pytest.mark.versions

WORDS, WIDTH, HIDDEN, LABELS = 200, 128, 256, 3
Weights = dict[str, NDArray[np.float32]]

ADVICE = "Please consider to run pre-processing before quantization."


def make_weights(seed: int = 0) -> Weights:
    """An embedding table, a dense layer and a head, every output channel of another size."""
    generator = np.random.default_rng(seed)

    def normal(*shape: int) -> NDArray[np.float32]:
        return generator.normal(size=shape).astype(np.float32)

    return {
        "table": normal(WORDS, WIDTH),
        "dense": normal(WIDTH, HIDDEN) * np.logspace(-3, 1, HIDDEN, dtype=np.float32),
        # As torch stores it: (out, in).
        "head": normal(LABELS, HIDDEN) * np.asarray([[0.01], [1], [100]], dtype=np.float32),
        "bias": normal(LABELS),
    }


def write_model(path: Path, weights: Weights) -> Path:
    """Writes token ids -> Gather -> MatMul -> mean -> Gemm -> logits."""
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["words"]),
        helper.make_node("MatMul", ["words", "dense"], ["hidden"]),
        helper.make_node("ReduceMean", ["hidden"], ["pooled"], axes=[1], keepdims=0),
        helper.make_node("Gemm", ["pooled", "head", "bias"], ["logits"], transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, ["batch", "seq"])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", LABELS])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    opsets = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    return path


def quantize(source: Path, target: Path) -> None:
    write(Candidate(Scheme.DYNAMIC_INT8), onnx.load(source), target, texts=())


def initializers(path: Path) -> dict[str, NDArray[np.generic]]:
    graph = onnx.load(path).graph
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}


def answers(path: Path, ids: NDArray[np.int64]) -> NDArray[np.float32]:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(["logits"], {"ids": ids})[0])


@pytest.fixture
def fp32(tmp_path: Path) -> Path:
    return write_model(tmp_path / "model.onnx", make_weights())


@pytest.fixture
def int8(fp32: Path) -> Path:
    target = fp32.with_name("model_quantized.onnx")
    quantize(fp32, target)
    return target


def test_the_file_is_less_than_a_third_as_large(fp32: Path, int8: Path) -> None:
    assert int8.stat().st_size < fp32.stat().st_size / 3


def test_every_matrix_and_embedding_table_is_in_eight_bits(int8: Path) -> None:
    found = initializers(int8)
    matrices = {name: value for name, value in found.items() if min(value.shape, default=0) > 1}
    widths = {name: v.dtype.itemsize for name, v in matrices.items() if v.ndim >= 2}

    assert len(widths) == 3
    assert set(widths.values()) == {1}


def test_the_weights_of_dense_layers_are_signed_and_symmetric(int8: Path) -> None:
    found = initializers(int8)

    for name in ("dense", "head"):
        (weight,) = [
            v for key, v in found.items() if key.startswith(name) and key.endswith("_quantized")
        ]
        (zero,) = [
            v for key, v in found.items() if key.startswith(name) and key.endswith("_zero_point")
        ]
        assert weight.dtype == np.int8
        assert not zero.any()


@pytest.mark.parametrize(("name", "channels"), [("dense", HIDDEN), ("head", LABELS)])
def test_a_weight_has_one_scale_per_output_channel(int8: Path, name: str, channels: int) -> None:
    found = initializers(int8)
    (scale,) = [v for key, v in found.items() if key.startswith(name) and key.endswith("_scale")]

    assert scale.shape == (channels,)
    assert len(set(scale.tolist())) == channels


@pytest.mark.parametrize(("name", "channels"), [("dense", HIDDEN), ("head", LABELS)])
def test_every_output_channel_keeps_its_own_precision(int8: Path, name: str, channels: int) -> None:
    found = initializers(int8)
    (key,) = [k for k in found if k.startswith(name) and k.endswith("_quantized")]
    stem = key.removesuffix("_quantized")
    zero = found[f"{stem}_zero_point"].astype(np.float32)
    restored = (found[key].astype(np.float32) - zero) * found[f"{stem}_scale"]
    original = make_weights()[name]
    original = original if original.shape[1] == channels else original.T

    # Rounding costs at most half a step, and 127 steps reach the channel's largest weight.
    step = np.abs(original).max(axis=0) / 127
    assert (np.abs(restored - original) <= 0.51 * step).all()


@pytest.mark.parametrize("shape", [(1, 1), (1, 16), (5, 7)])
def test_the_answers_stay_close_to_fp32s(tmp_path: Path, shape: tuple[int, int]) -> None:
    generator = np.random.default_rng(3)
    even = {
        name: generator.normal(size=value.shape).astype(np.float32)
        for name, value in make_weights().items()
    }
    fp32, int8 = write_model(tmp_path / "model.onnx", even), tmp_path / "int8.onnx"
    quantize(fp32, int8)
    ids = generator.integers(0, WORDS, shape, dtype=np.int64)
    expected, found = answers(fp32, ids), answers(int8, ids)

    assert found.shape == expected.shape
    assert 0 < np.abs(found - expected).max() < 0.05 * np.abs(expected).max()


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), dead=st.integers(0, HIDDEN - 1))
def test_a_channel_without_any_weight_stays_zero(
    tmp_path_factory: pytest.TempPathFactory, seed: int, dead: int
) -> None:
    weights = make_weights(seed)
    weights["dense"][:, dead] = 0
    folder = tmp_path_factory.mktemp("dead")
    quantize(write_model(folder / "m.onnx", weights), folder / "q.onnx")
    found = initializers(folder / "q.onnx")

    assert (found["dense_quantized"][:, dead] == found["dense_zero_point"][dead]).all()
    assert np.isfinite(answers(folder / "q.onnx", np.zeros((1, 4), dtype=np.int64))).all()


def test_a_weight_behind_an_operator_of_unknown_type_is_quantized_too(tmp_path: Path) -> None:
    # Shape inference does not know the types that fused operators give.
    weight = np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("FastGelu", ["x"], ["hidden"], domain="com.microsoft"),
            helper.make_node("MatMul", ["hidden", "w"], ["product"]),
            helper.make_node("FastGelu", ["product"], ["logits"], domain="com.microsoft"),
        ],
        "fused",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 8])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 4])],
        [numpy_helper.from_array(weight, "w")],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), tmp_path / "model.onnx")

    quantize(tmp_path / "model.onnx", tmp_path / "int8.onnx")

    assert initializers(tmp_path / "int8.onnx")["w_quantized"].dtype == np.int8


def test_an_exported_backbone_keeps_no_matrix_in_float(tmp_path: Path) -> None:
    export_onnx(lively_model("bert"), tmp_path / "model.onnx", exporter=Exporter.TORCH)
    quantize(tmp_path / "model.onnx", tmp_path / "int8.onnx")

    found = initializers(tmp_path / "int8.onnx")
    matrices = {
        name for name, v in found.items() if v.ndim >= 2 and v.shape[1] > 1 and len(v) > 2
    }  # neither scales nor the two token types
    products = {node.input[1] for node in _nodes(tmp_path / "int8.onnx", "MatMulInteger")}
    # Per layer: query, key, value, attention output, two of the FFN; then pooler and head.
    assert len(products & matrices) == 2 * 6 + 2
    for name in matrices:
        assert found[name].dtype.itemsize == 1, name
    for name in products & matrices:
        assert found[name].dtype == np.int8, name
        scale = found[name.removesuffix("_quantized") + "_scale"]
        assert scale.shape == (found[name].shape[1],), name


def _nodes(path: Path, kind: str) -> list[onnx.NodeProto]:
    return [node for node in onnx.load(path).graph.node if node.op_type == kind]


def test_the_source_stays_as_it_was_and_nothing_else_is_written(fp32: Path) -> None:
    before = hashlib.sha256(fp32.read_bytes()).hexdigest()

    quantize(fp32, fp32.with_name("model_quantized.onnx"))

    assert hashlib.sha256(fp32.read_bytes()).hexdigest() == before
    assert sorted(file.name for file in fp32.parent.iterdir()) == [
        "model.onnx",
        "model_quantized.onnx",
    ]


def test_the_advice_to_preprocess_is_not_logged_and_other_messages_are(
    fp32: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    import edgeadapt.quantize.dynamic_int8 as module

    original = module.quantize_dynamic

    def talkative(*arguments: object, **options: object) -> None:
        logging.warning(ADVICE)
        logging.warning("something else")
        original(*arguments, **options)

    monkeypatch.setattr(module, "quantize_dynamic", talkative)
    filters = list(logging.getLogger().filters)

    quantize(fp32, fp32.with_name("q.onnx"))

    assert [r.getMessage() for r in caplog.records if r.name == "root"] == ["something else"]
    assert logging.getLogger().filters == filters


def test_a_failed_quantization_leaves_the_logging_as_it_was(
    fp32: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise RuntimeError("no room")

    monkeypatch.setattr("edgeadapt.quantize.dynamic_int8.quantize_dynamic", fail)
    filters = list(logging.getLogger().filters)

    with pytest.raises(RuntimeError, match="no room"):
        quantize(fp32, fp32.with_name("q.onnx"))
    assert logging.getLogger().filters == filters
    assert [file.name for file in fp32.parent.iterdir()] == ["model.onnx"]


def test_a_product_that_is_kept_stays_in_fp32_whatever_its_operator(fp32: Path) -> None:
    model = onnx.load(fp32)
    for number, node in enumerate(model.graph.node):
        node.name = f"node_{number}"
    kept = {node.op_type: node.name for node in model.graph.node}

    for operator, left in (("MatMul", "head"), ("Gemm", "dense")):
        found = quantize_dynamic_int8(model, keep=[kept[operator]])

        weights = {tensor.name for tensor in found.graph.initializer if len(tensor.dims) == 2}
        assert len([name for name in weights if name.endswith("_quantized")]) == 1
        assert any(name.startswith(left) for name in weights if name.endswith("_quantized"))


def test_quantizing_works_where_torch_and_transformers_are_not_installed(fp32: Path) -> None:
    program = """
import sys
from pathlib import Path

# As where it is not installed, importing one fails, and importlib.util.find_spec finds none.
sys.modules.update(dict.fromkeys(("torch", "transformers", "optimum", "datasets")))
import onnx
import edgeadapt.quantize.step
from edgeadapt.recipe import Scheme
from edgeadapt.quantize.candidate import Candidate, write
write(Candidate(Scheme.DYNAMIC_INT8), onnx.load(sys.argv[1]), Path(sys.argv[2]), texts=())
try:
    import torch
except ModuleNotFoundError:
    print("absent")
"""
    target = fp32.with_name("q.onnx")

    done = subprocess.run(
        [sys.executable, "-c", program, str(fp32), str(target)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )

    assert (done.returncode, done.stdout) == (0, "absent\n"), done.stderr
    assert initializers(target)["dense_quantized"].dtype == np.int8
