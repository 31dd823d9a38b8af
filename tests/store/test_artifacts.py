"""Folders of artefacts, and the resolution of names."""

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeadapt.store import artifacts

WORDS = st.text("abcxyz019-_", min_size=1, max_size=8)


def test_artifacts_are_in_the_working_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EDGEADAPT_ARTIFACTS", raising=False)

    assert artifacts.runs() == Path("artifacts/runs")
    assert artifacts.bundles() == Path("artifacts/bundles")
    assert artifacts.records() == Path("artifacts/records")


def test_the_environment_can_put_artifacts_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEADAPT_ARTIFACTS", str(tmp_path))

    assert artifacts.runs() == tmp_path / "runs"
    assert artifacts.bundles() == tmp_path / "bundles"
    assert artifacts.records() == tmp_path / "records"


def test_a_new_name_is_readable_and_holds_the_time(tmp_path: Path) -> None:
    path = artifacts.new_name(tmp_path, "bench", suffix=".json")

    assert path.parent == tmp_path
    assert re.fullmatch(r"bench-20\d{6}-\d{6}\.json", path.name)
    assert not path.exists()


def test_new_names_of_the_same_second_differ(tmp_path: Path) -> None:
    names = []
    for _ in range(5):
        path = artifacts.new_name(tmp_path, "bench", suffix=".json")
        path.touch()
        names.append(path)

    assert len(set(names)) == 5
    assert all(path.suffix == ".json" for path in names)


def test_a_bare_name_that_is_nowhere_is_one_of_the_folder(in_empty_folder: Path) -> None:
    assert artifacts.resolve("demo", Path("runs")) == Path("runs/demo")


def test_a_bare_name_is_the_one_in_the_folder_where_both_exist(in_empty_folder: Path) -> None:
    (in_empty_folder / "runs" / "demo").mkdir(parents=True)
    (in_empty_folder / "demo").mkdir()

    assert artifacts.resolve("demo", Path("runs")) == Path("runs/demo")


def test_a_bare_name_is_a_path_where_only_the_path_exists(in_empty_folder: Path) -> None:
    (in_empty_folder / "demo").mkdir()

    assert artifacts.resolve("demo", Path("runs")) == Path("demo")


@pytest.mark.parametrize("name", ["other/demo", "../demo", ".", ".."])
def test_a_path_is_a_path_whether_it_exists_or_not(in_empty_folder: Path, name: str) -> None:
    assert artifacts.resolve(name, Path("runs")) == Path(name)


def test_an_absolute_path_is_a_path(tmp_path: Path) -> None:
    assert artifacts.resolve(str(tmp_path / "demo"), Path("runs")) == tmp_path / "demo"


def test_a_tilde_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))

    assert artifacts.resolve("~/demo", Path("runs")) == tmp_path / "demo"


@pytest.mark.parametrize("name", ["./demo", "demo/"])
def test_a_separator_makes_a_path_even_where_the_folder_has_that_name(
    in_empty_folder: Path, name: str
) -> None:
    (in_empty_folder / "runs" / "demo").mkdir(parents=True)
    (in_empty_folder / "demo").mkdir()

    assert artifacts.resolve(name, Path("runs")) == Path("demo")


def test_a_leading_dot_names_something_new_in_the_working_folder(in_empty_folder: Path) -> None:
    assert artifacts.resolve("./demo", Path("runs")) == Path("demo")


@pytest.mark.parametrize("name", ["first", "first.json"])
def test_a_suffix_may_be_left_out(in_empty_folder: Path, name: str) -> None:
    assert artifacts.resolve(name, Path("records"), suffix=".json") == Path("records/first.json")


def test_a_path_that_is_there_needs_no_suffix(in_empty_folder: Path) -> None:
    (in_empty_folder / "here").mkdir()
    (in_empty_folder / "here" / "first").touch()

    assert artifacts.resolve("here/first", Path("records"), suffix=".json") == Path("here/first")
    assert artifacts.resolve("here/new", Path("records"), suffix=".json") == Path("here/new.json")


@given(WORDS, WORDS)
@settings(max_examples=25, deadline=None)
def test_whatever_has_a_folder_in_it_is_taken_as_it_is(folder: str, name: str) -> None:
    assert artifacts.resolve(f"{folder}/{name}", Path("runs")) == Path(folder) / name


def test_a_model_is_a_checkpoint_of_that_name_or_what_it_says(
    in_empty_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("EDGEADAPT_ARTIFACTS", raising=False)
    Path("artifacts/checkpoints/mine").mkdir(parents=True)
    Path("artifacts/checkpoints/other").mkdir()
    Path("other").mkdir()

    assert artifacts.model_id("mine") == "artifacts/checkpoints/mine"
    for same in ("other", "bert-base-uncased", "owner/name", "./mine"):
        assert artifacts.model_id(same) == same


def test_a_bare_word_to_write_goes_into_the_folder_whatever_else_is_called_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "demo").mkdir()

    assert artifacts.destination("demo", Path("runs")) == Path("runs/demo")
    assert artifacts.destination("./demo", Path("runs")) == Path("demo")
    assert artifacts.destination("first.json", Path("records"), suffix=".json") == Path(
        "records/first.json"
    )


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("./first", "first.json"),
        ("./first.json", "first.json"),
        ("./first.txt", "first.txt"),
        ("some/folder/first", "some/folder/first.json"),
        (".", "."),
        ("..", ".."),
        ("../..", "../.."),
    ],
)
def test_a_path_to_write_that_ends_in_no_suffix_gets_one(name: str, path: str) -> None:
    assert artifacts.destination(name, Path("records"), suffix=".json") == Path(path)
