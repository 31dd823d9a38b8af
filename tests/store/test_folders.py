"""Folders are written atomically, by one process at a time."""

import errno
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edgeadapt.errors import (
    EdgeAdaptError,
    OutputExistsError,
    UsageError,
)
from edgeadapt.store import folders
from edgeadapt.store.folders import (
    check_file_free,
    check_free,
    free_name,
    held,
    staged_folder,
)
from tests.store.writers import failing, listing, old_folder, on_a_full_disk, write_folder

# Writing a folder


def test_a_folder_appears_under_its_name_only_when_it_is_complete(tmp_path: Path) -> None:
    target = tmp_path / "runs" / "mine"

    with staged_folder(target) as folder:
        (folder / "weights").mkdir()
        (folder / "weights" / "a.bin").write_bytes(b"a")
        appeared_early = target.exists()

    assert not appeared_early
    assert listing(tmp_path) == [
        "runs",
        "runs/mine",
        "runs/mine/weights",
        "runs/mine/weights/a.bin",
    ]


def test_an_unfinished_folder_is_hidden_beside_its_target(tmp_path: Path) -> None:
    with staged_folder(tmp_path / "mine") as folder:
        place = folder

    assert place.parent == tmp_path
    assert place.name.startswith(".mine.")


def test_a_finished_folder_can_be_read_by_others(tmp_path: Path) -> None:
    with staged_folder(tmp_path / "mine"):
        pass

    assert (tmp_path / "mine").stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("failure", [ValueError("bad weights"), KeyboardInterrupt(), SystemExit(1)])
def test_a_failed_folder_leaves_nothing_behind(failure: BaseException, tmp_path: Path) -> None:
    with pytest.raises(type(failure)):
        write_folder(tmp_path / "mine", failing(failure))

    assert listing(tmp_path) == []


@pytest.mark.parametrize("failure", [ValueError("bad weights"), KeyboardInterrupt()])
def test_a_failed_replacement_keeps_the_old_folder(failure: BaseException, tmp_path: Path) -> None:
    target = old_folder(tmp_path / "mine")

    with pytest.raises(type(failure)):
        write_folder(target, failing(failure), force=True)

    assert listing(tmp_path) == ["mine", "mine/old.txt"]
    assert (target / "old.txt").read_text() == "old"


def test_an_existing_folder_is_refused_before_any_work(tmp_path: Path) -> None:
    target = old_folder(tmp_path / "mine")
    worked = False

    with pytest.raises(OutputExistsError) as caught, staged_folder(target):
        worked = True

    assert not worked
    assert f"{target} exists already" in str(caught.value)
    assert "--force" in caught.value.hint
    assert "--force" in caught.value.hint
    assert listing(tmp_path) == ["mine", "mine/old.txt"]


def test_force_keeps_the_old_folder_until_the_new_one_is_complete(tmp_path: Path) -> None:
    target = old_folder(tmp_path / "mine")

    with staged_folder(target, force=True) as folder:
        (folder / "new.txt").write_text("new")
        seen_meanwhile = listing(target)

    assert seen_meanwhile == ["old.txt"]
    assert listing(tmp_path) == ["mine", "mine/new.txt"]


def test_force_replaces_a_file_of_that_name(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("a file")

    write_folder(tmp_path / "mine", force=True)

    assert listing(tmp_path) == ["mine", "mine/new.txt"]


def test_force_needs_no_old_folder(tmp_path: Path) -> None:
    write_folder(tmp_path / "mine", force=True)

    assert listing(tmp_path) == ["mine", "mine/new.txt"]


def test_the_old_folder_comes_back_when_the_new_one_cannot_take_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = old_folder(tmp_path / "mine")
    rename = Path.replace
    staged: list[Path] = []

    def replace(self: Path, other: Path) -> Path:
        if self in staged:
            raise PermissionError("not allowed")
        return rename(self, other)

    monkeypatch.setattr(Path, "replace", replace)
    with pytest.raises(PermissionError):
        write_folder(target, staged.append, force=True)

    assert listing(tmp_path) == ["mine", "mine/old.txt"]


def test_a_folder_that_appeared_meanwhile_is_not_overwritten_without_force(tmp_path: Path) -> None:
    target = tmp_path / "mine"

    with pytest.raises(OutputExistsError):
        write_folder(target, lambda _: old_folder(target))

    assert listing(tmp_path) == ["mine", "mine/old.txt"]


def test_a_full_disk_leaves_no_folder_and_says_so(tmp_path: Path) -> None:
    action = "with staged_folder(target) as folder: (folder / 'a').write_bytes(bytes(100_000))"

    message = on_a_full_disk(action, tmp_path / "mine")

    assert f"No space left while writing to {tmp_path}" in message
    assert "Free some disk space" in message
    assert listing(tmp_path) == []


def test_a_full_disk_keeps_the_old_folder(tmp_path: Path) -> None:
    target = old_folder(tmp_path / "mine")
    action = (
        "with staged_folder(target, force=True) as folder:"
        " (folder / 'a').write_bytes(bytes(100_000))"
    )

    message = on_a_full_disk(action, target)

    assert f"No space left while writing to {tmp_path}" in message
    assert listing(tmp_path) == ["mine", "mine/old.txt"]


def test_a_full_disk_that_native_code_meets_is_named_too(tmp_path: Path) -> None:
    action = (
        "with staged_folder(target) as folder:"
        " save_file({'weight': np.zeros(100_000)}, folder / 'a.safetensors')"
    )

    message = on_a_full_disk(action, tmp_path / "mine")

    assert f"No space left while writing to {tmp_path}" in message
    assert listing(tmp_path) == []


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_is_known_in_any_language(number: int, tmp_path: Path) -> None:
    failure = OSError(number, "kein Platz mehr")

    with pytest.raises(EdgeAdaptError, match="No space left while writing to"):
        write_folder(tmp_path / "mine", failing(failure))

    assert listing(tmp_path) == []


@pytest.mark.parametrize("words", ["No space left on device", "Disk quota exceeded"])
def test_a_full_disk_is_known_by_a_librarys_own_exception(words: str, tmp_path: Path) -> None:
    failure = RuntimeError(f"write failed: {words} (os error)")

    with pytest.raises(EdgeAdaptError, match=words):
        write_folder(tmp_path / "mine", failing(failure))

    assert listing(tmp_path) == []


def test_another_failure_to_write_is_not_called_a_full_disk(tmp_path: Path) -> None:
    with pytest.raises(PermissionError, match="read-only"):
        write_folder(tmp_path / "mine", failing(PermissionError("read-only")))

    assert listing(tmp_path) == []


# Names


def test_a_free_target_passes_the_check(tmp_path: Path) -> None:
    check_free(tmp_path / "mine", force=False)

    assert listing(tmp_path) == []


def test_a_taken_target_passes_the_check_only_with_force(tmp_path: Path) -> None:
    target = old_folder(tmp_path / "mine")

    check_free(target, force=True)
    with pytest.raises(OutputExistsError, match="mine exists already"):
        check_free(target, force=False)

    assert listing(tmp_path) == ["mine", "mine/old.txt"]


def test_force_replaces_a_folder_of_the_kind_and_an_empty_one(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    check_free(tmp_path / "mine", force=True, known_by="run.json")

    (tmp_path / "mine" / "notes").write_text("")
    (tmp_path / "mine" / "run.json").write_text("{}")
    check_free(tmp_path / "mine", force=True, known_by="run.json")


@pytest.mark.parametrize(
    ("made", "found"),
    [
        (old_folder, "found old.txt"),
        (lambda path: (path / "run.json").mkdir(parents=True), "found run.json"),
        (lambda path: path.write_text("precious"), "found a file"),
        (lambda path: path.symlink_to("nowhere"), "found a broken link"),
    ],
)
def test_force_replaces_nothing_else(
    tmp_path: Path, made: Callable[[Path], object], found: str
) -> None:
    made(tmp_path / "home")
    before = listing(tmp_path)
    begun = []

    with (
        pytest.raises(OutputExistsError, match=f"expected a folder with run.json, .*{found}"),
        staged_folder(tmp_path / "home", force=True, known_by="run.json"),
    ):
        begun.append("the work")

    assert listing(tmp_path) == before
    assert begun == []


def test_a_broken_link_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "mine").symlink_to("nowhere")

    with pytest.raises(OutputExistsError, match="mine exists already"):
        check_free(tmp_path / "mine", force=False)


@pytest.mark.parametrize("name", ["/", ".", "..", "new/..", "x/.mine.partial-aaaaaaaa"])
@pytest.mark.parametrize("force", [False, True])
def test_what_is_no_name_of_a_folder_is_refused(name: str, force: bool) -> None:
    with pytest.raises(UsageError, match=r"^--output: "):
        check_free(Path(name), force=force)


def test_a_file_takes_the_place_of_no_folder_and_no_device(tmp_path: Path) -> None:
    (tmp_path / "old.json").write_text("{}")
    check_file_free(tmp_path / "old.json", force=True)
    check_file_free(tmp_path / "new.json", force=False)

    with pytest.raises(OutputExistsError, match=r"old\.json exists already"):
        check_file_free(tmp_path / "old.json", force=False)
    with pytest.raises(OutputExistsError, match="expected a file, found a folder"):
        check_file_free(tmp_path, force=True)
    with pytest.raises(OutputExistsError, match=r"/dev/null .*found a device"):
        check_file_free(Path("/dev/null"), force=True)


def test_names_are_counted_up_from_two(tmp_path: Path) -> None:
    names = []
    for _ in range(3):
        path = free_name(tmp_path, "demo", suffix=".json")
        path.write_text(json.dumps({}))
        names.append(path.name)

    assert names == ["demo.json", "demo-2.json", "demo-3.json"]


def test_a_folder_is_on_the_disk_before_the_one_that_it_replaces_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "run"
    target.mkdir()
    (target / "old").write_text("old")
    flushed: list[tuple[str, bool]] = []

    def flush(path: Path) -> None:
        flushed.append((path.name, (target / "old").exists()))

    monkeypatch.setattr(folders, "flush_to_disk", flush)
    with staged_folder(target, force=True) as folder:
        (folder / "weights").mkdir()
        (folder / "weights" / "new").write_text("new")

    before = [name for name, old in flushed if old]
    assert {"weights", "new"} <= set(before)
    assert flushed[-1] == (tmp_path.name, False)


def test_one_process_at_a_time_holds_a_target(tmp_path: Path) -> None:
    again = held(tmp_path / "run")
    refused = pytest.raises(OutputExistsError, match="Another process is writing")
    with held(tmp_path / "run"), held(tmp_path / "other"), refused:
        again.__enter__()

    with held(tmp_path / "run"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_where_nothing_was_written_no_folder_is_left(tmp_path: Path) -> None:
    with held(tmp_path / "artifacts" / "runs" / "empty"):
        assert (tmp_path / "artifacts" / "runs").is_dir()
    assert list(tmp_path.iterdir()) == []

    with held(tmp_path / "artifacts" / "runs" / "run"):
        (tmp_path / "artifacts" / "runs" / "run").mkdir()
    assert (tmp_path / "artifacts" / "runs" / "run").is_dir()


# Killed writers, and several at once

_WRITERS = {
    "staged": "with staged_folder(target, force=True) as folder:\n"
    "    (folder / 'a').write_text('a')\n"
    "    wait()",
    "held": "with held(target): wait()",
    "file": "with held(target): write_file(target, lambda partial: wait())",
    "aside": "folders.flush_to_disk = lambda path: path == target.parent and wait()\n"
    "with staged_folder(target, force=True) as folder: (folder / 'new').write_text('')",
    "between": "def stop(self, other):\n"
    "    if self.name.endswith('mine') or 'partial' not in self.name: return real(self, other)\n"
    "    wait()\n"
    "real, Path.replace = Path.replace, stop\n"
    "with staged_folder(target, force=True) as folder: (folder / 'new').write_text('')",
}


@contextmanager
def another_process(writer: str, target: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that is writing ``target``; it is killed by the system's hardest signal."""
    program = (
        "import sys, time\nfrom pathlib import Path\nfrom edgeadapt.store import folders\n"
        "from edgeadapt.store.files import write_file\n"
        "from edgeadapt.store.folders import held, staged_folder\n"
        "def wait():\n    print('here', flush=True)\n    time.sleep(60)\n"
        f"target = Path(sys.argv[1])\n{_WRITERS[writer]}\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(target)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "here\n"
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("writer", ["staged", "held", "file"])
def test_two_processes_never_write_one_name_at_once(tmp_path: Path, writer: str) -> None:
    target = tmp_path / "mine"

    with another_process(writer, target):
        before = sorted(path.name for path in tmp_path.iterdir())
        with pytest.raises(OutputExistsError, match=r"Another process is writing .*mine"):
            write_folder(target, lambda _: None, force=True)
        assert sorted(path.name for path in tmp_path.iterdir()) == before


@pytest.mark.parametrize("name", ["mine", "other", "[mine]"])
@pytest.mark.parametrize("writer", ["staged", "held", "file"])
def test_the_next_writer_of_any_name_removes_what_a_killed_one_left(
    tmp_path: Path, writer: str, name: str
) -> None:
    with another_process(writer, tmp_path / "mine"):
        pass
    assert list(tmp_path.iterdir())

    with staged_folder(tmp_path / name) as folder:
        (folder / "file").write_text("")

    assert listing(tmp_path) == [name, f"{name}/file"]


@pytest.mark.parametrize("writer", ["aside", "between"])
@pytest.mark.parametrize("name", ["mine", "other"])
def test_a_kill_while_a_folder_is_replaced_loses_neither_old_nor_new(
    tmp_path: Path, writer: str, name: str
) -> None:
    target = old_folder(tmp_path / "mine")
    with another_process(writer, target):
        pass

    with held(tmp_path / name):
        pass

    kept = {"aside": ["mine", "mine/new"], "between": ["mine", "mine/old.txt"]}
    assert listing(tmp_path) == kept[writer]


def test_what_another_process_is_writing_beside_is_left_alone(tmp_path: Path) -> None:
    with another_process("staged", tmp_path / "theirs"):
        partial = [path for path in tmp_path.iterdir() if ".partial-" in path.name]
        with staged_folder(tmp_path / "mine") as folder:
            (folder / "file").write_text("")

        assert len(partial) == 1
        assert (partial[0] / "a").is_file()


@pytest.mark.parametrize(
    "name",
    [".git", ".env.partial", ".mine.partial-ab", ".mine.partial-ABCDEFGH", ".x.lock", "a.old"],
)
def test_hidden_files_of_others_stay(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()

    with held(tmp_path / "new"):
        pass

    assert (tmp_path / name).is_dir()


def test_where_a_file_system_has_no_locks_folders_are_written_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leftover = tmp_path / ".other.partial-abcdefgh"
    leftover.mkdir()

    def unsupported(*_: object) -> None:
        raise OSError(errno.ENOLCK, "no locks available")

    monkeypatch.setattr("edgeadapt.store.folders.fcntl.flock", unsupported)
    with staged_folder(tmp_path / "mine") as folder:
        (folder / "file").write_text("")

    assert listing(tmp_path) == [leftover.name, "mine", "mine/file"]
