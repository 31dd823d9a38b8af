"""Manifests contain their own hash, which detects any change."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from edgeadapt.errors import (
    EdgeAdaptError,
    FormatVersionError,
    IntegrityError,
    LayoutError,
    MissingError,
)
from edgeadapt.store.bundle import Bundle
from edgeadapt.store.manifests import read_manifest, write_manifest
from edgeadapt.store.record import Record
from edgeadapt.store.run import Run
from edgeadapt.training.checkpoints import Checkpoints
from tests.store.manifests import edit_json

SAMPLES = Path(__file__).parents[1] / "assets" / "samples"
VALUE = {"labels": ["größer", "no"], "length": 3, "share": 0.1, "none": None, "files": {"a": "0"}}


def read(path: Path) -> dict[str, object]:
    return read_manifest(path, supported=2, hashed_from=2)


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    write_manifest(tmp_path / "manifest.json", VALUE, version=2)
    return tmp_path / "manifest.json"


def test_a_manifest_comes_back_as_it_was_written(manifest: Path) -> None:
    assert read(manifest) == VALUE
    assert list(read(manifest)) == list(VALUE)


def test_its_hash_is_that_of_its_bytes_with_zeros_for_the_hash(manifest: Path) -> None:
    content = manifest.read_bytes()
    stated = json.loads(content)["sha256"]

    blank = content.replace(stated.encode(), b"0" * 64)

    assert hashlib.sha256(blank).hexdigest() == stated


def test_an_edited_manifest_whose_hash_goes_along_is_whole(manifest: Path) -> None:
    edit_json(manifest, lambda value: value.update(length=4))

    assert read(manifest) == VALUE | {"length": 4}


def flips(content: bytes, change: Callable[[int], int]) -> list[bytes]:
    """Every copy of the content in which one byte is another one."""
    return [
        content[:place] + bytes([change(byte)]) + content[place + 1 :]
        for place, byte in enumerate(content)
    ]


CHANGES: dict[str, Callable[[int], int]] = {
    "lowest bit": lambda byte: byte ^ 1,
    "second bit": lambda byte: byte ^ 2,
    "third bit": lambda byte: byte ^ 4,
    "case": lambda byte: byte ^ 32,
    "highest bit": lambda byte: byte ^ 128,
    "a digit": lambda byte: 48 + (byte + 1) % 10,
    "a space": lambda byte: 9 if byte == 32 else 32,
    "a line break": lambda byte: 13 if byte == 10 else 10,
}


@pytest.mark.parametrize("change", CHANGES)
def test_every_changed_byte_is_noticed(manifest: Path, change: str) -> None:
    for changed in flips(manifest.read_bytes(), CHANGES[change]):
        manifest.write_bytes(changed)

        with pytest.raises(EdgeAdaptError):
            read(manifest)


@pytest.mark.parametrize("change", [b"", b" ", b"\n", b"\n{}"])
def test_what_is_cut_off_or_added_at_the_end_is_noticed(manifest: Path, change: bytes) -> None:
    content = manifest.read_bytes()
    manifest.write_bytes(content[:-1] + change if not change.isspace() else content + change)

    with pytest.raises(LayoutError):
        read(manifest)


def test_another_order_of_the_keys_is_noticed(manifest: Path) -> None:
    value = json.loads(manifest.read_text())
    value["labels"] = value.pop("labels")
    manifest.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n")

    with pytest.raises(IntegrityError, match="not the file that was written"):
        read(manifest)


@pytest.mark.parametrize("stated", [None, 3, "", "0" * 63, "A" * 64, ["0" * 64]])
def test_a_manifest_without_a_hash_says_so(manifest: Path, stated: object) -> None:
    value = json.loads(manifest.read_text())
    manifest.write_text(json.dumps(value | {"sha256": stated}))

    with pytest.raises(IntegrityError, match=r"manifest\.json has no valid hash of itself"):
        read(manifest)


def test_a_manifest_whose_hash_was_taken_out_is_refused(manifest: Path) -> None:
    value = json.loads(manifest.read_text())
    del value["sha256"]
    manifest.write_text(json.dumps(value))

    with pytest.raises(IntegrityError, match="has no valid hash of itself"):
        read(manifest)


def test_a_lower_version_is_no_way_around_the_hash(manifest: Path) -> None:
    text = manifest.read_text().replace('"format_version": 2', '"format_version": 1')
    manifest.write_text(text.replace('"length": 3', '"length": 4'))

    with pytest.raises(IntegrityError, match="not the file that was written"):
        read(manifest)


def test_a_manifest_of_before_is_read_without_a_hash(tmp_path: Path) -> None:
    (tmp_path / "old.json").write_text(json.dumps({"format_version": 1, **VALUE}))

    assert read(tmp_path / "old.json") == VALUE


def test_a_newer_one_is_called_newer_whatever_its_hash(manifest: Path) -> None:
    manifest.write_text(manifest.read_text().replace('"format_version": 2', '"format_version": 3'))

    with pytest.raises(FormatVersionError, match=r"format version 3.*up to 2"):
        read(manifest)


@pytest.mark.parametrize("version", [True, 1.0, "2", 0, None])
def test_a_version_that_is_no_number_is_refused(tmp_path: Path, version: object) -> None:
    (tmp_path / "m.json").write_text(json.dumps({"format_version": version, **VALUE}))

    with pytest.raises(LayoutError, match="no usable format version"):
        read(tmp_path / "m.json")


def test_a_missing_manifest_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=r"manifest\.json does not exist"):
        read(tmp_path / "manifest.json")


def test_a_manifest_that_would_not_be_read_again_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(LayoutError, match=r"would take 2\d\d bytes: expected at most 100"):
        write_manifest(tmp_path / "m.json", VALUE, version=2, limit=100)
    assert list(tmp_path.iterdir()) == []


def test_a_value_may_not_bring_a_hash_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'sha256'"):
        write_manifest(tmp_path / "m.json", {"sha256": "0" * 64}, version=2)


OPENERS: dict[str, Callable[[Path], object]] = {
    "run-2/run.json": lambda path: Run.open(path.parent),
    "bundle-2/manifest.json": lambda path: Bundle.open(path.parent),
    "record-3.json": Record.open,
    "about-2.json": lambda path: Checkpoints(path.parent, every=0).begun(),
}


@pytest.mark.parametrize("name", OPENERS)
def test_a_changed_byte_anywhere_in_what_edgeadapt_writes_is_noticed(
    name: str, tmp_path: Path
) -> None:
    names = {"about-2.json": "about.json"}
    path = tmp_path / names.get(name, Path(name).name)
    content = (SAMPLES / name).read_bytes()
    path.write_bytes(content)
    OPENERS[name](path)

    for changed in flips(content, CHANGES["lowest bit"]):
        path.write_bytes(changed)
        with pytest.raises(LayoutError):
            OPENERS[name](path)
