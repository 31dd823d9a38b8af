"""``edgeadapt import`` of files from the real libraries, then export and measurement."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file
from torch import nn
from transformers import AutoModelForSequenceClassification

from edgeadapt.benchmark.rows import rows as rows_of
from edgeadapt.errors import DataError, ModelError
from edgeadapt.models.inference import torch_logits
from edgeadapt.models.merge import merge
from edgeadapt.models.opened import OpenedRun
from edgeadapt.pipeline import train as training
from edgeadapt.pipeline.bench import bench
from edgeadapt.pipeline.export import ExportOptions, export
from edgeadapt.pipeline.importing import import_adapter
from edgeadapt.pipeline.inspect import inspect
from edgeadapt.pipeline.train import train
from edgeadapt.recipe import DataConfig, Exporter, ModelConfig, Recipe
from edgeadapt.runtime import load_engine
from edgeadapt.runtime.base import text_logits
from edgeadapt.runtime.classifier import load
from edgeadapt.store.bundle import Bundle
from edgeadapt.store.run import Run
from edgeadapt.store.training import Imported
from edgeadapt.training.objectives import Objective
from edgeadapt.training.outcome import Outcome
from tests.benchmark.handmade import tiny_plan
from tests.conftest import TINY_CONFIGS, review, write_dataset
from tests.lively import lively_checkpoint
from tests.pipeline.exporting import WITHOUT_LIMIT, nothing_is_at, read_csv
from tests.pipeline.foreign_files import library_logits, write_adapterhub, write_lora
from tests.steady import steady_latencies
from tests.store.handmade import compression_of

LIMIT = 1e-5
LABELS = ("negative", "positive")
TEXTS = [review(number)[0] for number in range(100, 112)]
QUICK = tiny_plan(texts=24, timed=4)

WRITERS: dict[str, Callable[[Path, Path], nn.Module]] = {
    "seq_bn": lambda base, folder: write_adapterhub(base, folder, "seq_bn"),
    "double_seq_bn": lambda base, folder: write_adapterhub(base, folder, "double_seq_bn"),
    "par_bn": lambda base, folder: write_adapterhub(base, folder, "par_bn"),
    "par_bn, gelu": lambda base, folder: write_adapterhub(
        base, folder, "par_bn", non_linearity="gelu"
    ),
    "lora": write_lora,
}
SHAPES = {
    "seq_bn": {"method": "sequential", "activation": "relu", "original_ln_before": True},
    "double_seq_bn": {"method": "houlsby", "activation": "swish"},
    "par_bn": {"method": "parallel", "activation": "relu", "scaling": 4.0},
    "par_bn, gelu": {"method": "parallel", "activation": "gelu", "scaling": 4.0},
    "lora": {"method": "lora", "rank": 4, "scaling": 2.0, "targets": "query+value"},
}
STAY = {"seq_bn": 2, "double_seq_bn": 4, "par_bn": 2, "par_bn, gelu": 0, "lora": 0}
"""Bottlenecks that do not fold, of both layers together."""


@dataclass(frozen=True)
class Case:
    """What a library wrote, the library's own model, and the run that was made of it."""

    name: str
    folder: Path
    model: nn.Module
    run: Run


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return lively_checkpoint(tmp_path_factory.mktemp("base") / "checkpoint")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> DataConfig:
    return DataConfig(dataset=str(write_dataset(tmp_path_factory.mktemp("data") / "data")))


@pytest.fixture(scope="module", params=WRITERS)
def case(
    request: pytest.FixtureRequest,
    checkpoint: Path,
    data: DataConfig,
    tmp_path_factory: pytest.TempPathFactory,
) -> Case:
    folder = tmp_path_factory.mktemp("case")
    model = WRITERS[request.param](checkpoint, folder / "adapter")
    run = imported(folder / "adapter", folder / "run", data)
    return Case(request.param, folder / "adapter", model, run)


@pytest.fixture(scope="module")
def bundle(case: Case, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("bundles")
    with steady_latencies():
        return export(case.run, options=WITHOUT_LIMIT, output=folder / "bundle")


@pytest.fixture(scope="module")
def seq_bn(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("seq_bn") / "adapter"
    write_adapterhub(checkpoint, folder, "seq_bn")
    return folder


@pytest.fixture(scope="module")
def lora(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lora") / "adapter"
    write_lora(checkpoint, folder)
    return folder


@pytest.fixture(scope="module")
def headless(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A double_seq_bn that was saved without its head."""
    folder = tmp_path_factory.mktemp("headless") / "adapter"
    write_adapterhub(checkpoint, folder, "double_seq_bn", head=False)
    return folder


def imported(folder: Path, output: Path, data: DataConfig | None = None, **model: object) -> Run:
    config = ModelConfig(**{"id": "", "max_length": 32, **model})
    return import_adapter(folder, model=config, model_named="id" in model, data=data, output=output)


def run_logits(run: Run) -> np.ndarray:
    return torch_logits(
        OpenedRun(run).classifier().model, OpenedRun(run).encoder, TEXTS, batch_size=4
    )


def close(one: np.ndarray, other: np.ndarray, limit: float = LIMIT) -> bool:
    return one.shape == other.shape and bool(np.abs(one - other).max() <= limit)


def test_the_run_gives_the_librarys_logits(case: Case, checkpoint: Path) -> None:
    expected = library_logits(case.model, checkpoint, TEXTS)

    assert expected.std(axis=0).min() > 1000 * LIMIT
    assert close(run_logits(case.run), expected)


def test_the_recipe_has_the_adapters_own_method_and_shape(case: Case) -> None:
    recipe = case.run.info.recipe

    assert {name: getattr(recipe.adapter, name) for name in SHAPES[case.name]} == SHAPES[case.name]
    if case.name != "lora":
        assert 16 / (recipe.adapter.reduction_factor or 16 / recipe.adapter.dimension) == 4


def test_the_run_says_what_it_was_imported_from(case: Case, checkpoint: Path) -> None:
    info, written_by = case.run.info, "peft" if case.name == "lora" else "adapterhub"

    assert info.imported == Imported(written_by, "adapter")
    assert info.backbone.id == str(checkpoint.resolve())
    assert inspect(str(case.run.path))["imported_from"] == f"adapter ({written_by})"
    assert info.labels == LABELS
    assert 0 < info.trainable_parameters < info.total_parameters
    assert info.trainable_parameters == sum(
        tensor.numel()
        for file in ("adapter", "head")
        for tensor in load_file(case.run.path / "weights" / f"{file}.safetensors").values()
    )


def test_its_scores_are_those_of_the_librarys_answers(case: Case, checkpoint: Path) -> None:
    for name, first in (("validation", 64), ("test", 88)):
        texts, known = zip(*(review(number) for number in range(first, first + 24)), strict=True)
        answers = library_logits(case.model, checkpoint, list(texts)).argmax(axis=1)
        right = [LABELS[answer] == label for answer, label in zip(answers, known, strict=True)]

        scores = getattr(case.run.info, name)
        assert (scores.accuracy, scores.texts) == (pytest.approx(np.mean(right)), 24)


def test_the_bundle_passed_its_gates_and_tells_what_did_not_fold(
    case: Case, bundle: Bundle
) -> None:
    gates = bundle.manifest.gates

    assert gates.merge.leftover.bottlenecks == STAY[case.name]
    assert gates.merge.parity.max_difference <= 1e-5
    assert gates.onnx.max_difference <= 1e-4
    assert compression_of(bundle).spent.texts == 24
    assert bundle.manifest.provenance.test == case.run.info.test


def test_the_bundle_answers_as_the_library_does(
    case: Case, bundle: Bundle, checkpoint: Path
) -> None:
    expected = library_logits(case.model, checkpoint, TEXTS)
    fp32, int8 = (
        text_logits(load_engine(bundle, variant), bundle.text_encoder(), TEXTS)
        for variant in ("fp32", "int8")
    )
    labels = [answer.label for answer in load(bundle.path, variant="fp32").predict(TEXTS)]

    assert close(fp32, expected, 1e-4)
    assert not np.array_equal(int8, fp32)
    assert close(int8, fp32, 0.5 * float(np.abs(fp32).max()))
    assert labels == [LABELS[answer] for answer in expected.argmax(axis=1)]


@pytest.mark.parametrize("case", ["seq_bn", "lora"], indirect=True)
def test_bench_measures_it_with_the_runs_accuracy(
    case: Case, bundle: Bundle, tmp_path: Path
) -> None:
    record, _ = bench([bundle], plan=QUICK, threads=1, output=tmp_path / "record.json")

    by_variant = {row.variant: row for row in rows_of(record)}
    assert by_variant.keys() == {"fp32", "int8"}
    assert by_variant["fp32"].accuracy == pytest.approx(case.run.info.test.accuracy)


def test_a_par_bn_with_the_backbones_activation_merges_exactly(
    checkpoint: Path, tmp_path: Path
) -> None:
    model = write_adapterhub(checkpoint, tmp_path / "adapter", "par_bn", non_linearity="gelu")
    run = imported(tmp_path / "adapter", tmp_path / "run")

    merged = merge(OpenedRun(run).classifier())

    assert merged.is_stock
    found = torch_logits(merged.model, OpenedRun(run).encoder, TEXTS, batch_size=4)
    assert close(found, library_logits(model, checkpoint, TEXTS))


def test_a_backbone_that_is_named_is_taken_in_place_of_the_adapters(
    seq_bn: Path, checkpoint: Path, tmp_path: Path
) -> None:
    moved = lively_checkpoint(tmp_path / "moved")

    named = imported(seq_bn, tmp_path / "named", id=str(moved))
    own = imported(seq_bn, tmp_path / "own")

    assert named.info.backbone.id == str(moved.resolve())
    assert own.info.backbone.id == str(checkpoint.resolve())
    assert close(run_logits(named), run_logits(own), 0)


def test_an_adapter_that_names_no_backbone_needs_one(
    checkpoint: Path, lora: Path, tmp_path: Path
) -> None:
    path = lora / "adapter_config.json"
    kept = path.read_text()
    path.write_text(json.dumps(json.loads(kept) | {"base_model_name_or_path": None}))
    try:
        with pytest.raises(ModelError, match="does not say which backbone") as caught:
            imported(lora, tmp_path / "r" / "run")
        run = imported(lora, tmp_path / "run", id=str(checkpoint))
    finally:
        path.write_text(kept)

    assert "--model" in caught.value.hint
    assert nothing_is_at(tmp_path / "r")
    assert run.info.backbone.id == str(checkpoint.resolve())


@pytest.mark.parametrize("adapter", ["seq_bn", "lora"])
def test_a_backbone_of_another_width_is_refused(
    request: pytest.FixtureRequest,
    adapter: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = request.getfixturevalue(adapter)
    monkeypatch.setitem(TINY_CONFIGS, "bert", {**TINY_CONFIGS["bert"], "hidden_size": 32})
    wide = lively_checkpoint(tmp_path / "wide")

    with pytest.raises(ModelError, match=r"expected .*\b32\b.*found .*\b16\b"):
        imported(folder, tmp_path / "r" / "run", id=str(wide))

    assert nothing_is_at(tmp_path / "r")


def test_labels_are_in_the_adapters_order_whatever_the_datas(
    seq_bn: Path, data: DataConfig, tmp_path: Path
) -> None:
    turned = write_dataset(tmp_path / "turned")
    (turned / "labels.json").write_text(json.dumps(LABELS[::-1]))

    one = imported(seq_bn, tmp_path / "one", data)
    other = imported(seq_bn, tmp_path / "other", DataConfig(dataset=str(turned)))

    assert one.info.labels == other.info.labels == LABELS
    assert one.info.test == other.info.test
    for file in ("validation.csv", "predictions.csv"):
        assert read_csv(one.path / file) == read_csv(other.path / file)


def test_where_the_format_has_no_names_the_labels_are_the_datas_else_numbered(
    lora: Path, data: DataConfig, tmp_path: Path
) -> None:
    turned = write_dataset(tmp_path / "turned")
    (turned / "labels.json").write_text(json.dumps(LABELS[::-1]))

    assert imported(lora, tmp_path / "a", data).info.labels == LABELS
    named = imported(lora, tmp_path / "b", DataConfig(dataset=str(turned)))
    assert named.info.labels == LABELS[::-1]
    assert imported(lora, tmp_path / "c").info.labels == ("LABEL_0", "LABEL_1")


def test_data_with_another_number_of_labels_than_the_heads_outputs_is_refused(
    lora: Path, tmp_path: Path
) -> None:
    more = write_dataset(tmp_path / "more")
    (more / "labels.json").write_text(json.dumps([*LABELS, "mixed"]))

    with pytest.raises(DataError, match=r"head has 2 outputs.*found 3: .*mixed") as caught:
        imported(lora, tmp_path / "r" / "run", DataConfig(dataset=str(more)))

    assert "labels.json" in caught.value.hint
    assert nothing_is_at(tmp_path / "r")


@pytest.mark.parametrize(
    ("model_type", "target"),
    [("distilbert", "q_lin"), ("deberta-v2", "query_proj"), ("roberta", "query")],
)
def test_peft_heads_of_two_dense_layers_have_as_many_labels_as_the_outer_has_outputs(
    model_type: str, target: str, tmp_path: Path
) -> None:
    base = lively_checkpoint(tmp_path / "base", model_type)
    stock = AutoModelForSequenceClassification.from_pretrained(base, num_labels=3)
    whole = ["pre_classifier", "pooler", "classifier"]
    model = get_peft_model(
        stock, LoraConfig(r=4, target_modules=[target], modules_to_save=whole)
    ).eval()
    model.save_pretrained(tmp_path / "adapter")

    run = imported(tmp_path / "adapter", tmp_path / "run")

    assert run.info.labels == ("LABEL_0", "LABEL_1", "LABEL_2")
    assert close(run_logits(run), library_logits(model, base, TEXTS))


def test_a_peft_head_that_lacks_a_layer_is_refused_by_the_layers_name(tmp_path: Path) -> None:
    base = lively_checkpoint(tmp_path / "base", "deberta-v2")
    stock = AutoModelForSequenceClassification.from_pretrained(base)
    config = LoraConfig(task_type="SEQ_CLS", r=4, target_modules=["query_proj"])
    get_peft_model(stock, config).save_pretrained(tmp_path / "adapter")

    with pytest.raises(ModelError, match=r"no complete head.*pooler\.dense\.weight") as caught:
        imported(tmp_path / "adapter", tmp_path / "r" / "run")

    assert "classifier" not in caught.value.message
    assert nothing_is_at(tmp_path / "r")


@pytest.mark.parametrize(("with_data", "example"), [(True, "DATASET"), (False, "DATA")])
def test_an_adapter_without_a_head_is_refused_and_the_hint_says_how_to_train_one(
    headless: Path,
    checkpoint: Path,
    data: DataConfig,
    tmp_path: Path,
    with_data: bool,
    example: str,
) -> None:
    with pytest.raises(ModelError, match=r"no complete head.*classifier\.weight") as caught:
        imported(headless, tmp_path / "r" / "run", data if with_data else None)

    assert caught.value.hint.endswith(
        f"edgeadapt train --adapter {headless} --model {checkpoint.resolve()} --dataset "
        + (data.dataset if example == "DATASET" else example)
    )
    assert nothing_is_at(tmp_path / "r")


def test_training_starts_from_the_librarys_tensors_with_a_new_head(
    headless: Path, checkpoint: Path, data: DataConfig, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    seen: list[dict[str, torch.Tensor]] = []
    real = training.fit

    def watched(
        objective: Objective, trained: Mapping[str, torch.nn.Parameter], **more: object
    ) -> Outcome:
        seen.append({n: p.detach().clone() for n, p in trained.items()})
        return real(objective, trained, **more)

    monkeypatch.setattr(training, "fit", watched)
    recipe = Recipe.from_dict(
        {
            "model": {"id": str(checkpoint), "max_length": 32},
            "data": {"dataset": data.dataset},
            "adapter": {"start": str(headless), "dropout": 0.2},
            "training": {"epochs": 2, "device": "cpu", "learning_rate": 5e-3},
        },
        origin="test",
    )

    run = train(recipe, output=tmp_path / "run")

    stored = torch.load(headless / "pytorch_adapter.bin", weights_only=True)
    for place, ours in (("attention.output", "attention"), ("output", "ffn")):
        for half in ("down", "up"):
            for layer in (0, 1):
                inner = ".0" if half == "down" else ""
                theirs = stored[
                    f"bert.encoder.layer.{layer}.{place}.adapters.task.adapter_{half}{inner}.weight"
                ]
                found = seen[0][f"houlsby.layers.{layer}.{ours}.{half}.weight"]
                assert torch.equal(found, theirs)
    after = OpenedRun(run).classifier().trained()
    assert all(not torch.equal(seen[0][name], tensor) for name, tensor in after.items())
    effective = run.info.recipe.adapter
    assert (effective.method, effective.activation) == ("houlsby", "swish")
    assert (effective.start, effective.dropout) == (str(headless.resolve()), 0.2)
    assert run.info.labels == LABELS


def test_an_adapter_without_data_exports_and_benches_without_accuracy(
    lora: Path, tmp_path: Path
) -> None:
    run = imported(lora, tmp_path / "run")

    bundle = export(run, options=ExportOptions(exporter=Exporter.TORCH), output=tmp_path / "bundle")
    record, _ = bench([bundle], plan=QUICK, threads=1, output=tmp_path / "record.json")

    assert bundle.manifest.gates.onnx.texts == 64
    assert [(row.variant, row.accuracy) for row in rows_of(record)] == [("fp32", None)]
