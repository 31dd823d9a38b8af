"""Files of a folder compared with the list in its manifest."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeadapt.errors import IntegrityError, LayoutError
from edgeadapt.pipeline.inspect import inspect
from edgeadapt.store.bundle import Bundle
from edgeadapt.store.files import sha256
from edgeadapt.store.listing import check_file, check_listed, check_names
from edgeadapt.store.run import Run
from tests.store.manifests import edit_json

SAMPLES = Path(__file__).parents[1] / "assets" / "samples"


@pytest.fixture(params=["run-2", "bundle-2", "run-1"])
def copied(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy of a run or bundle."""
    return Path(shutil.copytree(SAMPLES / request.param, tmp_path / request.param))


@pytest.mark.parametrize(
    "name", ["a/b.c", "model.onnx", "größer.json", "a b", ".hidden", "a/.b", "..a", "a..", "C/x"]
)
def test_plain_relative_paths_are_names(name: str) -> None:
    check_names(["first", name, "last", name])


@pytest.mark.parametrize(
    "name",
    [
        "", ".", "..", "/", "/etc/passwd", "//etc", "../x", "a/../b", "a/../../b", "a/..", "./a",
        "a/./b", "a//b", "a/", "a\\b", "..\\x", "\\x", "\\\\host\\x", "C:x", "C:\\x", "c:/x", "a:b",
        "a\0b", "a\nb", "a\x1b[0m", "a\u202eb", "\ud800",
    ],
)  # fmt: skip
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="the file name") as caught:
        check_names(["good", name])
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("one", "other"),
    [("README.md", "readme.md"), ("a/B", "A/b"), ("stra\u00dfe", "STRASSE"), ("\u00e9", "e\u0301")],
)
def test_names_that_are_one_on_other_file_systems_are_refused(one: str, other: str) -> None:
    with pytest.raises(ValueError, match="differ only in case"):
        check_names([one, other])


@given(name=st.text(max_size=20) | st.text(alphabet="./\\:a", max_size=8))
def test_a_name_that_passes_stays_in_its_folder(name: str) -> None:
    try:
        check_names([name])
    except ValueError:
        return
    folder = Path("/somewhere/else")
    inside = os.path.normpath(folder / name)
    assert Path(inside).is_relative_to(folder)
    assert inside == f"{folder}/{name}"


PUT: dict[str, Callable[[Path], object]] = {
    "file": lambda folder: (folder / "evil.py").write_text("raise SystemExit"),
    "hidden file": lambda folder: (folder / ".evil").write_text(""),
    "file in a folder": lambda folder: (folder / "torch/evil.py").write_text(""),
    "file below a folder like git's": lambda folder: (folder / "torch/.git").write_text(""),
    "link to a file": lambda folder: (folder / "evil.json").symlink_to(folder / "config.json"),
    "dangling link": lambda folder: (folder / "evil.json").symlink_to("nowhere"),
    "link to a folder": lambda folder: (folder / "evil").symlink_to(folder.parent),
    "named pipe": lambda folder: os.mkfifo(folder / "evil"),
    "partial of a file": lambda folder: (folder / ".manifest.json.x").write_text(""),
}


@pytest.mark.parametrize("what", PUT)
def test_what_was_put_into_a_folder_is_refused_by_name(copied: Path, what: str) -> None:
    (copied / "torch").mkdir(exist_ok=True)
    inspect(str(copied))
    PUT[what](copied)

    with pytest.raises(LayoutError, match=r"evil|\.git|\.manifest\.json\.x"):
        inspect(str(copied))


@pytest.mark.parametrize(
    "name",
    [".DS_Store", "onnx/.DS_Store", "._run.json", "Thumbs.db", "desktop.ini", ".gitattributes",
     ".git/config", ".cache/huggingface/download/manifest.json.lock"],
)  # fmt: skip
def test_what_file_managers_and_download_tools_leave_is_no_matter(copied: Path, name: str) -> None:
    (copied / name).parent.mkdir(parents=True, exist_ok=True)
    (copied / name).write_bytes(b"left behind")

    inspect(str(copied))


def test_what_file_managers_leave_does_not_get_into_the_list(copied: Path) -> None:
    (copied / ".DS_Store").write_bytes(b"")
    if "bundle" in copied.name:
        files = set(Bundle.write(copied, Bundle.open(copied).manifest).manifest.files)
    else:
        files = set(Run.write(copied, Run.open(copied).info).info.files)

    assert "tokenizer.json" in files
    assert ".DS_Store" not in files


def test_one_folder_of_a_bundle_is_checked_alone(tmp_path: Path) -> None:
    bundle = Bundle.open(Path(shutil.copytree(SAMPLES / "bundle-2", tmp_path / "b")))
    (bundle.path / "torch").mkdir()
    (bundle.path / "beside.txt").write_text("")

    bundle.check_listed(under="torch")
    bundle.check_listed(under="onnx")
    (bundle.path / "torch" / "custom.py").write_text("")
    with pytest.raises(IntegrityError, match=r"does not list: 'torch/custom\.py'"):
        bundle.check_listed(under="torch")


def test_all_unlisted_files_are_counted(tmp_path: Path) -> None:
    for name in ("b", "a", "c"):
        (tmp_path / name).write_text("")

    with pytest.raises(IntegrityError, match="does not list: 'a' and 1 more"):
        check_listed(tmp_path, {"b"})


@pytest.mark.parametrize("name", ["tokenizer.json", "link/tokenizer.json"])
def test_a_link_that_leaves_the_folder_is_refused_though_the_file_is_the_same(
    copied: Path, tmp_path: Path, name: str
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    shutil.copy(copied / "tokenizer.json", outside / "tokenizer.json")
    if name.startswith("link"):
        (copied / "link").symlink_to(outside)
    else:
        (copied / name).unlink()
        (copied / name).symlink_to(outside / "tokenizer.json")

    with pytest.raises(LayoutError, match="leaves its folder") as caught:
        check_file(copied, name, sha256=sha256(outside / "tokenizer.json"), size=None)
    assert "cp -rL" in caught.value.hint


def test_a_link_within_the_folder_is_as_good_as_the_file(copied: Path) -> None:
    (copied / "tokenizer.json").rename(copied / "tokenizer_config.jso")
    (copied / "tokenizer.json").symlink_to("tokenizer_config.jso")
    digest = sha256(copied / "tokenizer.json")

    assert check_file(copied, "tokenizer.json", sha256=digest, size=None).is_symlink()


def test_a_folder_under_a_link_is_opened_like_any_other(copied: Path, tmp_path: Path) -> None:
    (tmp_path / "latest").symlink_to(copied)

    inspect(str(tmp_path / "latest"))


@pytest.mark.parametrize("kind", ["run-2", "bundle-2", "bundle-1"])
def test_a_larger_file_is_refused_without_reading_it(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = SAMPLES.parent / "tiny_bundle" if kind == "bundle-1" else SAMPLES / kind
    copied = Path(shutil.copytree(source, tmp_path / kind))
    opened = Run.open(copied) if kind == "run-2" else Bundle.open(copied)
    with (copied / "tokenizer.json").open("r+b") as file:
        file.truncate(4 * 2**30)  # takes no space on the disk
    monkeypatch.setattr("edgeadapt.store.files.sha256", lambda path: pytest.fail(f"read {path}"))

    with pytest.raises(IntegrityError, match=r"expected sha256 .* bytes, found 4,294,967,296"):
        opened.file("tokenizer.json")


def test_a_file_that_is_a_folder_or_a_pipe_now_is_missing(copied: Path) -> None:
    opened = Bundle.open(copied) if "bundle" in copied.name else Run.open(copied)
    (copied / "tokenizer.json").unlink()
    os.mkfifo(copied / "tokenizer.json")

    with pytest.raises(IntegrityError, match=r"tokenizer\.json is missing"):
        opened.file("tokenizer.json")


@pytest.mark.parametrize("name", ["a\\b", "", "../x", "/x", "A/b", "Tokenizer.json", "x\0"])
def test_a_manifest_with_such_a_name_is_not_opened(tmp_path: Path, name: str) -> None:
    bundle = Path(shutil.copytree(SAMPLES / "bundle-2", tmp_path / "b"))
    run = Path(shutil.copytree(SAMPLES / "run-2", tmp_path / "r"))
    entry = {"sha256": "0" * 64, "bytes": 0}
    edit_json(
        bundle / "manifest.json", lambda value: value["files"].update({name: entry, "a/B": entry})
    )
    edit_json(run / "run.json", lambda value: value["files"].update({name: "0" * 64, "a/B": ""}))

    with pytest.raises(LayoutError, match=r"manifest\.json is not a bundle's: the file names?"):
        Bundle.open(bundle)
    with pytest.raises(LayoutError, match=r"run\.json is not a run's: the file names?"):
        Run.open(run)


def test_a_folder_that_cannot_be_listed_is_refused(
    copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("os.scandir", refuse)

    with pytest.raises(LayoutError, match="Permission denied"):
        check_listed(copied, set())
