"""A bundle on disk: writing, opening, verifying, finding."""

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgeadapt.errors import (
    FormatVersionError,
    IntegrityError,
    LayoutError,
    MissingError,
    UnfinishedError,
    UsageError,
)
from edgeadapt.store.bundle import Bundle, FileInfo, Manifest, Variant
from edgeadapt.store.provenance import Provenance
from edgeadapt.store.run import Run
from edgeadapt.store.structure import Structure
from tests.conftest import make_tokenizer
from tests.store.handmade import make_compression, make_gates, make_score
from tests.store.manifests import change_json, edit_json

pytestmark = pytest.mark.versions

FP32 = Variant("onnx/model.onnx", "onnxruntime")
INT8 = Variant("onnx/model_quantized.onnx", "onnxruntime", "dynamic-int8")
TORCH = Variant("torch/model.safetensors", "torch")
MANIFEST = Manifest(
    labels=("schlecht", "größer"),
    max_length=6,
    pad_id=0,
    variants={"fp32": FP32, "int8": INT8, "torch": TORCH},
    provenance=Provenance(run="r", test=make_score(accuracy=0.5)),
    gates=make_gates(),
    compression=make_compression(),
    created="2026-01-02T03:04:05+00:00",
    edgeadapt="0.0.0",
)
CONTENT = {
    "config.json": b"{}",
    "onnx/model.onnx": b"four bytes and more",
    "onnx/model_quantized.onnx": b"four",
    "torch/config.json": b"{ }",
    "torch/model.safetensors": b"twelve bytes",
}


def write_bundle(path: Path, manifest: Manifest = MANIFEST) -> Bundle:
    """Writes a bundle whose models are not real."""
    for name, content in CONTENT.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    make_tokenizer().save(str(path / "tokenizer.json"))
    return Bundle.write(path, manifest)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_an_opened_bundle_is_equal_to_the_written_one(tmp_path: Path) -> None:
    written = write_bundle(tmp_path / "b")

    assert Bundle.open(tmp_path / "b") == written
    assert {**written.manifest.__dict__, "files": {}} == MANIFEST.__dict__


def test_the_manifest_lists_every_other_file_with_hash_and_size(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "b")

    assert bundle.manifest.files == {
        name: FileInfo(digest(bundle.path / name), (bundle.path / name).stat().st_size)
        for name in (*CONTENT, "tokenizer.json")
    }


def test_the_manifest_carries_the_format_version(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "b")
    value = json.loads((bundle.path / "manifest.json").read_text())

    assert value["format_version"] == Bundle.FORMAT_VERSION


def test_a_missing_bundle_is_named_with_the_command_that_makes_one(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=r"no bundle at .*nowhere") as caught:
        Bundle.open(tmp_path / "nowhere")

    assert "edgeadapt export" in caught.value.hint


def test_a_run_in_place_of_a_bundle_is_named_with_the_command_that_exports_it(
    tiny_run: Run,
) -> None:
    with pytest.raises(LayoutError, match=r"is a run: expected a bundle") as caught:
        Bundle.open(tiny_run.path)

    assert f"edgeadapt export {tiny_run.path}" in caught.value.hint


def test_a_file_in_place_of_a_bundle_is_called_one(tmp_path: Path) -> None:
    (tmp_path / "record.json").write_text("{}")

    with pytest.raises(MissingError, match=r"record\.json: expected a folder, found a file"):
        Bundle.open(tmp_path / "record.json")


def test_a_folder_without_a_manifest_is_unfinished(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "half")
    (bundle.path / "manifest.json").unlink()

    with pytest.raises(
        UnfinishedError, match=r"half is not a finished bundle: it has no manifest\.json"
    ):
        Bundle.open(bundle.path)


def test_a_checkpoint_in_place_of_a_bundle_is_called_one(tmp_path: Path) -> None:
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_text("{}")

    with pytest.raises(LayoutError, match="is a checkpoint: expected a bundle") as caught:
        Bundle.open(tmp_path)
    assert f"edgeadapt export {tmp_path} --dataset" in caught.value.hint


def test_a_newer_bundle_is_refused_with_both_versions(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "b")
    change_json(bundle.path / "manifest.json", format_version=9)

    with pytest.raises(
        FormatVersionError, match=r"manifest\.json has format version 9.*up to 3"
    ) as caught:
        Bundle.open(bundle.path)
    assert "pip install --upgrade" in caught.value.hint


@pytest.mark.parametrize("version", [None, 0, "1", {}])
def test_an_unusable_format_version_is_refused_and_shown(tmp_path: Path, version: object) -> None:
    bundle = write_bundle(tmp_path / "b")
    change_json(bundle.path / "manifest.json", format_version=version)

    with pytest.raises(LayoutError, match="no usable format version") as caught:
        Bundle.open(bundle.path)
    assert repr(version) in caught.value.message


@pytest.mark.parametrize("text", ["", "{", "[]", "null"])
def test_a_manifest_without_a_json_object_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "manifest.json").write_text(text)

    with pytest.raises(LayoutError, match=r"manifest\.json"):
        Bundle.open(tmp_path)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("labels", None),
        ("variants", ["fp32"]),
        ("variants", {"fp32": {"file": "onnx/model.onnx"}}),
        ("variants", {"fp32": "onnx/model.onnx"}),
        ("files", ["config.json"]),
        ("files", {"config.json": "ab"}),
        ("surprise", 1),
    ],
)
def test_a_manifest_with_a_malformed_field_is_refused(
    tmp_path: Path, name: str, value: object
) -> None:
    bundle = write_bundle(tmp_path / "b")
    change_json(bundle.path / "manifest.json", **{name: value})

    with pytest.raises(LayoutError, match=r"manifest\.json is not a bundle's"):
        Bundle.open(bundle.path)


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("max_length", 2.5, "max_length: expected a whole number, found 2.5"),
        ("max_length", 0, "max_length: expected at least 1, found 0"),
        ("max_length", "32", "max_length: expected a whole number, found '32'"),
        ("pad_id", -1, "pad_id: expected a whole number from 0, found -1"),
        ("pad_id", True, "pad_id: expected a whole number, found true"),
        ("labels", [], "labels: expected at least one name, all different"),
        ("labels", ["a", "a"], "labels: expected at least one name, all different"),
        ("labels", ["a", 1], "labels[1]: expected a string, found 1"),
        ("labels", "ab", "labels: expected a list, found 'ab'"),
        ("pairs", "yes", "pairs: expected true or false, found 'yes'"),
        ("created", 5, "created: expected a string, found 5"),
        ("variants.int8.engine", "exec", "variants.int8.engine: expected one of onnxruntime"),
        ("variants.int8.platform", "z80", "variants.int8.platform: expected one of auto"),
        ("variants.int8.file", None, "variants.int8.file: expected a string, found null"),
        ("variants.int8.file", "../model.onnx", "files: '../model.onnx' is missing"),
        ("variants.int8.file", "onnx/other.onnx", "files: 'onnx/other.onnx' is missing"),
        ("variants.int8", {"engine": "torch"}, "variants.int8: the key 'file' is missing"),
        ("variants.int8.entry", "x", "variants.int8: unknown key 'entry'"),
        ("files.config.json.bytes", -1, "files.config.json.bytes: expected a whole number from 0"),
        ("files.config.json.bytes", 1e3, "files.config.json.bytes: expected a whole number"),
        ("files.config.json.sha256", None, "files.config.json.sha256: expected a string"),
        ("provenance", [], "provenance: expected an object, found a list of 0"),
        ("provenance.backbone", "bert", "provenance.backbone: expected an object, found 'bert'"),
        ("provenance.backbone", {"id": 3}, "provenance.backbone.id: expected a string, found 3"),
        ("provenance.run", ["r"], "provenance.run: expected a string, found a list of 1"),
        ("provenance.method", 3, "provenance.method: expected a string, found 3"),
        ("provenance.recipe", {"data": 3}, "provenance.recipe.data: expected an object, found 3"),
        ("provenance.recipe", {"data": {"name": {}}}, "provenance.recipe.data.name: expected"),
        ("provenance.author", "x", "provenance: unknown key 'author'"),
        ("provenance.test.texts", -1, "provenance.test.texts: expected a whole number from 0"),
        ("provenance.test", 0.5, "provenance.test: expected an object, found 0.5"),
        ("gates", {}, "gates: the key 'merge' is missing"),
        ("gates.merge.parity.max_difference", "0", "parity.max_difference: expected a number"),
        ("gates.merge.leftover", {}, "gates.merge.leftover: the key '"),
        ("gates.onnx", 3, "gates.onnx: expected an object, found 3"),
        ("compression", 3, "compression: expected an object, found 3"),
        ("compression.steps", [], "compression: steps: expected at least one, found none"),
        ("compression.spent.label_agreement", "all", "spent.label_agreement: expected a number"),
        ("compression.spent.accuracy_drop", None, "spent.accuracy_drop: expected a number"),
        ("compression.engine", "exec", "compression.engine: expected one of onnxruntime"),
        ("compression.steps.0.chosen", "x", "chosen: expected the name of one trial, found 'x'"),
        ("compression.steps.0.trials.0.settings", {"keep": [1]}, "settings.keep: expected"),
    ],
)
def test_a_value_of_another_type_is_named_before_it_is_used(
    tmp_path: Path, key: str, value: object, expected: str
) -> None:
    bundle = write_bundle(tmp_path / "b")
    *tables, last = key.replace("config.json", "config/json").split(".")

    def change(within: dict[str, Any]) -> None:
        for table in tables:
            at: Any = int(table) if table.isdecimal() else table.replace("/", ".")
            within = within[at]
        within[last] = value

    edit_json(bundle.path / "manifest.json", change)

    with pytest.raises(LayoutError, match=r"manifest\.json is not a bundle's: ") as caught:
        Bundle.open(bundle.path)
    assert expected in caught.value.message


@pytest.mark.parametrize("where", ['"größer"', '"created": "', '"run": "'])
def test_half_a_surrogate_pair_is_no_text_of_a_manifest(tmp_path: Path, where: str) -> None:
    bundle = write_bundle(tmp_path / "b")
    file = bundle.path / "manifest.json"
    file.write_text(file.read_text().replace(where, where[:-1] + '\\ud800"', 1))

    with pytest.raises(LayoutError, match=r"manifest\.json is not valid JSON"):
        Bundle.open(bundle.path)


def test_a_bundle_without_a_tokenizer_is_refused_when_it_is_opened(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "b")
    edit_json(bundle.path / "manifest.json", lambda value: value["files"].pop("tokenizer.json"))

    with pytest.raises(LayoutError, match=r"files: 'tokenizer\.json' is missing"):
        Bundle.open(bundle.path)


def test_a_runs_json_is_not_a_manifest(tmp_path: Path, tiny_run: Run) -> None:
    shutil.copy(tiny_run.path / "run.json", tmp_path / "manifest.json")

    with pytest.raises(LayoutError, match=r"manifest\.json is not a bundle's"):
        Bundle.open(tmp_path)


def test_a_changed_file_is_named_with_expected_and_found_hash(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "b")
    file = bundle.path / "onnx" / "model.onnx"
    expected = digest(file)
    file.write_bytes(b"other bytes")

    with pytest.raises(IntegrityError) as caught:
        bundle.file("onnx/model.onnx")
    assert f"{file} is not the file" in caught.value.message
    assert f"expected sha256 {expected}, found {digest(file)}" in caught.value.message


def test_a_removed_file_is_named_as_missing(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "b")
    (bundle.path / "config.json").unlink()

    with pytest.raises(IntegrityError, match=r"config\.json is missing"):
        bundle.verify()


def test_a_file_that_the_manifest_does_not_list_is_refused(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "b")
    (bundle.path / "later.onnx").write_bytes(b"")

    with pytest.raises(LayoutError, match=r"manifest\.json lists no file 'later\.onnx'"):
        bundle.file("later.onnx")


@pytest.mark.parametrize("name", [*CONTENT, "tokenizer.json"])
def test_verify_names_whichever_file_was_changed(tmp_path: Path, name: str) -> None:
    bundle = write_bundle(tmp_path / "b")
    bundle.verify()
    (bundle.path / name).write_bytes((bundle.path / name).read_bytes() + b" ")

    with pytest.raises(IntegrityError, match=f"{name} is not the file"):
        bundle.verify()


@pytest.mark.parametrize("name", ["../secret", "onnx/../../secret", "{root}/secret"])
def test_a_file_name_that_leaves_the_bundle_is_refused(tmp_path: Path, name: str) -> None:
    bundle = write_bundle(tmp_path / "b")
    secret = tmp_path / "secret"
    secret.write_text("outside")
    entry = {"sha256": digest(secret), "bytes": 7}
    change_json(bundle.path / "manifest.json", files={name.format(root=tmp_path): entry})

    with pytest.raises(LayoutError, match=r"manifest\.json is not a bundle's.*secret.*leaves"):
        Bundle.open(bundle.path)


def test_all_under_opens_every_finished_bundle_by_name(tmp_path: Path) -> None:
    for name in ("zebra", "ant", "half", ".next.partial-x", ".ant.old-y"):
        write_bundle(tmp_path / name)
    (tmp_path / "half" / "manifest.json").unlink()
    (tmp_path / "a-file").write_text("")

    assert [bundle.name for bundle in Bundle.all_under(tmp_path)] == ["ant", "zebra"]


def test_all_under_a_folder_that_is_not_there_is_nothing(tmp_path: Path) -> None:
    assert Bundle.all_under(tmp_path / "nowhere") == []


def test_a_variant_is_found_by_name(tmp_path: Path) -> None:
    assert write_bundle(tmp_path / "b").variant("int8") == INT8


def test_an_unknown_variant_is_refused_with_those_that_there_are(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "b")

    with pytest.raises(UsageError, match="no variant 'int4': found fp32, int8, torch"):
        bundle.variant("int4")


@pytest.mark.parametrize(
    ("variants", "expected"),
    [({"fp32": FP32, "int8": INT8}, "int8"), ({"fp32": FP32, "torch": TORCH}, "fp32")],
)
def test_int8_is_the_default_where_there_is_one(
    tmp_path: Path, variants: dict[str, Variant], expected: str
) -> None:
    manifest = Manifest(**{**MANIFEST.__dict__, "variants": variants})

    assert write_bundle(tmp_path / "b", manifest).default_variant() == expected


def test_the_size_of_an_onnx_variant_is_that_of_its_file(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "b")

    assert bundle.variant_bytes("int8") == len(CONTENT["onnx/model_quantized.onnx"])


def test_the_size_of_a_torch_variant_is_that_of_its_folder(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "b")
    expected = len(CONTENT["torch/config.json"]) + len(CONTENT["torch/model.safetensors"])

    assert bundle.variant_bytes("torch") == expected


def test_the_text_encoder_cuts_at_the_manifests_length_and_never_pads(tmp_path: Path) -> None:
    encoder = write_bundle(tmp_path / "b").text_encoder()

    assert [len(tokens) for tokens in encoder.encode(["film", "film " * 30])] == [
        3,
        MANIFEST.max_length,
    ]


def bundle_with(path: Path, *, vocab_size: object, added: int = 0) -> Bundle:
    bundle = write_bundle(path)
    tokenizer = make_tokenizer()
    tokenizer.add_tokens([f"<user {number}>" for number in range(added)])
    tokenizer.save(str(path / "tokenizer.json"))
    (path / "config.json").write_text(json.dumps({"vocab_size": vocab_size}))
    return Bundle.write(path, bundle.manifest)


def test_a_token_without_an_embedding_is_refused_when_the_tokenizer_is_read(
    tmp_path: Path,
) -> None:
    rows = make_tokenizer().get_vocab_size()

    with pytest.raises(LayoutError, match=rf"token {rows} \('<user 0>'\).*below {rows}"):
        bundle_with(tmp_path / "b", vocab_size=rows, added=1).text_encoder()
    with pytest.raises(LayoutError, match=f"expected ids below {rows - 1}"):
        bundle_with(tmp_path / "c", vocab_size=rows - 1).text_encoder()


@pytest.mark.parametrize("vocab_size", [97, 200, None])
def test_a_tokenizer_may_be_smaller_than_the_table_or_of_an_unknown_one(
    tmp_path: Path, vocab_size: object
) -> None:
    bundle_with(tmp_path / "b", vocab_size=vocab_size, added=2).text_encoder()


def test_a_changed_tokenizer_is_refused_before_it_is_read(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "b")
    (bundle.path / "tokenizer.json").write_text("not even JSON")

    with pytest.raises(IntegrityError, match=r"tokenizer\.json is not the file"):
        bundle.text_encoder()


def test_a_bundle_is_called_like_its_folder_even_from_within(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_bundle(tmp_path / "reviews")
    monkeypatch.chdir(tmp_path / "reviews")

    assert Bundle.open(Path()).name == "reviews"


def test_the_structure_of_a_pruned_model_is_kept(tmp_path: Path) -> None:
    structure = Structure(heads=(12, 3, 0), neurons=(3072, 0, 7))

    write_bundle(tmp_path / "b", replace(MANIFEST, structure=structure))

    assert Bundle.open(tmp_path / "b").manifest.structure == structure


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (
            {"heads": [1, 2], "neurons": [3]},
            "structure: expected the heads and neurons of",
        ),
        ({"heads": [], "neurons": []}, "structure: expected .* at least one, found 0 and 0"),
        ({"heads": [-1], "neurons": [3]}, "structure.heads.*expected .*found -1"),
        ({"heads": [1.5], "neurons": [3]}, "structure.heads.*expected"),
        ({"heads": [1]}, "structure: the key 'neurons' is missing"),
        ([1], "structure: expected an object"),
    ],
)
def test_a_structure_that_is_none_is_refused_by_name(
    tmp_path: Path, value: object, expected: str
) -> None:
    bundle = write_bundle(tmp_path / "b")
    change_json(bundle.path / "manifest.json", structure=value)

    with pytest.raises(LayoutError, match=expected):
        Bundle.open(bundle.path)
