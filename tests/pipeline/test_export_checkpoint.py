"""``edgeadapt export CHECKPOINT``: export of classifiers saved by plain transformers."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from edgeadapt.benchmark.rows import rows as rows_of
from edgeadapt.data import write_csv
from edgeadapt.errors import (
    DataError,
    EdgeAdaptError,
    ModelError,
    OutputExistsError,
    UsageError,
)
from edgeadapt.exporters import step
from edgeadapt.pipeline.bench import bench
from edgeadapt.pipeline.export import ExportOptions, Quantization, Trimming
from edgeadapt.pipeline.export_checkpoint import export_checkpoint
from edgeadapt.recipe import DataConfig, Exporter, ModelConfig, Task
from edgeadapt.runtime.classifier import load
from edgeadapt.store.bundle import Bundle
from tests.benchmark.handmade import tiny_plan
from tests.children import run_child
from tests.conftest import TINY_CONFIGS, review
from tests.lively import finished_checkpoint, lively_checkpoint
from tests.pipeline.exporting import nothing_is_at, read_csv
from tests.pipeline.finished import TEXTS, Said, answers, write_data
from tests.stand_in_hub import StandInHub, files_under, hub_environment

pytestmark = pytest.mark.usefixtures("steady")

NAMES = ("so-so", "bad", "good")
QUICK = tiny_plan(texts=24, timed=4)
PLAIN = ExportOptions(exporter=Exporter.TORCH)
INT8 = ExportOptions(exporter=Exporter.TORCH, quantize=Quantization(), max_drop=1.0)


def exported(
    model: Path | str, output: Path, data: Path | None = None, *, said: Said | None = None,
    options: ExportOptions = PLAIN, labels: tuple[str, ...] | None = None,
    max_length: int | None = None, force: bool = False, **columns: object,
) -> Bundle:  # fmt: skip
    return export_checkpoint(
        ModelConfig(id=str(model)),
        max_length=max_length,
        data=DataConfig(dataset=str(data), **columns) if data else None,  # type: ignore[arg-type]
        labels=labels,
        options=options,
        output=output,
        force=force,
        progress=said or Said(),
    )


def plain_labels(model: Path, texts: list[str]) -> list[str]:
    """What plain transformers answers, by the names of its own configuration."""
    stock = AutoModelForSequenceClassification.from_pretrained(model)
    return [stock.config.id2label[number] for number in answers(model, texts).argmax(axis=1)]


@pytest.mark.parametrize("listed", [("bad", "good", "so-so"), None])
@pytest.mark.parametrize("model_type", ["distilbert", "roberta"])
def test_a_stock_classifier_is_exported_quantized_and_benched_with_its_own_labels(
    model_type: str, listed: tuple[str, ...] | None, tmp_path: Path
) -> None:
    model = finished_checkpoint(tmp_path / "model", NAMES, model_type)
    data = write_data(tmp_path / "data", model, NAMES, listed)
    texts = [review(number)[0] for number in range(200)]

    bundle = exported(model, tmp_path / "bundle", data, options=INT8)
    record, _ = bench([bundle], plan=QUICK, threads=1, output=tmp_path / "record.json")

    assert bundle.manifest.labels == NAMES
    assert bundle.manifest.provenance.test.accuracy == 1.0
    found = [answer.label for answer in load(bundle.path, variant="fp32").predict(texts)]
    assert found == plain_labels(model, texts)
    assert len(set(found)) == 3
    rows = {row.variant: row for row in rows_of(record)}
    assert rows.keys() == {"fp32", "int8"}
    assert rows["fp32"].accuracy == 1.0
    bundle.verify()


@pytest.mark.parametrize("model_type", sorted(set(TINY_CONFIGS) - {"distilbert", "roberta"}))
def test_every_listed_architecture_is_exported_with_its_own_answers(
    model_type: str, tmp_path: Path
) -> None:
    model = finished_checkpoint(tmp_path / "model", NAMES, model_type)

    bundle = exported(model, tmp_path / "bundle")

    found = [answer.label for answer in load(bundle.path).predict(TEXTS)]
    assert found == plain_labels(model, TEXTS)


def test_without_data_it_is_fp32_and_says_what_is_missing(tmp_path: Path) -> None:
    model, said = finished_checkpoint(tmp_path / "model", NAMES), Said()

    bundle = exported(model, tmp_path / "bundle", said=said)

    assert set(bundle.manifest.variants) == {"fp32"}
    assert bundle.manifest.provenance.test is None
    assert any("Without --dataset" in line and "int8" in line for line in said.lines)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (ExportOptions(quantize=Quantization()), "--quantize"),
        (ExportOptions(trim=Trimming()), "--trim-vocab"),
    ],
)
def test_what_needs_data_is_refused_without_it_before_anything_is_read(
    options: ExportOptions, named: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=f"{named}: .*--dataset"):
        exported(tmp_path / "nowhere", tmp_path / "b" / "bundle", options=options)

    assert nothing_is_at(tmp_path / "b")


@pytest.mark.parametrize("model_type", TINY_CONFIGS)
def test_an_encoder_without_a_head_is_refused_by_what_is_missing(
    model_type: str, tmp_path: Path
) -> None:
    model = lively_checkpoint(tmp_path / "model", model_type)

    with pytest.raises(ModelError, match=r"not a complete classifier.*classifier\.") as caught:
        exported(model, tmp_path / "b" / "bundle")

    assert f"edgeadapt train --model {model}" in caught.value.hint
    assert nothing_is_at(tmp_path / "b")


def test_a_head_that_lacks_a_layer_is_refused_by_its_name(tmp_path: Path) -> None:
    model = finished_checkpoint(tmp_path / "model", NAMES, "distilbert")
    tensors = load_file(model / "model.safetensors")
    del tensors["pre_classifier.weight"]
    save_file(tensors, model / "model.safetensors", metadata={"format": "pt"})

    with pytest.raises(ModelError, match=r"its head lacks pre_classifier\.weight"):
        exported(model, tmp_path / "bundle")


@pytest.mark.parametrize(
    ("names", "config", "named"),
    [
        (("score",), {}, "regression"),
        (NAMES, {"problem_type": "regression"}, "regression"),
        (NAMES, {"label2id": {"so-so": 2, "bad": 1, "good": 0}}, "contradict"),
        (NAMES, {"id2label": {"0": "a", "1": "b"}, "label2id": None}, "another shape"),
        (NAMES, {"architectures": ["BertForTokenClassification"]}, "BertForTokenClassification"),
        (NAMES, {"id2label": {"0": " a", "1": "b", "2": "c"}, "label2id": None}, "' a'"),
    ],
)
def test_a_checkpoint_that_is_no_classifier_or_contradicts_itself_is_refused_by_name(
    names: tuple[str, ...], config: dict[str, object], named: str, tmp_path: Path
) -> None:
    model = finished_checkpoint(tmp_path / "model", names, **config)

    with pytest.raises(ModelError, match=named):
        exported(model, tmp_path / "b" / "bundle")

    assert nothing_is_at(tmp_path / "b")


def test_names_come_from_label2id_where_that_is_all_there_is(tmp_path: Path) -> None:
    model = finished_checkpoint(tmp_path / "model", NAMES)
    twin = finished_checkpoint(tmp_path / "twin", NAMES, id2label=None)

    bundle = exported(twin, tmp_path / "bundle")

    assert bundle.manifest.labels == NAMES
    assert [a.label for a in load(bundle.path).predict(TEXTS)] == plain_labels(model, TEXTS)


def test_data_with_other_labels_is_refused_with_both(tmp_path: Path) -> None:
    model = finished_checkpoint(tmp_path / "model", NAMES)
    data = write_data(tmp_path / "data", model, ("x", "y", "z"), None)

    with pytest.raises(DataError, match="expected so-so, bad, good, found x, y, z"):
        exported(model, tmp_path / "bundle", data)


@pytest.mark.parametrize("given", [("0", "1", "2"), ("So-So", "BAD", "Good")])
def test_indices_and_names_in_other_case_are_read_as_the_outputs_and_it_is_said(
    given: tuple[str, ...], tmp_path: Path
) -> None:
    model, said = finished_checkpoint(tmp_path / "model", NAMES), Said()
    data = write_data(tmp_path / "data", model, given, None)

    bundle = exported(model, tmp_path / "bundle", data, said=said)

    assert bundle.manifest.labels == NAMES
    assert bundle.manifest.provenance.test.accuracy == 1.0
    assert any(str(model) in line for line in said.lines)
    assert {row["label"] for row in read_csv(bundle.path / "evaluation.csv")} == set(NAMES)


def test_outputs_without_names_need_them_where_the_data_has_some(tmp_path: Path) -> None:
    model = finished_checkpoint(tmp_path / "model", ("LABEL_0", "LABEL_1"))
    data = write_data(tmp_path / "data", model, ("pos", "neg"), ("neg", "pos"))
    numbers = write_data(tmp_path / "numbers", model, ("0", "1"), None)

    with pytest.raises(DataError, match="LABEL_0, LABEL_1, found neg, pos") as caught:
        exported(model, tmp_path / "b" / "bundle", data)
    assert "--labels" in caught.value.hint
    named = exported(model, tmp_path / "named", data, labels=("pos", "neg"))
    plain = exported(model, tmp_path / "plain", numbers)

    assert named.manifest.labels == ("pos", "neg")
    assert plain.manifest.labels == ("LABEL_0", "LABEL_1")
    for bundle in (named, plain):
        assert bundle.manifest.provenance.test.accuracy == 1.0


def test_labels_that_contradict_its_own_are_refused(tmp_path: Path) -> None:
    model = finished_checkpoint(tmp_path / "model", NAMES)

    with pytest.raises(UsageError, match=r"--labels: .*expected so-so, bad, good, found good"):
        exported(model, tmp_path / "bundle", labels=("good", "bad", "so-so"))


def test_a_classifier_of_pairs_reads_pairs(tmp_path: Path) -> None:
    model = finished_checkpoint(tmp_path / "model", NAMES)
    pairs = [(review(n)[0], review(n + 7)[0]) for n in range(100)]
    tokens = AutoTokenizer.from_pretrained(model)(
        *map(list, zip(*pairs, strict=True)), padding=True, truncation=True, max_length=40,
        return_tensors="pt",
    )  # fmt: skip
    stock = AutoModelForSequenceClassification.from_pretrained(model).eval()
    with torch.inference_mode():
        logits = stock(**tokens).logits
        stock.classifier.bias -= logits.mean(axis=0)  # so that every label is somebody's
    stock.save_pretrained(model)
    labels = [NAMES[at] for at in (logits - logits.mean(axis=0)).argmax(axis=1)]
    assert set(labels) == set(NAMES)
    first, second = zip(*pairs, strict=True)
    write_csv(tmp_path / "data.csv", {"one": first, "two": second, "label": labels})
    (tmp_path / "labels.json").write_text(json.dumps(NAMES))

    bundle = exported(
        model, tmp_path / "bundle", tmp_path / "data.csv",
        text_column="one", text_pair_column="two",
    )  # fmt: skip

    assert bundle.manifest.pairs
    assert bundle.manifest.provenance.test.accuracy == 1.0


def test_a_classifier_of_sets_of_labels_reads_sets_without_being_told(tmp_path: Path) -> None:
    model = finished_checkpoint(
        tmp_path / "model", NAMES, problem_type="multi_label_classification"
    )
    sets = answers(model) > 0
    labels = ["|".join(n for n, has in zip(NAMES, row, strict=True) if has) for row in sets]
    write_csv(tmp_path / "data.csv", {"text": TEXTS, "label": labels})

    bundle = exported(model, tmp_path / "bundle", tmp_path / "data.csv")

    assert bundle.manifest.task is Task.MULTI_LABEL
    assert bundle.manifest.provenance.test.accuracy == 1.0
    assert exported(model, tmp_path / "plain").manifest.task is Task.MULTI_LABEL


@pytest.mark.parametrize(
    ("limit", "asked", "expected"),
    [
        (40, None, 40),
        (30, None, 30),
        (int(1e30), None, 40),
        (None, None, 40),
        (30, 36, 30),
        (40, 20, 20),
    ],
)
def test_the_longest_input_is_the_checkpoints_own(
    limit: int | None, asked: int | None, expected: int, tmp_path: Path
) -> None:
    model = finished_checkpoint(tmp_path / "model", NAMES)
    path = model / "tokenizer_config.json"
    config = {**json.loads(path.read_text()), "model_max_length": limit}
    path.write_text(json.dumps({key: value for key, value in config.items() if value is not None}))

    bundle = exported(model, tmp_path / "bundle", max_length=asked)

    assert bundle.manifest.max_length == expected


def test_inputs_longer_than_the_default_are_cut_and_it_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(
        TINY_CONFIGS, "bert", {**TINY_CONFIGS["bert"], "max_position_embeddings": 200}
    )
    model, said = finished_checkpoint(tmp_path / "model", NAMES), Said()
    path = model / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "model_max_length": 200}))

    bundle = exported(model, tmp_path / "bundle", said=said)

    assert bundle.manifest.max_length == 128
    assert any("--max-length" in line and "200" in line for line in said.lines)


def test_the_bundle_has_the_checkpoints_name_and_an_existing_one_is_kept(
    in_empty_folder: Path, tmp_path: Path
) -> None:
    model = finished_checkpoint(tmp_path / "my-model", NAMES)

    bundle = export_checkpoint(ModelConfig(id=str(model)), options=PLAIN)

    assert bundle.path == Path("artifacts/bundles/my-model")
    assert not Path("artifacts/runs").exists()
    assert str(tmp_path) not in (bundle.path / "manifest.json").read_text()
    with pytest.raises(OutputExistsError):
        export_checkpoint(ModelConfig(id=str(model)), options=PLAIN)
    assert exported(model, bundle.path, force=True).path == bundle.path


def test_a_failure_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = finished_checkpoint(tmp_path / "model", NAMES)
    monkeypatch.setattr(step, "ONNX_LIMIT", -1.0)

    with pytest.raises(EdgeAdaptError):
        exported(model, tmp_path / "b" / "bundle")

    assert nothing_is_at(tmp_path / "b")


EXPORT = """
import json, sys
from edgeadapt.recipe import Exporter, ModelConfig
from edgeadapt.pipeline.export_checkpoint import export_checkpoint
from edgeadapt.pipeline.export import ExportOptions

bundle = export_checkpoint(
    ModelConfig(id=sys.argv[1], revision=sys.argv[2]),
    options=ExportOptions(exporter=Exporter.TORCH),
)
print(json.dumps({"path": str(bundle.path.resolve()), "bundle": str(bundle.path)}))
"""


def test_a_hub_id_is_a_checkpoint_too(in_empty_folder: Path, tmp_path: Path) -> None:
    model = finished_checkpoint(tmp_path / "model", NAMES)
    with StandInHub().serving() as hub:
        commit = hub.add("somebody/moods", files_under(model), revision="v2")
        environment = hub_environment(hub.endpoint, tmp_path / "hub")
        answer = run_child(EXPORT, "somebody/moods", "v2", environment=environment)

    bundle = Bundle.open(Path(answer["path"]))
    assert answer["bundle"] == "artifacts/bundles/moods"
    assert bundle.manifest.provenance.backbone.commit == commit
    assert [a.label for a in load(bundle.path).predict(TEXTS)] == plain_labels(model, TEXTS)
