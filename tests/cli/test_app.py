"""The whole command: help, exit codes, imports, and termination."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from typer.core import TyperCommand

from edgeadapt import __version__
from edgeadapt.cli.app import app
from tests.children import MAIN, run_edgeadapt
from tests.cli.conftest import Cli, Outcome, copy_bundle
from tests.cli.test_bench import TINY_MAIN

pytestmark = pytest.mark.versions

COMMANDS = ("train", "export", "bench", "predict", "inspect")
HEAVY = ("torch", "transformers", "datasets", "onnx", "optimum", "safetensors", "accelerate")
LIST_MODULES = """
import atexit, os, pathlib, sys
atexit.register(
    lambda: pathlib.Path(os.environ["LOADED"]).write_text(" ".join(sorted(sys.modules)))
)
"""


def command_of(name: str) -> TyperCommand:
    group = typer.main.get_command(app)
    return group.commands[name]  # type: ignore[attr-defined, no-any-return]


def words_of(shown: str) -> str:
    """What a help page says, without frames and line ends."""
    return " ".join(shown.replace("│", " ").split())


@pytest.fixture
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "400")


@pytest.mark.usefixtures("wide")
def test_help_names_every_command_with_its_purpose(cli: Cli) -> None:
    shown = cli("--help")

    assert shown.code == 0
    assert shown.err == ""
    for name in COMMANDS:
        purpose = (command_of(name).help or "").strip()
        assert purpose
        assert f"{name} {' '.join(purpose.split())}" in words_of(shown.out)


@pytest.mark.usefixtures("wide")
@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command_names_every_option_with_its_purpose(cli: Cli, name: str) -> None:
    shown = cli(name, "--help")

    assert shown.code == 0
    assert shown.err == ""
    unexplained = [
        parameter.name
        for parameter in command_of(name).params
        if not getattr(parameter, "help", None)
        or " ".join(parameter.help.split()) not in words_of(shown.out)  # type: ignore[attr-defined]
    ]
    assert unexplained == []
    for parameter in command_of(name).params:
        if parameter.param_type_name == "option":
            assert parameter.opts[0] in shown.out


@pytest.mark.parametrize("name", COMMANDS)
def test_h_is_short_for_help(cli: Cli, name: str) -> None:
    assert cli(name, "-h").out == cli(name, "--help").out


def test_the_version_is_shown(cli: Cli) -> None:
    assert cli("--version").out == f"edgeadapt {__version__}\n"


@pytest.mark.parametrize(
    "arguments",
    [("nonsense",), ("--nonsense",), ("predict",), ("inspect",), ("inspect", "a", "b")],
    ids=" ".join,
)
def test_wrong_usage_ends_with_2_and_says_where_help_is(
    cli: Cli, arguments: tuple[str, ...]
) -> None:
    done = cli(*arguments)

    assert done.code == 2
    assert done.out == ""
    assert "Usage:" in done.err
    assert "help" in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize("name", COMMANDS)
def test_an_unknown_option_ends_with_2_and_is_named(cli: Cli, name: str) -> None:
    done = cli(name, "--nonsense")

    assert done.code == 2
    assert "--nonsense" in done.err


def loaded_by(
    code: str, *arguments: str, folder: Path, status: int = 0, **options: object
) -> set[str]:
    """Runs code in a fresh process and returns the top-level modules it had loaded at its end."""
    listing = folder / "loaded.txt"
    done = run_edgeadapt(
        *arguments,
        code=LIST_MODULES + code,
        cwd=folder,
        env={**os.environ, "LOADED": str(listing)},
        **options,
    )
    assert done.returncode == status, done.stderr
    return {name.partition(".")[0] for name in listing.read_text().split()}


def test_the_probe_sees_a_module_that_is_loaded(tmp_path: Path) -> None:
    assert "onnxruntime" in loaded_by("import onnxruntime.capi", folder=tmp_path)


@pytest.mark.parametrize("command", [(), *((name,) for name in COMMANDS)], ids=str)
def test_help_loads_neither_torch_nor_onnxruntime(tmp_path: Path, command: tuple[str, ...]) -> None:
    loaded = loaded_by(MAIN, *command, "--help", folder=tmp_path)

    assert "typer" in loaded
    assert loaded.isdisjoint((*HEAVY, "onnxruntime", "numpy", "tokenizers"))


def test_importing_the_package_loads_nothing_heavy(tmp_path: Path) -> None:
    loaded = loaded_by("import edgeadapt", folder=tmp_path)

    assert loaded.isdisjoint((*HEAVY, "onnxruntime", "numpy", "tokenizers", "typer", "rich"))


def test_predict_loads_nothing_of_the_train_tier(tmp_path: Path, light_bundle: Path) -> None:
    loaded = loaded_by(MAIN, "predict", str(light_bundle), "good", folder=tmp_path)

    assert "onnxruntime" in loaded
    assert loaded.isdisjoint(HEAVY)


def test_predict_pays_for_no_validation_or_table_library(
    tmp_path: Path, light_bundle: Path
) -> None:
    loaded = loaded_by(MAIN, "predict", str(light_bundle), "good", folder=tmp_path)

    assert loaded.isdisjoint(("pydantic", "rich", "tomllib"))


def test_inspect_loads_nothing_of_the_train_tier(tmp_path: Path, light_bundle: Path) -> None:
    loaded = loaded_by(MAIN, "inspect", str(light_bundle), folder=tmp_path)

    assert "edgeadapt" in loaded
    assert loaded.isdisjoint(HEAVY)


def test_bench_loads_nothing_of_the_train_tier(tmp_path: Path, light_bundle: Path) -> None:
    bundle = copy_bundle(light_bundle, tmp_path / "fp32", variants=("fp32",))

    loaded = loaded_by(TINY_MAIN, "bench", str(bundle), "--threads", "1", folder=tmp_path)

    assert "edgeadapt" in loaded
    assert loaded.isdisjoint(HEAVY)


@pytest.mark.parametrize(
    "arguments",
    [("--dataset", "missing.csv"), ("--output", "taken"), ("--epochs", "0"), ("--method", "magic")],
    ids=" ".join,
)
def test_what_is_wrong_at_once_is_said_before_torch_is_loaded(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    (tmp_path / "artifacts/runs/taken").mkdir(parents=True)

    loaded = loaded_by(MAIN, "train", *arguments, folder=tmp_path, status=1)

    assert "edgeadapt" in loaded
    assert loaded.isdisjoint(HEAVY)


def test_without_torch_the_missing_extra_is_named(tmp_path: Path, light_bundle: Path) -> None:
    without_torch = f"import sys\nsys.modules['torch'] = None\n{MAIN}"

    done = run_edgeadapt("train", code=without_torch, cwd=tmp_path)

    Outcome(done.returncode, done.stdout, done.stderr).fails_with(
        "edgeadapt train", "[train]", "'torch'", hint='pip install "edgeadapt[train]"'
    )
    assert list(tmp_path.iterdir()) == []


def test_a_reader_that_leaves_early_gets_no_traceback(light_bundle: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as broken:
        done = subprocess.run(
            [sys.executable, "-m", "edgeadapt", "predict", str(light_bundle), "good"],
            stdout=broken,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=60,
        )

    assert done.returncode == 1
    assert done.stderr == ""


def test_output_that_cannot_be_written_is_an_error(light_bundle: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "edgeadapt", "inspect", str(light_bundle), "--json"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=60,
        )

    assert done.returncode == 1
    assert done.stderr.startswith("error: No space left on device")
    assert "Traceback" not in done.stderr


def test_a_folder_in_place_of_a_file_is_named(cli: Cli, light_bundle: Path, folder: Path) -> None:
    cli("predict", light_bundle, "--file", folder).fails_with(str(folder), "found a folder")


def test_a_file_in_place_of_the_folder_to_write_to_is_named(
    cli: Cli, tiny_arguments: tuple[str, ...], folder: Path
) -> None:
    (folder / "artifacts").write_text("in the way")

    cli("train", *tiny_arguments).fails_with("artifacts")

    assert (folder / "artifacts").read_text() == "in the way"


def test_the_module_and_the_script_are_the_same_command(
    edgeadapt_command: Callable[..., subprocess.CompletedProcess[str]], light_bundle: Path
) -> None:
    script = Path(sys.executable).with_name("edgeadapt")
    asked = ("inspect", str(light_bundle), "--json")

    by_script = subprocess.run(
        [script, *asked], capture_output=True, text=True, check=True, timeout=60
    )

    assert json.loads(by_script.stdout) == json.loads(edgeadapt_command(*asked).stdout)
