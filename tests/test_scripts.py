"""The scripts that prepare environments: which versions, and which interpreter."""

import sys
from pathlib import Path

import pytest

from scripts.lowest_versions import brought_by, lowest
from scripts.newest_python import candidates, runs

THIS = sys.version_info.minor


def test_each_lower_bound_becomes_the_version() -> None:
    found = lowest(["numpy>=1.26", "typer>=0.26,<0.29", "optimum-onnx==0.1.0", "peft<6"])

    assert found == ["numpy==1.26", "typer==0.26"]


@pytest.mark.parametrize("bounds", [("1.9", "1.26"), ("1.26", "1.9")])
def test_the_higher_of_two_bounds_counts(bounds: tuple[str, str]) -> None:
    assert lowest([f"numpy>={bound}" for bound in bounds]) == ["numpy==1.26"]


def test_an_extra_brings_what_the_extras_in_it_bring() -> None:
    optional = {
        "train": ["edgeadapt[quantize,report]", "torch>=2.6"],
        "quantize": ["onnx>=1.22"],
        "report": ["plotly>=6"],
        "docs": ["sphinx>=8"],
    }

    assert list(brought_by(["train"], optional)) == ["onnx>=1.22", "plotly>=6", "torch>=2.6"]


def test_an_interpreter_on_the_path_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = tmp_path / f"python3.{THIS}"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))

    assert list(candidates(THIS)) == [python]
    assert runs(python, THIS)
    assert not runs(python, THIS + 1)


def test_a_command_that_only_says_that_it_cannot_run_is_no_interpreter(tmp_path: Path) -> None:
    shim = tmp_path / "python3.99"
    shim.write_text("#!/bin/sh\necho 'python3.99: command not found' >&2\nexit 127\n")
    shim.chmod(0o755)

    assert not runs(shim, 99)
