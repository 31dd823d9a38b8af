"""Files are written atomically and can be verified."""

import hashlib
import os
from pathlib import Path

import pytest

from edgeadapt.errors import (
    FormatVersionError,
    IntegrityError,
    LayoutError,
    MissingError,
)
from edgeadapt.store.files import (
    check_format_version,
    check_sha256,
    read_json,
    sha256,
    write_json,
    write_text,
)
from tests.store.writers import failing, listing, on_a_full_disk

# Hashes and format versions


def test_a_hash_is_sha256_of_the_bytes(tmp_path: Path) -> None:
    file = tmp_path / "weights"
    file.write_bytes(b"\x00weights\xff" * 100_000)

    assert sha256(file) == hashlib.sha256(b"\x00weights\xff" * 100_000).hexdigest()


def test_an_unchanged_file_passes(tmp_path: Path) -> None:
    file = tmp_path / "weights"
    file.write_bytes(b"weights")
    before = sha256(file)

    check_sha256(file, before)

    assert sha256(file) == before


def test_a_changed_file_is_named_with_both_hashes(tmp_path: Path) -> None:
    file = tmp_path / "weights"
    file.write_bytes(b"weights")
    expected = sha256(file)
    file.write_bytes(b"weightz")

    with pytest.raises(IntegrityError) as caught:
        check_sha256(file, expected)

    for words in (str(file), f"expected sha256 {expected}", f"found {sha256(file)}"):
        assert words in str(caught.value)


def test_a_missing_file_is_named_with_the_hash_it_should_have(tmp_path: Path) -> None:
    with pytest.raises(IntegrityError) as caught:
        check_sha256(tmp_path / "weights", "ab" * 32)

    assert f"{tmp_path / 'weights'} is missing" in str(caught.value)
    assert "ab" * 32 in str(caught.value)


@pytest.mark.parametrize("version", [1, 2])
def test_supported_format_versions_pass(version: int, tmp_path: Path) -> None:
    try:
        check_format_version(version, supported=2, path=tmp_path / "run.json")
    except LayoutError as error:
        pytest.fail(str(error))


def test_a_newer_format_version_is_named_with_the_supported_one(tmp_path: Path) -> None:
    path = tmp_path / "run.json"

    with pytest.raises(FormatVersionError) as caught:
        check_format_version(3, supported=2, path=path)

    assert f"{path} has format version 3; this edgeadapt reads up to 2" in str(caught.value)
    assert "Upgrade" in caught.value.hint


@pytest.mark.parametrize("found", [None, 0, -1, "1", 1.0, [1]])
def test_an_unusable_format_version_is_shown(found: object, tmp_path: Path) -> None:
    path = tmp_path / "run.json"

    with pytest.raises(LayoutError) as caught:
        check_format_version(found, supported=2, path=path)

    assert not isinstance(caught.value, FormatVersionError)
    assert str(path) in str(caught.value)
    assert f"from 1 to 2, found {found!r}" in str(caught.value)


# JSON


def test_json_comes_back_as_it_was_written(tmp_path: Path) -> None:
    value = {"text": 'café 😀 "quoted"', "numbers": [1, 2.5, None, True], "nested": {"a": {}}}

    write_json(tmp_path / "value.json", value)

    assert read_json(tmp_path / "value.json") == value


def test_json_is_written_for_readers(tmp_path: Path) -> None:
    write_json(tmp_path / "value.json", {"name": "café"})

    written = (tmp_path / "value.json").read_text(encoding="utf-8")
    assert written == '{\n  "name": "café"\n}\n'


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_number_that_json_lacks_is_not_written(value: float, tmp_path: Path) -> None:
    write_json(tmp_path / "value.json", {"old": 1})

    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "value.json", {"loss": value})

    assert read_json(tmp_path / "value.json") == {"old": 1}
    assert listing(tmp_path) == ["value.json"]


def test_a_missing_json_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=r"value\.json does not exist"):
        read_json(tmp_path / "value.json")


@pytest.mark.parametrize("raw", [b"", b"{", b'{"a": 1} trailing', b'{"a": "\xff"}'])
def test_a_damaged_json_file_is_named(raw: bytes, tmp_path: Path) -> None:
    (tmp_path / "value.json").write_bytes(raw)

    with pytest.raises(LayoutError, match=r"value\.json is not valid JSON"):
        read_json(tmp_path / "value.json")


@pytest.mark.parametrize(("raw", "found"), [("[1]", "list"), ("null", "NoneType"), ("1", "int")])
def test_json_that_is_no_object_is_named(raw: str, found: str, tmp_path: Path) -> None:
    (tmp_path / "value.json").write_text(raw)

    with pytest.raises(LayoutError, match=rf"value\.json: expected a JSON object, found a {found}"):
        read_json(tmp_path / "value.json")


# Writing a file


def test_a_written_file_replaces_the_old_one_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    write_text(tmp_path / "note.txt", "old, and longer than the new one")

    write_text(tmp_path / "note.txt", "new")

    assert (tmp_path / "note.txt").read_text() == "new"
    assert listing(tmp_path) == ["note.txt"]


def test_missing_parent_folders_are_made(tmp_path: Path) -> None:
    write_text(tmp_path / "a" / "b" / "note.txt", "new")

    assert (tmp_path / "a" / "b" / "note.txt").read_text() == "new"


def test_a_written_file_can_be_read_by_others(tmp_path: Path) -> None:
    write_text(tmp_path / "note.txt", "new")

    assert (tmp_path / "note.txt").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("failure", [OSError("the device is gone"), KeyboardInterrupt()])
def test_an_interrupted_write_keeps_the_old_file(
    failure: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_text(tmp_path / "note.txt", "old")

    monkeypatch.setattr(os, "fsync", failing(failure))
    with pytest.raises(type(failure)):
        write_text(tmp_path / "note.txt", "new")

    assert (tmp_path / "note.txt").read_text() == "old"
    assert listing(tmp_path) == ["note.txt"]


def test_text_that_cannot_be_encoded_keeps_the_old_file(tmp_path: Path) -> None:
    write_text(tmp_path / "note.txt", "old")

    with pytest.raises(UnicodeEncodeError):
        write_text(tmp_path / "note.txt", "half an emoji: \ud83d")

    assert (tmp_path / "note.txt").read_text() == "old"
    assert listing(tmp_path) == ["note.txt"]


def test_a_full_disk_keeps_the_old_file_and_names_the_folder(tmp_path: Path) -> None:
    write_text(tmp_path / "note.txt", "old")

    message = on_a_full_disk("write_text(target, 'x' * 100_000)", tmp_path / "note.txt")

    assert f"No space left while writing to {tmp_path}" in message
    assert "Free some disk space" in message
    assert (tmp_path / "note.txt").read_text() == "old"
    assert listing(tmp_path) == ["note.txt"]
