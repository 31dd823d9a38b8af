"""Checks an environment that has a wheel of the base install and nothing else.

Run with that environment's interpreter; it needs no test runner, because none is installed there:

    .venv-bare/bin/python -I tests/bare_install.py

``--any-size`` leaves out how large it is: the lowest versions that are allowed bring more along.
"""

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

BUNDLE = Path(__file__).resolve().parent / "assets" / "tiny_bundle"
HEAVY = ("torch", "transformers", "datasets", "onnx", "optimum", "safetensors", "matplotlib")
LIMIT_MEGABYTES = 240


def edgeadapt(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs the installed command in an empty folder, so that the checkout is not importable."""
    command = [str(Path(sys.executable).with_name("edgeadapt")), *arguments]
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    with tempfile.TemporaryDirectory() as folder:
        return subprocess.run(
            command, capture_output=True, text=True, check=False, cwd=folder, env=variables
        )


def check_the_wheel_is_what_runs() -> None:
    spec = importlib.util.find_spec("edgeadapt")
    assert spec is not None, "edgeadapt is not installed"
    assert spec.origin is not None, "edgeadapt has no file"
    assert Path(spec.origin).is_relative_to(sys.prefix), f"found the checkout: {spec.origin}"


def check_help() -> None:
    done = edgeadapt("--help")
    assert done.returncode == 0, done.stderr
    assert all(command in done.stdout for command in ("train", "export", "bench")), done.stdout


def check_nothing_heavy_is_installed() -> None:
    found = [name for name in HEAVY if importlib.util.find_spec(name)]
    assert not found, f"the base install brought {found}"


def check_size() -> None:
    (packages,) = Path(sys.prefix).glob("lib/python*/site-packages")
    skipped = ("pip", "setuptools", "pkg_resources", "_distutils_hack")
    entries = [entry for entry in packages.iterdir() if entry.name.split("-")[0] not in skipped]
    files = [f for entry in entries for f in ([entry] if entry.is_file() else entry.rglob("*"))]
    megabytes = sum(file.stat().st_size for file in files if file.is_file()) / 1e6
    print(f"     {megabytes:.0f} MB in site-packages")
    assert megabytes <= LIMIT_MEGABYTES, f"{megabytes:.0f} MB, at most {LIMIT_MEGABYTES} allowed"


def check_predict() -> None:
    done = edgeadapt("predict", str(BUNDLE), "--json", "the film was great and warm")
    assert done.returncode == 0, done.stderr
    (answer,) = json.loads(done.stdout)["predictions"]
    assert answer["label"] == "positive", answer


def check_inspect() -> None:
    done = edgeadapt("inspect", str(BUNDLE), "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["kind"] == "bundle"


def check_bench() -> None:
    with tempfile.TemporaryDirectory() as folder:
        record = f"{folder}/record.json"
        done = edgeadapt("bench", str(BUNDLE), "--quick", "--json", "--output", record)
        assert done.returncode == 0, done.stderr
        table = {row["variant"]: row for row in json.loads(done.stdout)["rows"]}
        compared = edgeadapt("compare", record, record, "--json")
        page = edgeadapt("report", record)
    assert compared.returncode == 0, compared.stderr
    assert json.loads(compared.stdout)["regressions"] == 0
    assert 'pip install "edgeadapt[report]"' in page.stderr, page.stderr
    assert set(table) == {"fp32", "int8"}, table
    assert table["int8"]["accuracy"] == 1.0, table
    assert table["int8"]["latency_ms"]["16"]["p50"] > 0, table


def check_train_names_the_extra() -> None:
    with tempfile.TemporaryDirectory() as folder:
        done = edgeadapt("train", "--output", f"{folder}/run")
    assert done.returncode == 1, done.returncode
    assert 'pip install "edgeadapt[train]"' in done.stderr, done.stderr


def main() -> None:
    checks = [value for name, value in globals().items() if name.startswith("check_")]
    if "--any-size" in sys.argv:
        checks.remove(check_size)
    failed = 0
    for check in checks:
        try:
            check()
            print(f"ok   {check.__name__}")
        except AssertionError as error:
            failed += 1
            print(f"FAIL {check.__name__}: {error}")
    print(f"{len(checks) - failed} passed, {failed} failed")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
