"""Commands that are killed while writing, and two writers of one name, as real processes."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edgeadapt.errors import OutputExistsError
from edgeadapt.pipeline.bench import bench
from edgeadapt.pipeline.export import ExportOptions, export
from edgeadapt.pipeline.merge import merge_run
from edgeadapt.recipe import Exporter
from edgeadapt.store.bundle import Bundle
from edgeadapt.store.plan import Plan
from edgeadapt.store.run import Run
from tests.benchmark.handmade import tiny_plan

_PROGRAM = """
import sys, time
from importlib import import_module
from pathlib import Path

def stop(*args, **more):
    print("here", flush=True)
    time.sleep(120)

module = import_module(sys.argv[1])
setattr(module, sys.argv[2], stop)
source, target = map(Path, sys.argv[4:])
from edgeadapt.store.bundle import Bundle
from edgeadapt.store.run import Run
if sys.argv[3] == "bench":
    module.bench([Bundle.open(source)], plan=module.Plan(), output=target)
else:
    getattr(module, sys.argv[3])(Run.open(source), output=target)
"""

_STOPS = {
    "export": ("edgeadapt.pipeline.export", "parity_gate", "export"),
    "merge": ("edgeadapt.pipeline.merge", "parity_gate", "merge_run"),
    "bench": ("edgeadapt.pipeline.bench", "measure", "bench"),
}


@contextmanager
def stopped(command: str, source: Path, target: Path) -> Iterator[None]:
    """A process in the middle of a command; SIGKILL ends it."""
    with subprocess.Popen(
        [sys.executable, "-c", _PROGRAM, *_STOPS[command], str(source), str(target)],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "here\n"
        try:
            yield
        finally:
            process.kill()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("command", ["export", "merge", "bench"])
def test_one_process_at_a_time_writes_a_name_and_a_killed_one_leaves_nothing_for_long(
    tiny_run: Run, tiny_bundle: Bundle, tmp_path: Path, command: str
) -> None:
    source = tiny_bundle.path if command == "bench" else tiny_run.path
    again: Callable[[Path], object] = {
        "export": lambda path: export(
            tiny_run, options=ExportOptions(exporter=Exporter.TORCH), output=path, force=True
        ),
        "merge": lambda path: merge_run(tiny_run, output=path, force=True),
        "bench": lambda path: bench([tiny_bundle], plan=quick(), output=path, force=True),
    }[command]

    with stopped(command, source, tmp_path / "mine"):
        assert [name for name in names(tmp_path) if name[0] != "."] == []
        with pytest.raises(OutputExistsError, match=r"Another process is writing .*mine"):
            again(tmp_path / "mine")
    assert names(tmp_path)

    again(tmp_path / "other")
    assert names(tmp_path) == ["other"]
    again(tmp_path / "mine")
    assert names(tmp_path) == ["mine", "other"]


def quick() -> Plan:
    return tiny_plan(lengths=(), starts=0, timed=0, batches=(), bulks=0)
