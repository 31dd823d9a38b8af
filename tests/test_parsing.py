"""Untrusted JSON and TOML: limits, and rejections that name the reason."""

import json
import math
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgeadapt.errors import (
    DataError,
    EdgeAdaptError,
    IntegrityError,
    LayoutError,
    MissingError,
    RecipeError,
)
from edgeadapt.parsing import check_downloaded, parse_json, parse_toml, read_bounded
from edgeadapt.recipe import Recipe
from edgeadapt.store.files import read_json

NESTED = 100_000

REFUSED = {
    "nested arrays": ("[" * NESTED + "]" * NESTED, "64 levels"),
    "nested objects": ('{"a":' * NESTED + "1" + "}" * NESTED, "64 levels"),
    "unclosed arrays": ("[" * NESTED, "64 levels"),
    "one level too many": ("[" * 65 + "]" * 65, "64 levels"),
    "digits": ("9" * 5000, "digits in a whole number"),
    "negative digits": ('{"a": -' + "9" * 5000 + "}", "digits in a whole number"),
    "NaN": ('{"loss": NaN}', "NaN, which is no JSON number"),
    "Infinity": ("[Infinity]", "Infinity, which is no JSON number"),
    "-Infinity": ("-Infinity", "-Infinity, which is no JSON number"),
    "an infinite float": ("[1e999]", "1e999 is too large"),
    "a long float": ("-" + "9" * 400 + ".0", "is too large"),
    "two equal keys": ('{"a": 1, "b": {"c": 1, "c": 2}}', "'c' occurs twice"),
    "equal keys, spelled otherwise": ('{"ab": 1, "\\u0061b": 2}', "'ab' occurs twice"),
    "half a pair": ('["\\ud83d"]', "lone surrogate"),
    "the other half": ('{"\\uDE00": 1}', "lone surrogate"),
    "halves in the wrong order": ('["\\ude00\\ud83d"]', "lone surrogate"),
    "no JSON": ("{", "not valid JSON"),
    "nothing": ("", "not valid JSON"),
    "a byte order mark": ("\ufeff{}", "not valid JSON"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_json_beyond_the_bounds_is_refused_with_its_place(name: str) -> None:
    text, expected = REFUSED[name]

    with pytest.raises(DataError) as caught:
        parse_json(text, where="labels.json", refusal=DataError)

    assert caught.value.message.startswith("labels.json is not valid JSON: ")
    assert expected in caught.value.message
    assert len(caught.value.message) < 300


@pytest.mark.parametrize(
    "value",
    [
        {},
        [[]],
        json.loads("[" * 64 + "]" * 64),
        {"a": {"a": 1}, "b": {"a": 1}},
        ["😀", "größer", "\\ud83d", "\x00"],
        [1e308, -5e-324, 10**4000, -0.0, True, None],
    ],
)
def test_json_within_the_bounds_is_what_python_reads(value: object) -> None:
    for ascii_only in (True, False):
        text = json.dumps(value, ensure_ascii=ascii_only)

        assert parse_json(text, where="x") == parse_json(text.encode(), where="x") == value


@settings(max_examples=300, deadline=None)
@given(content=st.binary() | st.text(alphabet='{}[]:,"\\ud8F0e+-.NaInfity\n ').map(str.encode))
def test_any_bytes_are_a_value_or_an_error_of_ours(content: bytes) -> None:
    for parse in (parse_json, parse_toml):
        try:
            value = parse(content, where="any")
        except EdgeAdaptError as error:
            assert "any is not valid" in error.message  # noqa: PT017 - either may happen
        else:
            json.dumps(value, default=str).encode("utf-8")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(value=JSON)
def test_every_json_value_comes_back(value: object) -> None:
    assert parse_json(json.dumps(value), where="x") == value


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a = " + "[" * NESTED + "]" * NESTED, "64 levels"),
        ("a = " + "[" * 80 + "]" * 80, "64 levels"),
        ("a = " + "9" * 5000, "digits in a whole number"),
        ("a = 1\na = 2", "not valid TOML"),
        ("a =", "not valid TOML"),
    ],
)
def test_toml_beyond_the_bounds_is_refused(text: str, expected: str) -> None:
    with pytest.raises(RecipeError, match=r"my\.toml is not valid TOML") as caught:
        parse_toml(text.encode(), where="my.toml", refusal=RecipeError)
    assert expected in caught.value.message


@pytest.mark.parametrize("name", ["nested arrays", "digits", "two equal keys", "half a pair"])
def test_no_recipe_is_read_from_such_a_file(tmp_path: Path, name: str) -> None:
    (tmp_path / "run.json").write_text(f'{{"recipe": {{"model": {REFUSED[name][0]}}}}}')

    with pytest.raises(RecipeError, match=r"run\.json cannot be read as a recipe"):
        Recipe.load(str(tmp_path / "run.json"))


def test_a_recipe_nested_without_end_is_refused(tmp_path: Path) -> None:
    (tmp_path / "deep.toml").write_text("a = " + "[" * NESTED)

    with pytest.raises(RecipeError, match=r"deep\.toml cannot be read as a recipe"):
        Recipe.load(str(tmp_path / "deep.toml"))


def test_a_file_of_the_largest_size_is_read_and_a_larger_one_is_not(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"12345")

    assert read_bounded(tmp_path / "file", limit=5) == b"12345"
    with pytest.raises(LayoutError, match="file is too large: expected at most 4 bytes, found 5"):
        read_bounded(tmp_path / "file", limit=4)


def test_a_file_of_four_gigabytes_is_refused_without_reading_it(tmp_path: Path) -> None:
    with (tmp_path / "config.json").open("wb") as file:
        file.truncate(4 * 2**30)  # takes no space on the disk

    with pytest.raises(LayoutError, match="at most 16,777,216 bytes, found 4,294,967,296"):
        read_json(tmp_path / "config.json")


@pytest.mark.parametrize(
    ("path", "found"), [("/dev/zero", "a device"), ("/dev", "a folder"), ("/dev/null", "a device")]
)
def test_what_is_no_regular_file_is_refused(path: str, found: str) -> None:
    with pytest.raises(LayoutError, match=f"{path}: expected a regular file, found {found}"):
        read_json(Path(path))


def test_a_named_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    with pytest.raises(LayoutError, match="expected a regular file, found a named pipe"):
        read_json(tmp_path / "pipe")


def test_a_file_that_says_nothing_of_its_size_is_bounded_too() -> None:
    with pytest.raises(LayoutError, match="too large: expected at most 10 bytes, found 11"):
        read_bounded(Path("/proc/self/status"), limit=10)


def test_a_file_that_is_not_there_is_missing(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=r"nowhere\.json does not exist"):
        read_json(tmp_path / "nowhere.json")


@pytest.mark.parametrize("name", ["a\0b", "x" * 300])
def test_a_name_that_no_file_can_have_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(LayoutError, match="cannot be read"):
        read_json(tmp_path / name)


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(content=st.binary())
def test_a_file_of_any_bytes_is_an_object_or_refused_by_name(
    tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "any.json").write_bytes(content)

    try:
        assert isinstance(read_json(tmp_path / "any.json"), dict)
    except LayoutError as error:
        assert "any.json" in error.message  # noqa: PT017 - either may happen


def test_an_infinite_number_never_comes_out() -> None:
    for text in ("1e308", "-1.7976931348623157e308"):
        assert math.isfinite(parse_json(text, where="x"))


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"<!DOCTYPE html><html></html>", "an HTML page"),
        (b"404: Not Found", "the text '404: Not Found'"),
        (b"\xef\xbb\xbf<html>", "an HTML page"),
    ],
)
def test_a_page_in_place_of_json_is_called_that(content: bytes, found: str) -> None:
    with pytest.raises(IntegrityError) as caught:
        parse_json(content, where="labels.json")

    assert caught.value.message.startswith(f"labels.json is not valid JSON: it is {found}")
    assert "Fetch the file again" in caught.value.hint


def test_json_with_a_byte_order_mark_is_read() -> None:
    assert parse_json('{"a": "é"}'.encode("utf-8-sig"), where="labels.json") == {"a": "é"}


@pytest.mark.parametrize(
    ("encoding", "named"),
    [("utf-16", "UTF-16"), ("utf-32", "UTF-32"), ("utf-16-le", "UTF-16 or"), ("utf-16-be", "UTF-")],
)
def test_json_in_another_encoding_is_refused_by_its_name(encoding: str, named: str) -> None:
    with pytest.raises(DataError, match=f"it is encoded in {named}.*expected UTF-8"):
        parse_json('{"a": 1}'.encode(encoding), where="labels.json", refusal=DataError)


@pytest.mark.parametrize("content", [b"", b"  \n"])
def test_an_empty_file_is_called_that(content: bytes) -> None:
    with pytest.raises(LayoutError, match="is not valid JSON: it is empty"):
        parse_json(content, where="labels.json")


@pytest.mark.parametrize(
    "content", [b"", b"error\nwarning\n", b'{"error": 1}', b"PK\x03\x04", b"{"]
)
def test_other_files_are_not_taken_for_failed_downloads(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)

    check_downloaded(tmp_path / "file")
    check_downloaded(tmp_path)
    check_downloaded(tmp_path / "missing")
