"""The ONNX Runtime engine compared with raw ONNX Runtime, and its errors."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from edgeadapt.errors import IntegrityError, LayoutError, UsageError
from edgeadapt.runtime.onnxruntime_engine import OnnxRuntimeEngine
from edgeadapt.store.bundle import Bundle
from edgeadapt.text import TokenBatch, Tokens
from tests.lively import lively_bundle
from tests.store.manifests import edit_json

TEXTS = ["film", "the film was great", "we never liked the cold soup and the dull staff"]
FILES = {"fp32": "onnx/model.onnx", "int8": "onnx/model_quantized.onnx"}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return lively_bundle(tmp_path_factory)


@pytest.fixture
def own_bundle(bundle: Bundle, tmp_path: Path) -> Bundle:
    return Bundle.open(Path(shutil.copytree(bundle.path, tmp_path / "copy")))


def raw_logits(path: Path, batch: TokenBatch) -> np.ndarray:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    inputs = {value.name: getattr(batch, value.name) for value in session.get_inputs()}
    return np.asarray(session.run(["logits"], inputs)[0])


@pytest.mark.parametrize("texts", [TEXTS[:1], TEXTS])
@pytest.mark.parametrize("variant", FILES)
def test_the_engine_gives_what_raw_onnx_runtime_gives(
    bundle: Bundle, variant: str, texts: list[str]
) -> None:
    batch = bundle.text_encoder().batch(texts)

    logits = OnnxRuntimeEngine.load(bundle, variant).run(batch)

    assert logits.shape == (len(texts), 2)
    assert logits.dtype == np.float32
    expected = raw_logits(bundle.path / FILES[variant], batch)
    np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-6)


def test_the_variants_are_different_models(bundle: Bundle) -> None:
    batch = bundle.text_encoder().batch(TEXTS)
    fp32, int8 = (OnnxRuntimeEngine.load(bundle, name).run(batch) for name in FILES)

    assert 1e-5 < np.abs(fp32 - int8).max() < fp32.std()


@pytest.mark.parametrize("threads", [1, 2])
def test_the_thread_count_does_not_change_the_answer(bundle: Bundle, threads: int) -> None:
    batch = bundle.text_encoder().batch(TEXTS)
    default = OnnxRuntimeEngine.load(bundle, "fp32").run(batch)
    logits = OnnxRuntimeEngine.load(bundle, "fp32", threads=threads).run(batch)

    np.testing.assert_allclose(logits, default, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("threads", "expected"), [(None, 0), (1, 1), (3, 3)])
def test_the_session_is_given_the_thread_count(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, threads: int | None, expected: int
) -> None:
    given = []
    session = onnxruntime.InferenceSession

    def remember(path: str, options: onnxruntime.SessionOptions, **rest: object) -> object:
        given.append(options.intra_op_num_threads)
        return session(path, options, **rest)

    monkeypatch.setattr(onnxruntime, "InferenceSession", remember)
    OnnxRuntimeEngine.load(bundle, "fp32", threads=threads)

    assert given == [expected]


def test_the_engine_says_its_name_and_version(bundle: Bundle) -> None:
    engine = OnnxRuntimeEngine.load(bundle, "fp32")

    assert engine.describe() == f"onnxruntime {onnxruntime.__version__}"


def test_a_file_that_is_not_a_model_is_refused_and_named(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"this is no protobuf")

    with pytest.raises(LayoutError, match=r"ONNX Runtime .* cannot load .*model\.onnx"):
        OnnxRuntimeEngine(tmp_path / "model.onnx")


def test_a_file_that_is_not_there_is_refused_and_named(tmp_path: Path) -> None:
    with pytest.raises(LayoutError, match=r"nowhere\.onnx"):
        OnnxRuntimeEngine(tmp_path / "nowhere.onnx")


@pytest.mark.parametrize("variant", FILES)
def test_a_token_without_an_embedding_is_an_error_that_names_the_model(
    bundle: Bundle, variant: str
) -> None:
    batch = Tokens([2, 9_999, 3], [0, 0, 0]).as_batch()

    with pytest.raises(LayoutError, match=r"cannot run .*ids up to 9999") as caught:
        OnnxRuntimeEngine.load(bundle, variant).run(batch)

    assert FILES[variant] in str(caught.value)


@pytest.mark.parametrize("variant", FILES)
def test_a_model_with_one_changed_byte_is_refused_with_both_hashes(
    own_bundle: Bundle, variant: str
) -> None:
    file = own_bundle.path / FILES[variant]
    content = bytearray(file.read_bytes())
    expected = hashlib.sha256(content).hexdigest()
    content[len(content) // 2] ^= 1
    file.write_bytes(content)

    with pytest.raises(IntegrityError) as caught:
        OnnxRuntimeEngine.load(own_bundle, variant)
    found = hashlib.sha256(content).hexdigest()
    assert str(file) in caught.value.message
    assert f"expected sha256 {expected}, found {found}" in caught.value.message


def test_only_the_files_that_are_opened_are_checked(own_bundle: Bundle) -> None:
    (own_bundle.path / FILES["int8"]).write_bytes(b"damaged")

    engine = OnnxRuntimeEngine.load(own_bundle, "fp32")

    assert engine.run(own_bundle.text_encoder().batch(TEXTS)).shape == (3, 2)


def test_an_unknown_variant_is_refused_with_those_that_there_are(bundle: Bundle) -> None:
    with pytest.raises(UsageError, match="no variant 'int4': found fp32, int8, torch"):
        OnnxRuntimeEngine.load(bundle, "int4")


IDS = ("input_ids", "attention_mask", "token_type_ids")


def write_model(path: Path, node: str, *, kind: int = 1, inputs: tuple[str, ...] = IDS) -> Path:
    """Writes a model of one node that makes something of the token ids, ``(batch, tokens)``."""
    values = [onnx.helper.make_tensor_value_info(name, 7, ["batch", "tokens"]) for name in inputs]
    made = {
        "cast": [onnx.helper.make_node("Cast", inputs[:1], ["logits"], to=kind)],
        "rank 3": [
            onnx.helper.make_node("Cast", inputs[:1], ["wide"], to=kind),
            onnx.helper.make_node("Unsqueeze", ["wide", "axis"], ["logits"]),
        ],
        "scalar": [
            onnx.helper.make_node("Cast", inputs[:1], ["wide"], to=kind),
            onnx.helper.make_node("ReduceMax", ["wide"], ["logits"], keepdims=0),
        ],
        "one row": [
            onnx.helper.make_node("Cast", inputs[:1], ["wide"], to=kind),
            onnx.helper.make_node("ReduceMax", ["wide", "first"], ["logits"], keepdims=1),
        ],
        "list": [onnx.helper.make_node("SequenceConstruct", inputs[:1], ["logits"])],
        "fails": [
            onnx.helper.make_node("Cast", inputs[:1], ["wide"], to=kind),
            onnx.helper.make_node("Reshape", ["wide", "shape"], ["logits"]),
        ],
    }[node]
    constants = [
        onnx.numpy_helper.from_array(np.array(value, dtype=np.int64), name)
        for name, value in (("axis", [2]), ("first", [0]), ("shape", [7, 11]))
    ]
    output = onnx.helper.make_tensor_value_info("logits", kind, None)
    if node == "list":
        output = onnx.helper.make_tensor_sequence_value_info("logits", 7, None)
    graph = onnx.helper.make_graph(made, "g", values, [output], constants)
    opsets = [onnx.helper.make_opsetid("", 18)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opsets, ir_version=9), path)
    return path


BATCH = TokenBatch(*(np.ones((2, 3), dtype=np.int64) for _ in IDS))


def test_a_model_of_the_expected_shape_is_run(tmp_path: Path) -> None:
    model = write_model(tmp_path / "model.onnx", "cast")

    assert OnnxRuntimeEngine(model).run(BATCH).tolist() == [[1, 1, 1], [1, 1, 1]]
    assert OnnxRuntimeEngine(model, labels=3).run(BATCH).shape == (2, 3)


@pytest.mark.parametrize(
    ("node", "kind", "labels", "found"),
    [
        ("cast", 1, 2, r"shape \(2, 2\), one row a text, found float32 of shape \(2, 3\)"),
        ("cast", 7, None, r"found int64 of shape \(2, 3\)"),
        ("cast", 11, 3, r"found float64 of shape \(2, 3\)"),
        ("cast", 8, 3, r"found object of shape \(2, 3\)"),
        ("rank 3", 1, None, r"found float32 of shape \(2, 3, 1\)"),
        ("scalar", 1, None, r"found float32 of shape \(\)"),
        ("one row", 1, 3, r"found float32 of shape \(1, 3\)"),
        ("list", 1, None, r"found list of shape \(\)"),
    ],
)
def test_an_answer_of_another_shape_or_type_is_refused(
    tmp_path: Path, node: str, kind: int, labels: int | None, found: str
) -> None:
    engine = OnnxRuntimeEngine(write_model(tmp_path / "m.onnx", node, kind=kind), labels=labels)

    with pytest.raises(LayoutError, match=rf"m\.onnx does not give logits: .*{found}"):
        engine.run(BATCH)


def test_a_model_that_fails_is_named(tmp_path: Path) -> None:
    engine = OnnxRuntimeEngine(write_model(tmp_path / "m.onnx", "fails"))

    with pytest.raises(LayoutError, match=r"cannot run .*m\.onnx on 3 tokens of ids"):
        engine.run(BATCH)


@pytest.mark.parametrize("name", ["pixels", "select", "__class__"])
def test_a_model_with_other_inputs_is_refused_when_it_is_loaded(tmp_path: Path, name: str) -> None:
    model = write_model(tmp_path / "m.onnx", "cast", inputs=(name, *IDS))

    with pytest.raises(LayoutError, match=rf"m\.onnx has an input '{name}': expected only input"):
        OnnxRuntimeEngine(model)


def test_a_bundle_with_other_labels_than_its_model_gives_is_refused(own_bundle: Bundle) -> None:
    edit_json(own_bundle.path / "manifest.json", lambda value: value["labels"].append("third"))
    bundle = Bundle.open(own_bundle.path)

    with pytest.raises(LayoutError, match=r"expected float32 of shape \(1, 3\).*\(1, 2\)"):
        OnnxRuntimeEngine.load(bundle, "fp32").run(bundle.text_encoder().batch(TEXTS[:1]))


@pytest.mark.skipif(sys.platform != "linux", reason="where it writes elsewhere is not known here")
def test_nobody_is_told_that_it_is_used(bundle: Bundle, tmp_path: Path) -> None:
    script = (
        "import edgeadapt\n"
        f"classifier = edgeadapt.load({str(bundle.path)!r}, variant='fp32')\n"
        "classifier.predict(['film'])\n"
    )
    # ONNX Runtime itself is silent where tests are run.
    silent = ("CI", "ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME")
    environment = {name: value for name, value in os.environ.items() if name not in silent}

    subprocess.run(
        [sys.executable, "-c", script], env={**environment, "HOME": str(tmp_path)}, check=True
    )

    assert list(tmp_path.iterdir()) == []  # its identifier of this machine would be below
