"""Choosing a bundle's scheme again: within the remaining budget, all else unchanged."""

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import edgeadapt
from edgeadapt.data import write_csv
from edgeadapt.errors import (
    ExportError,
    GateError,
    IntegrityError,
    LayoutError,
    MissingExtraError,
    OutputExistsError,
    UsageError,
)
from edgeadapt.graph.attention import count_attention
from edgeadapt.pipeline.export import export
from edgeadapt.pipeline.export_bundle import export_bundle
from edgeadapt.platforms import this_platform
from edgeadapt.quantize.options import Quantization
from edgeadapt.recipe import EngineName, Objective, Platform, Scheme
from edgeadapt.runtime import load_engine
from edgeadapt.runtime.base import text_logits
from edgeadapt.store.bundle import (
    CALIBRATION_FILE,
    LOGITS_FILE,
    TEXT_FILES,
    VALIDATION_FILE,
    Bundle,
)
from edgeadapt.store.run import Run
from tests.children import run_edgeadapt
from tests.pipeline.exporting import PLAIN, content, nothing_is_at, texts_of
from tests.store.handmade import (
    compression_of,
    make_compression,
    make_search,
    make_shrunk,
    make_step,
    step_of,
)

pytestmark = pytest.mark.usefixtures("steady")

OLD = Path(__file__).parents[1] / "assets" / "tiny_bundle"
USUAL = Quantization()
FOUR_BITS = Quantization((Scheme.INT4_WEIGHTS,))
FLIPPED = 3
"""Answers of 24 that an earlier step is made to have cost, in ``spent``."""


@pytest.fixture(scope="module")
def plain(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle of the fp32 graph alone."""
    return export(run, options=PLAIN, output=tmp_path_factory.mktemp("plain") / "plain")


@pytest.fixture
def copy(plain: Bundle, tmp_path: Path) -> Callable[..., Bundle]:
    """Copies that bundle, files changed and manifest with it."""

    def make(change: Callable[[Path], object] = lambda _: None, **manifest: Any) -> Bundle:
        path = Path(shutil.copytree(plain.path, tmp_path / "source" / "plain"))
        change(path)
        return Bundle.write(path, replace(plain.manifest, **manifest))

    return make


def spent(bundle: Path) -> None:
    """Lets the reference be right where the fp32 graph is wrong, as after a step that cost that."""
    logits = np.load(bundle / LOGITS_FILE)
    logits[:FLIPPED] = logits[:FLIPPED, ::-1]
    np.save(bundle / LOGITS_FILE, logits)
    names = ("negative", "positive")
    labels = [names[label] for label in logits.argmax(axis=1)]
    texts = texts_of(bundle / VALIDATION_FILE)
    write_csv(bundle / VALIDATION_FILE, {"text": texts, "label": labels})


# What the new bundle holds


def test_a_new_variant_takes_the_old_ones_place_and_all_else_is_carried_over(
    bundle: Bundle, tmp_path: Path
) -> None:
    before = content(bundle.path)

    found = export_bundle(bundle, asked=FOUR_BITS, max_drop=1.0, output=tmp_path / "new")

    found.verify()
    after = content(found.path)
    made = {"manifest.json", "README.md", "onnx/model_q4.onnx"}
    assert set(after) == set(before) - {"onnx/model_quantized.onnx"} | made
    assert {n: after[n] for n in set(after) - made} == {n: before[n] for n in set(after) - made}
    assert list(found.manifest.variants) == ["fp32", "int4", "torch"]
    assert found.manifest.variants["int4"].platform == this_platform()
    assert found.default_variant() == "int4"
    for name in ("labels", "task", "pairs", "max_length", "pad_id"):
        assert getattr(found.manifest, name) == getattr(bundle.manifest, name)
    assert content(bundle.path) == before
    assert edgeadapt.load(found.path).predict(["the film was great"])


def test_the_manifest_tells_what_was_tried_here_and_keeps_what_it_told_before(
    bundle: Bundle, tmp_path: Path
) -> None:
    asked = Quantization((Scheme.INT8_WEIGHTS,), Objective.SIZE, Platform.PORTABLE, threads=1)

    found = export_bundle(bundle, asked=asked, output=tmp_path / "new").manifest

    before = bundle.manifest
    compression, step = compression_of(found), step_of(found, "quantize")
    assert (compression.objective, compression.platform) == ("size", "portable")
    assert all(trial.settings["scheme"] == "int8-weights" for trial in step.trials)
    assert compression.spent.texts == 24
    assert found.gates == before.gates
    (origin,) = found.provenance.quantized_again
    assert replace(found.provenance, quantized_again=()) == before.provenance
    assert (origin.bundle, origin.created) == (bundle.name, before.created)
    assert origin.cpu
    assert origin.threads == 1
    assert origin.versions["onnxruntime"]
    assert found.created >= before.created
    card = (tmp_path / "new" / "README.md").read_text(encoding="utf-8")
    assert card.count(" ← | ") == 1
    assert "int8-weights" in card
    assert f"| quantized again | from {bundle.name}, on {origin.cpu} |" in card


def test_every_choice_in_a_row_is_told(plain: Bundle, tmp_path: Path) -> None:
    first = export_bundle(plain, asked=USUAL, max_drop=1.0, output=tmp_path / "first")

    second = export_bundle(first, asked=FOUR_BITS, max_drop=1.0, output=tmp_path / "second")

    origins = second.manifest.provenance.quantized_again
    assert [origin.bundle for origin in origins] == ["plain", "first"]
    assert list(second.manifest.variants) == ["fp32", "int4"]


def test_what_was_removed_is_carried_over_without_the_speed_that_another_file_had(
    copy: Callable[..., Bundle], tmp_path: Path
) -> None:
    search = make_search()
    pruned = copy(compression=make_compression(search, shrunk=make_shrunk(), max_drop=1.0))

    found = export_bundle(pruned, asked=USUAL, output=tmp_path / "again").manifest

    assert compression_of(found).shrunk == make_shrunk(measured=None)
    assert step_of(found, "structure") == search
    card = (tmp_path / "again" / "README.md").read_text(encoding="utf-8")
    assert "it was not measured after the bundle was quantized again" in card


def test_without_evaluation_no_text_is_carried_over(plain: Bundle, tmp_path: Path) -> None:
    found = export_bundle(
        plain, asked=USUAL, max_drop=1.0, evaluation=False, output=tmp_path / "new"
    )

    assert set(found.manifest.files).isdisjoint(TEXT_FILES)
    with pytest.raises(UsageError, match="holds no validation text"):
        export_bundle(found, asked=USUAL, output=tmp_path / "other")


def test_the_same_ways_are_tried_as_of_the_run_and_those_of_the_same_graph_cost_the_same(
    plain: Bundle, bundle: Bundle, tmp_path: Path
) -> None:
    found = export_bundle(plain, asked=USUAL, max_drop=1.0, output=tmp_path / "new")

    here, there = (
        {trial.name: trial for trial in step_of(known, "quantize").trials}
        for known in (found, bundle)
    )
    assert set(here) == set(there)
    fused = [name for name, trial in here.items() if trial.settings["fused"]]
    assert len(fused) >= 3
    for name in fused:
        shifts = [each[name].drift.rms_shift for each in (here, there)]
        assert shifts[0] == pytest.approx(shifts[1], rel=1e-3)
        assert here[name].bytes == there[name].bytes


@pytest.mark.parametrize(
    "asked",
    [
        Quantization((Scheme.STATIC_INT8,)),
        Quantization((Scheme.INT8_WEIGHTS,)),
        Quantization(engine=EngineName.OPENVINO),
    ],
    ids=["static-int8", "int8-weights", "openvino"],
)
def test_schemes_that_want_attention_as_products_get_it_so(
    plain: Bundle, tmp_path: Path, asked: Quantization
) -> None:
    assert count_attention(onnx.load(plain.file("onnx/model.onnx"))) > 0

    found = export_bundle(plain, asked=asked, max_drop=1.0, output=tmp_path / "new")

    assert count_attention(onnx.load(found.file("onnx/model_quantized.onnx"))) == 0
    assert found.manifest.variants["int8"].engine == asked.engine
    texts = texts_of(plain.path / VALIDATION_FILE)
    before, after = (
        text_logits(load_engine(found, name), found.text_encoder(), texts)
        for name in ("fp32", "int8")
    )
    assert 0 < np.abs(before - after).max() < 1


def test_a_graph_without_attention_as_one_node_is_quantized_as_it_is(
    run: Run, tmp_path: Path
) -> None:
    bundle = export(run, options=replace(PLAIN, passes=()), output=tmp_path / "old")

    found = export_bundle(bundle, asked=USUAL, max_drop=1.0, output=tmp_path / "new")

    trials = step_of(found, "quantize").trials
    assert trials
    assert not [trial for trial in trials if trial.settings["fused"]]


# The budget


def test_what_an_earlier_step_cost_is_counted(copy: Callable[..., Bundle], tmp_path: Path) -> None:
    bundle = copy(spent)
    share = FLIPPED / 24

    with pytest.raises(GateError, match=rf"allowed are {100 * (share - 0.01):.2f}"):
        export_bundle(bundle, asked=USUAL, max_drop=share - 0.01, output=tmp_path / "b" / "x")
    assert nothing_is_at(tmp_path / "b")

    found = export_bundle(bundle, asked=USUAL, max_drop=share + 0.2, output=tmp_path / "new")
    assert compression_of(found).spent.accuracy_drop >= share - 1e-9
    assert compression_of(found).spent.accuracy_before == 1.0


@pytest.mark.parametrize(
    ("step", "expected"), [(None, "1.00"), ("vocabulary", "7.00"), ("quantize", "7.00")]
)
def test_without_a_budget_of_its_own_it_is_the_bundles(
    copy: Callable[..., Bundle], tmp_path: Path, step: str | None, expected: str
) -> None:
    taken = make_compression(make_step(name=step), max_drop=0.07) if step else None
    bundle = copy(spent, compression=taken)

    with pytest.raises(GateError, match=f"allowed are {expected}"):
        export_bundle(bundle, asked=USUAL, output=tmp_path / "new")


@pytest.mark.parametrize("max_drop", [-0.01, 1.01, float("nan")])
def test_a_drop_that_is_no_share_is_refused(plain: Bundle, tmp_path: Path, max_drop: float) -> None:
    with pytest.raises(UsageError, match=f"--max-drop: expected a share from 0 to 1.*{max_drop}"):
        export_bundle(plain, asked=USUAL, max_drop=max_drop, output=tmp_path / "new")


def test_test_text_chooses_nothing(copy: Callable[..., Bundle], tmp_path: Path) -> None:
    bundle = copy(lambda path: (path / "evaluation.csv").write_text("not,even\na,csv,file\n"))

    found = export_bundle(bundle, asked=USUAL, max_drop=1.0, output=tmp_path / "new")

    assert found.file("evaluation.csv").read_text() == "not,even\na,csv,file\n"


def test_of_a_model_that_was_trained_for_int8_no_other_way_is_tried(
    copy: Callable[..., Bundle], plain: Bundle, tmp_path: Path
) -> None:
    before = plain.manifest.provenance
    training = {**before.recipe["training"], "quant_aware": True}
    origin = replace(before, recipe={**before.recipe, "training": training})

    found = export_bundle(
        copy(provenance=origin), asked=USUAL, max_drop=1.0, output=tmp_path / "new"
    )

    assert len(step_of(found, "quantize").trials) == 1


# What is refused


def test_a_bundle_of_an_earlier_version_is_refused_with_a_hint(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"tiny_bundle holds no validation text") as caught:
        export_bundle(Bundle.open(OLD), asked=USUAL, output=tmp_path / "b" / "x")

    assert "earlier version" in caught.value.hint
    assert nothing_is_at(tmp_path / "b")


@pytest.mark.parametrize(
    ("asked", "option"),
    [
        (Quantization((Scheme.DYNAMIC_INT8, Scheme.STATIC_INT8)), "--scheme static-int8"),
        (Quantization(engine=EngineName.OPENVINO), "--engine openvino"),
    ],
)
def test_fixed_scales_without_training_text_are_refused_by_name(
    copy: Callable[..., Bundle], tmp_path: Path, asked: Quantization, option: str
) -> None:
    bundle = copy(lambda path: (path / CALIBRATION_FILE).unlink())

    with pytest.raises(UsageError, match=f"{option}: .* carries no training text"):
        export_bundle(bundle, asked=asked, output=tmp_path / "b" / "x")
    assert nothing_is_at(tmp_path / "b")


@pytest.mark.parametrize(
    "name", ["onnx/model.onnx", LOGITS_FILE, "config.json", "evaluation.csv", "README.md"]
)
def test_a_changed_file_is_noticed_before_anything_is_written(
    copy: Callable[..., Bundle], tmp_path: Path, name: str
) -> None:
    bundle = copy()
    raw = bytearray((bundle.path / name).read_bytes())
    raw[-1] ^= 1
    (bundle.path / name).write_bytes(raw)

    with pytest.raises(IntegrityError, match=Path(name).name):
        export_bundle(bundle, asked=USUAL, max_drop=1.0, output=tmp_path / "b" / "x")
    assert nothing_is_at(tmp_path / "b")


def test_a_bundle_with_a_file_that_the_manifest_does_not_list_is_refused(
    copy: Callable[..., Bundle], tmp_path: Path
) -> None:
    bundle = copy()
    (bundle.path / "notes.txt").write_text("mine")

    with pytest.raises(IntegrityError, match=r"does not list: 'notes\.txt'"):
        export_bundle(bundle, asked=USUAL, max_drop=1.0, output=tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_an_attention_that_cannot_be_taken_apart_is_named(
    copy: Callable[..., Bundle], tmp_path: Path
) -> None:
    def directed(path: Path) -> None:
        model = onnx.load(path / "onnx/model.onnx")
        node = next(node for node in model.graph.node if node.op_type == "Attention")
        node.attribute.append(onnx.helper.make_attribute("unidirectional", 1))
        onnx.save(model, path / "onnx/model.onnx")

    with pytest.raises(ExportError, match="cannot be split"):
        export_bundle(copy(directed), asked=USUAL, max_drop=1.0, output=tmp_path / "b" / "x")
    assert nothing_is_at(tmp_path / "b")


def test_a_missing_engine_is_named(
    plain: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    monkeypatch.delitem(sys.modules, "edgeadapt.runtime.openvino_engine", raising=False)

    with pytest.raises(MissingExtraError, match=r"needs the extra \[openvino\]"):
        export_bundle(
            plain, asked=Quantization(engine=EngineName.OPENVINO), output=tmp_path / "b/x"
        )
    assert nothing_is_at(tmp_path / "b")


def external(model: onnx.ModelProto) -> None:
    """Lets the first constant be read from another place."""
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "../../../../../../etc/passwd"


def foreign(model: onnx.ModelProto) -> None:
    """Names an operator that nobody has."""
    product = next(node for node in model.graph.node if node.op_type == "MatMul")
    product.domain = "evil"


@pytest.mark.parametrize("change", [external, foreign])
def test_a_graph_that_cannot_be_run_is_refused_by_name(
    plain: Bundle, tmp_path: Path, change: Callable[[onnx.ModelProto], None]
) -> None:
    own = Path(shutil.copytree(plain.path, tmp_path / "own"))
    model = onnx.load(own / "onnx/model.onnx")
    change(model)
    (own / "onnx/model.onnx").write_bytes(model.SerializeToString())
    Bundle.write(own, plain.manifest)

    with pytest.raises(LayoutError, match=r"cannot load .*own/onnx/model\.onnx"):
        export_bundle(Bundle.open(own), asked=USUAL, max_drop=1.0, output=tmp_path / "b" / "x")
    assert nothing_is_at(tmp_path / "b")


def test_a_graph_that_runs_and_that_onnx_cannot_read_is_refused(
    plain: Bundle, tmp_path: Path
) -> None:
    own = Path(shutil.copytree(plain.path, tmp_path / "own"))
    model = onnx.load(own / "onnx/model.onnx")
    constant = next(node for node in model.graph.node if node.op_type == "Constant")
    constant.domain = "evil"  # ONNX Runtime makes a value of it before it looks
    (own / "onnx/model.onnx").write_bytes(model.SerializeToString())
    Bundle.write(own, plain.manifest)

    with pytest.raises(ExportError, match=r"The graph runs, but onnx .* cannot quantize it"):
        export_bundle(Bundle.open(own), asked=USUAL, max_drop=1.0, output=tmp_path / "b" / "x")
    assert nothing_is_at(tmp_path / "b")


def test_a_graph_with_other_labels_than_the_manifest_is_refused(
    plain: Bundle, tmp_path: Path
) -> None:
    own = Path(shutil.copytree(plain.path, tmp_path / "own"))
    np.save(own / LOGITS_FILE, np.zeros((24, 3), np.float32))
    Bundle.write(own, replace(plain.manifest, labels=("negative", "positive", "neutral")))

    with pytest.raises(LayoutError, match=r"model\.onnx does not give logits"):
        export_bundle(Bundle.open(own), asked=USUAL, max_drop=1.0, output=tmp_path / "b" / "x")


# The name of the new bundle


def test_without_a_name_it_is_called_like_the_bundle_and_the_platform(
    plain: Bundle, in_empty_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("EDGEADAPT_ARTIFACTS", raising=False)
    asked = Quantization(platform=Platform.PORTABLE)

    first = export_bundle(plain, asked=asked, max_drop=1.0)
    second = export_bundle(plain, asked=asked, max_drop=1.0)
    again = export_bundle(first, asked=asked, max_drop=1.0)

    assert first.path.resolve() == in_empty_folder / "artifacts/bundles/plain-portable"
    assert [each.name for each in (second, again)] == ["plain-portable-2", "plain-portable-3"]


def test_a_bundle_is_not_replaced_by_what_was_chosen_of_it(
    copy: Callable[..., Bundle],
) -> None:
    bundle = copy()
    before = content(bundle.path)

    with pytest.raises(OutputExistsError, match="plain exists already"):
        export_bundle(bundle, asked=USUAL, max_drop=1.0, output=bundle.path)
    assert content(bundle.path) == before


def test_by_force_it_is_replaced_at_once_or_not_at_all(copy: Callable[..., Bundle]) -> None:
    bundle = copy(spent)
    before = content(bundle.path)

    with pytest.raises(GateError):
        export_bundle(bundle, asked=USUAL, max_drop=0.0, output=bundle.path, force=True)
    assert content(bundle.path) == before

    found = export_bundle(bundle, asked=FOUR_BITS, max_drop=1.0, output=bundle.path, force=True)
    found.verify()
    assert set(found.manifest.variants) == {"fp32", "int4"}
    assert [path.name for path in bundle.path.parent.iterdir()] == [bundle.name]


# Without torch

ABSENT = """
import sys

# As where it is not installed, importing one fails, and importlib.util.find_spec finds none.
sys.modules.update(dict.fromkeys({absent}))
from edgeadapt.cli.app import main
main()
"""
TRAIN_TIER = ("torch", "transformers", "datasets", "safetensors", "accelerate", "matplotlib")


@pytest.mark.versions
def test_it_works_where_nothing_of_the_train_tier_is_installed(
    plain: Bundle, tmp_path: Path
) -> None:
    done = run_edgeadapt(
        *("export", str(plain.path), "--quantize", "--scheme", "dynamic-int8+static-int8"),
        *("--max-drop", "1", "--json"),
        code=ABSENT.format(absent=(*TRAIN_TIER, "optimum")),
        cwd=tmp_path,
    )

    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert set(answer) == {"bundle", "parity", "quantization", "compression", "files"}
    found = Bundle.open(tmp_path / answer["bundle"])
    found.verify()
    assert found.name == f"plain-{this_platform()}"
    assert found.manifest.provenance.quantized_again[0].versions["onnx"]


@pytest.mark.versions
def test_where_onnx_is_missing_the_extra_is_named(plain: Bundle, tmp_path: Path) -> None:
    done = run_edgeadapt(
        *("export", str(plain.path), "--quantize"),
        code=ABSENT.format(absent=(*TRAIN_TIER, "onnx")),
        cwd=tmp_path,
    )

    assert done.returncode == 1
    assert "'onnx' is not installed" in done.stderr
    assert 'pip install "edgeadapt[quantize]"' in done.stderr
    assert "Traceback" not in done.stderr
