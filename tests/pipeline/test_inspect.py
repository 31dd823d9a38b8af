"""Describing and verifying a run, bundle or record."""

import json
import shutil
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer

from edgeadapt.errors import (
    FormatVersionError,
    IntegrityError,
    LayoutError,
    MissingError,
    UnfinishedError,
)
from edgeadapt.pipeline.inspect import inspect
from edgeadapt.store.bundle import Bundle
from edgeadapt.store.run import Run
from tests.benchmark.handmade import copy_bundle, make_record, make_sample, only
from tests.pruned import pruned_bundle
from tests.store.handmade import compression_of, make_compression, make_search, make_shrunk
from tests.store.manifests import change_json, edit_json


@pytest.fixture
def artifacts(in_empty_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty artifacts folder in an empty working folder."""
    monkeypatch.setenv("EDGEADAPT_ARTIFACTS", str(in_empty_folder / "artifacts"))
    return in_empty_folder / "artifacts"


def copied(source: Path, target: Path) -> Path:
    return Path(shutil.copytree(source, target))


def append_to(file: Path) -> None:
    with file.open("ab") as opened:
        opened.write(b" ")


def test_a_run_is_described(tiny_run: Run) -> None:
    found = inspect(str(tiny_run.path))

    info = tiny_run.info
    assert (found["kind"], found["path"]) == ("run", str(tiny_run.path))
    assert found["method"] == "parallel"
    assert found["backbone"] == info.recipe.model.id
    assert found["dataset"] == info.recipe.data.dataset
    assert found["examples"] == {"train": 64, "validation": 24, "test": 24}
    assert found["labels"] == ["negative", "positive"]
    assert found["trainable_parameters"] == info.trainable_parameters
    assert found["total_parameters"] == info.total_parameters
    assert found["validation_accuracy"] == info.validation.accuracy
    assert found["test_accuracy"] == info.test.accuracy
    assert found["best_epoch"] == info.best_epoch
    assert found["created"] == info.created
    assert found["files_verified"] == len(info.files)


def test_a_bundle_is_described(tiny_bundle: Bundle) -> None:
    found = inspect(str(tiny_bundle.path))

    manifest = tiny_bundle.manifest
    sizes = {
        name: (tiny_bundle.path / manifest.variants[name].file).stat().st_size
        for name in ("fp32", "int8")
    }
    assert (found["kind"], found["path"]) == ("bundle", str(tiny_bundle.path))
    assert found["method"] == "parallel"
    assert found["run"] == "tiny"
    assert found["labels"] == ["negative", "positive"]
    assert found["max_length"] == 32
    assert set(found["variants"]) == {"fp32", "int8", "torch"}
    assert {name: found["variants"][name] for name in sizes} == sizes
    assert found["merge_difference"] == manifest.gates.merge.parity.max_difference
    assert found["onnx_difference"] == manifest.gates.onnx.max_difference
    assert found["int8_agreement"] == compression_of(manifest).spent.label_agreement
    assert found["int8_accuracy_drop"] == compression_of(manifest).spent.accuracy_drop
    assert found["files_verified"] == len(manifest.files)


def test_a_bundle_without_int8_has_no_int8_figures(tiny_bundle: Bundle, tmp_path: Path) -> None:
    path = tmp_path / "fp32-only"
    copy_bundle(tiny_bundle, path, compression=None, **only(tiny_bundle, "fp32"))

    found = inspect(str(path))

    assert set(found["variants"]) == {"fp32"}
    assert (found["int8_agreement"], found["int8_accuracy_drop"]) == (None, None)


def test_a_pruned_bundle_shows_the_widths_of_its_layers(
    tiny_bundle: Bundle, tmp_path: Path
) -> None:
    stock = inspect(str(tiny_bundle.path))
    found = inspect(str(pruned_bundle(tiny_bundle, tmp_path / "pruned").path))

    assert (found["heads_by_layer"], found["neurons_by_layer"]) == ([1, 0], [4, 0])
    assert found.keys() - stock.keys() == {"heads_by_layer", "neurons_by_layer"}


def test_a_bundle_says_how_much_was_removed_and_how_much_faster_that_is(
    tiny_bundle: Bundle, tmp_path: Path
) -> None:
    path = tmp_path / "smaller"
    compression = make_compression(make_search(), shrunk=make_shrunk())
    copy_bundle(tiny_bundle, path, compression=compression)

    found = inspect(str(path))

    assert found["removed"] == (
        "1 of 3 layers, 29 of 36 attention heads and 3,488 of 4,800 FFN neurons"
    )
    assert found["speedup_tokens"] == 64
    assert (found["speedup_predicted"], found["speedup_measured"]) == (2.875, 2.625)
    assert "removed" not in inspect(str(tiny_bundle.path))


def test_a_record_is_described(tmp_path: Path) -> None:
    path = tmp_path / "first.json"
    make_record(make_sample(), make_sample(variant="int8"), labels=[0, 1, 0, 1]).write(path)

    assert inspect(str(path)) == {
        "kind": "record",
        "path": str(path),
        "machine": "Some CPU",
        "threads": 2,
        "rows": ["small:fp32", "small:int8"],
        "baseline": "small:fp32",
        "texts": 4,
        "disturbed_by": [],
        "created": "2025-01-01T00:00:00+00:00",
    }


def test_what_is_found_goes_through_json_unchanged(
    tiny_run: Run, tiny_bundle: Bundle, tmp_path: Path
) -> None:
    make_record(make_sample()).write(tmp_path / "record.json")

    for path in (tiny_run.path, tiny_bundle.path, tmp_path / "record.json"):
        found = inspect(str(path))
        assert json.loads(json.dumps(found)) == found


def test_runs_bundles_and_records_are_found_by_name(
    tiny_run: Run, tiny_bundle: Bundle, artifacts: Path
) -> None:
    copied(tiny_run.path, artifacts / "runs" / "a-run")
    copied(tiny_bundle.path, artifacts / "bundles" / "a-bundle")
    make_record(make_sample()).write(artifacts / "records" / "a-record.json")

    names = ("a-run", "a-bundle", "a-record", "a-record.json")
    assert [inspect(name)["kind"] for name in names] == ["run", "bundle", "record", "record"]


def test_a_path_goes_before_a_name(tiny_run: Run, tiny_bundle: Bundle, artifacts: Path) -> None:
    copied(tiny_run.path, artifacts / "runs" / "same")
    copied(tiny_bundle.path, artifacts.parent / "same")

    assert inspect("same")["kind"] == "bundle"


def test_a_name_of_more_than_one_thing_is_refused_with_all_of_them(
    tiny_run: Run, tiny_bundle: Bundle, artifacts: Path
) -> None:
    run = copied(tiny_run.path, artifacts / "runs" / "same")
    bundle = copied(tiny_bundle.path, artifacts / "bundles" / "same")

    with pytest.raises(LayoutError, match="'same' is more than one thing") as caught:
        inspect("same")

    assert f"found {run}, {bundle}." in caught.value.message
    assert f"edgeadapt inspect {bundle}" in caught.value.hint


def test_a_name_of_nothing_is_refused_and_says_where_was_looked(artifacts: Path) -> None:
    with pytest.raises(
        MissingError, match="no run, bundle, record or checkpoint 'nothing'"
    ) as caught:
        inspect("nothing")

    assert str(artifacts) in caught.value.hint
    assert not artifacts.exists()


@pytest.mark.parametrize("name", ["weights/adapter.safetensors", "history.jsonl", "tokenizer.json"])
def test_a_changed_file_of_a_run_is_named(tiny_run: Run, tmp_path: Path, name: str) -> None:
    run = copied(tiny_run.path, tmp_path / "run")
    file = run / name if (run / name).is_file() else next((run / "weights").iterdir())
    append_to(file)

    with pytest.raises(IntegrityError, match="is not the file that was written") as caught:
        inspect(str(run))

    assert str(file) in caught.value.message
    assert tiny_run.info.files[file.relative_to(run).as_posix()] in caught.value.message


def test_every_changed_file_of_a_bundle_is_noticed(tiny_bundle: Bundle, tmp_path: Path) -> None:
    bundle = copied(tiny_bundle.path, tmp_path / "bundle")

    for name in tiny_bundle.manifest.files:
        append_to(bundle / name)
        with pytest.raises(IntegrityError) as caught:
            inspect(str(bundle))
        assert f"{bundle / name} is not the file that was written" in caught.value.message
        shutil.copyfile(tiny_bundle.path / name, bundle / name)
    assert inspect(str(bundle))["files_verified"] == len(tiny_bundle.manifest.files)


def test_a_missing_file_of_a_bundle_is_named(tiny_bundle: Bundle, tmp_path: Path) -> None:
    bundle = copied(tiny_bundle.path, tmp_path / "bundle")
    (bundle / "onnx" / "model_quantized.onnx").unlink()

    with pytest.raises(IntegrityError, match=r"model_quantized\.onnx is missing \(expected"):
        inspect(str(bundle))


def test_an_unfinished_folder_is_neither_run_nor_bundle(
    tiny_bundle: Bundle, tmp_path: Path
) -> None:
    folder = copied(tiny_bundle.path, tmp_path / "unfinished")
    (folder / "manifest.json").unlink()

    with pytest.raises(UnfinishedError, match=r"unfinished .*neither run\.json nor manifest\.json"):
        inspect(str(folder))


def test_what_was_interrupted_says_how_to_go_on(artifacts: Path) -> None:
    for home, command in (("runs", "train"), ("checkpoints", "pretrain")):
        folder = artifacts / home / "stopped"
        (folder / "checkpoint").mkdir(parents=True)

        with pytest.raises(UnfinishedError) as caught:
            inspect(str(folder))

        assert f"edgeadapt {command} --resume {folder}" in caught.value.hint


def test_a_checkpoint_is_described_and_found_by_name(artifacts: Path, checkpoint: Path) -> None:
    copied(checkpoint, artifacts / "checkpoints/mine")

    found = inspect("mine")

    assert found["kind"] == "checkpoint"
    assert found["model_type"] == "bert"
    assert found["bytes"] > 10_000


@pytest.mark.parametrize("order", [sorted, reversed, list])
def test_labels_of_a_checkpoint_come_in_the_order_of_its_logits(
    artifacts: Path, checkpoint: Path, order: Callable[[list[str]], Iterable[str]]
) -> None:
    copied(checkpoint, artifacts / "checkpoints/mine")
    names = {str(number): f"class{number}" for number in range(12)}
    change_json(
        artifacts / "checkpoints/mine/config.json",
        id2label={number: names[number] for number in order(list(names))},
    )

    assert inspect("mine")["labels"] == [f"class{number}" for number in range(12)]


@pytest.mark.parametrize("kind", ["run", "bundle", "record"])
def test_what_a_newer_version_wrote_is_refused(
    tiny_run: Run, tiny_bundle: Bundle, tmp_path: Path, kind: str
) -> None:
    path = tmp_path / "newer"
    if kind == "record":
        make_record(make_sample()).write(path)
        file = path
    else:
        copied(tiny_run.path if kind == "run" else tiny_bundle.path, path)
        file = path / ("run.json" if kind == "run" else "manifest.json")
    change_json(file, format_version=99)

    with pytest.raises(
        FormatVersionError, match="has format version 99; this edgeadapt reads"
    ) as e:
        inspect(str(path))

    assert str(file) in e.value.message
    assert "upgrade" in e.value.hint


@pytest.mark.parametrize(
    "raw", [b"", b"not json", b"[1, 2]", b"{}", b'{"format_version": 1}', b"\xff\xfe"]
)
def test_a_file_that_is_no_record_is_refused(tmp_path: Path, raw: bytes) -> None:
    file = tmp_path / "file.json"
    file.write_bytes(raw)

    with pytest.raises(LayoutError, match=r"file\.json"):
        inspect(str(file))


def test_a_record_that_breaks_off_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "record.json"
    make_record(make_sample()).write(file)
    file.write_text(file.read_text()[:-40])

    with pytest.raises(LayoutError, match=r"record\.json is not valid JSON"):
        inspect(str(file))


def test_a_record_that_lacks_a_field_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "record.json"
    make_record(make_sample()).write(file)
    edit_json(file, lambda value: value["samples"][0].pop("logits"))

    with pytest.raises(LayoutError, match=r"record\.json is not a benchmark record.*logits"):
        inspect(str(file))


def test_inspecting_changes_nothing(tiny_bundle: Bundle) -> None:
    before = {path: path.stat().st_mtime_ns for path in tiny_bundle.path.rglob("*")}

    inspect(str(tiny_bundle.path))

    assert {path: path.stat().st_mtime_ns for path in tiny_bundle.path.rglob("*")} == before


def test_a_bundle_of_another_method_says_so(tiny_bundle: Bundle, tmp_path: Path) -> None:
    provenance = replace(tiny_bundle.manifest.provenance, method="lora")
    manifest = replace(tiny_bundle.manifest, provenance=provenance)
    path = copied(tiny_bundle.path, tmp_path / "bundle")
    Bundle.write(path, manifest)

    assert inspect(str(path))["method"] == "lora"


def test_a_bundle_whose_tokenizer_has_tokens_without_an_embedding_is_refused(
    tiny_bundle: Bundle, tmp_path: Path
) -> None:
    path = copied(tiny_bundle.path, tmp_path / "bundle")
    tokenizer = Tokenizer.from_file(str(path / "tokenizer.json"))
    tokenizer.add_tokens(["<user>"])
    tokenizer.save(str(path / "tokenizer.json"))
    Bundle.write(path, tiny_bundle.manifest)

    with pytest.raises(LayoutError, match=r"'<user>'.*no embedding"):
        inspect(str(path))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"auto_map": {"AutoModel": "evil.Model"}}, "names code to run: auto_map"),
        ({"emb_pooler": "mean"}, 'do not support emb_pooler = "mean"'),
        ({"model_type": "gpt2"}, "The model type 'gpt2' is not supported"),
        ({"num_labels": 3, "id2label": {"0": "a", "1": "b"}}, "num_labels is 3"),
        ({"num_hidden_layers": 10**6}, "expected at most 1,000"),
    ],
)
def test_a_checkpoint_that_training_and_export_refuse_is_said_to_be_refused(
    tmp_path: Path, checkpoint: Path, settings: dict[str, object], words: str
) -> None:
    path = copied(checkpoint, tmp_path / "model")
    change_json(path / "config.json", **settings)

    found = inspect(str(path))

    assert found["kind"] == "checkpoint"
    assert words in found["refused"]
    assert "refused" not in inspect(str(checkpoint))


def test_weights_and_tokenizers_that_are_refused_are_seen_too(
    tmp_path: Path, checkpoint: Path
) -> None:
    wrapped = copied(checkpoint, tmp_path / "wrapped")
    tensors = load_file(wrapped / "model.safetensors")
    save_file({f"module.{name}": t for name, t in tensors.items()}, wrapped / "model.safetensors")
    bare = copied(checkpoint, tmp_path / "bare")
    for name in ("tokenizer.json", "vocab.txt"):
        (bare / name).unlink(missing_ok=True)

    assert "prefix 'module.'" in inspect(str(wrapped))["refused"]
    assert "has no tokenizer" in inspect(str(bare))["refused"]


def test_a_checkpoint_with_pickled_weights_is_one(tmp_path: Path, checkpoint: Path) -> None:
    path = copied(checkpoint, tmp_path / "model")
    torch.save(load_file(path / "model.safetensors"), path / "pytorch_model.bin")
    (path / "model.safetensors").unlink()

    found = inspect(str(path))

    assert found["kind"] == "checkpoint"
    assert "refused" not in found
