"""Run commands inside the test process and check how they end."""

import json
import shutil
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest

from edgeadapt.cli.app import main
from edgeadapt.store.bundle import Bundle
from tests.store.manifests import edit_json


@dataclass(frozen=True)
class Outcome:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """Standard output, which has to be one JSON object on one line and nothing else."""
        assert self.code == 0, self.err
        assert self.out.count("\n") == 1, self.out
        value = json.loads(self.out, parse_constant=_refuse)
        assert isinstance(value, dict)
        return value

    def fails_with(self, *words: str, hint: str = "") -> None:
        """Asserts an expected failure: exit code 1, a message, a hint, nothing on stdout."""
        assert self.code == 1, self.err
        assert "Traceback" not in self.err
        assert self.out == ""
        before, error, after = self.err.partition("error: ")
        assert error, self.err
        assert before == "" or before.endswith("\n")
        message, told, advice = after.partition("\nhint: ")
        assert [word for word in words if word not in message] == [], message
        assert told, f"no hint: {self.err}"
        assert hint in advice


def _refuse(constant: str) -> NoReturn:
    raise AssertionError(f"{constant} is not JSON")


Cli = Callable[..., Outcome]


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Cli:
    """Runs ``edgeadapt ARGUMENTS`` in this process, native output captured too."""

    def run(*arguments: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["edgeadapt", *map(str, arguments)])
        handler = signal.getsignal(signal.SIGTERM)
        capfd.readouterr()
        ended = SimpleNamespace(code=None)
        try:
            main()
        except SystemExit as exit_:
            ended = exit_
        finally:
            signal.signal(signal.SIGTERM, handler)
        out, err = capfd.readouterr()
        return Outcome(int(ended.code or 0), out, err)

    return run


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, apart from the files that a test makes in ``tmp_path``."""
    path = tmp_path / "work"
    path.mkdir()
    monkeypatch.chdir(path)
    monkeypatch.delenv("EDGEADAPT_ARTIFACTS", raising=False)
    return path


def written(folder: Path) -> list[str]:
    """Returns everything under a folder but the empty places for runs, bundles and records."""
    places = {"artifacts", "artifacts/runs", "artifacts/bundles", "artifacts/records"}
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*")}
    return sorted(found - places)


@pytest.fixture(scope="session")
def tiny_arguments(checkpoint: Path, dataset_folder: Path) -> tuple[str, ...]:
    """Arguments of ``train`` for the tiny model; later ones override them."""
    return (
        *("--model", str(checkpoint), "--dataset", str(dataset_folder)),
        *("--max-length", "32", "--dimension", "4", "--epochs", "2", "--batch-size", "16"),
        *("--device", "cpu", "--threads", "1"),
    )


@pytest.fixture(scope="session")
def light_bundle(tiny_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle without the torch variant. Do not change it: copy it first."""
    return copy_bundle(tiny_bundle.path, tmp_path_factory.mktemp("light") / "light")


def copy_bundle(
    source: Path, target: Path, *, variants: tuple[str, ...] = ("fp32", "int8")
) -> Path:
    """Copies a bundle with some of its variants only."""
    shutil.copytree(source, target)

    def keep(manifest: dict[str, Any]) -> None:
        left_out = [v["file"] for n, v in manifest["variants"].items() if n not in variants]
        manifest["variants"] = {n: manifest["variants"][n] for n in variants}
        for file in left_out:
            del manifest["files"][file]
            (target / file).unlink()
        for name in list(manifest["files"]):
            if name.startswith("torch/"):
                del manifest["files"][name]
        with suppress(FileNotFoundError):
            shutil.rmtree(target / "torch")

    edit_json(target / "manifest.json", keep)
    return target
