"""The documents show exactly the recorded results."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BENCHMARKS = ROOT / "benchmarks"
sys.path.append(str(BENCHMARKS))  # scripts, no package

from marked import figures_in, render  # noqa: E402
from tables import FIGURES, SCRIPTS, TABLES, documents  # noqa: E402

CHECK = """
import runpy, sys
sys.modules |= dict.fromkeys(("torch", "transformers", "datasets", "onnx"))  # cannot be imported
sys.argv = [sys.argv[1], "--check"]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def test_the_documents_show_the_recorded_results_and_need_the_base_install_only() -> None:
    command = [sys.executable, "-c", CHECK, str(BENCHMARKS / "tables.py")]
    environment = {**os.environ, "PYTHONPATH": f"{BENCHMARKS}{os.pathsep}{ROOT}"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr


def test_every_script_that_shows_its_records_is_collected() -> None:
    scripts = {
        path.stem for path in BENCHMARKS.glob("*.py") if "SHOWN = Shown(" in path.read_text()
    }

    assert {script.__name__ for script in SCRIPTS} == scripts


def test_every_figure_stands_in_a_document() -> None:
    shown = {name for path in documents() for name in figures_in(path.read_text("utf-8"))}

    assert shown == FIGURES.keys()


def test_every_document_with_a_table_is_looked_at() -> None:
    looked_at = {path.relative_to(ROOT).as_posix() for path in documents()}

    assert TABLES.keys() <= looked_at


def test_a_figure_inside_a_sentence_is_written_anew() -> None:
    text = "It takes <!-- figure: speed -->9<!-- end --> ms."

    after = render(text, {}, {"speed": lambda: "7"}, where="page.md")

    assert after == "It takes <!-- figure: speed -->7<!-- end --> ms."


def test_a_table_is_written_anew() -> None:
    text = "<!-- sizes: begin -->\nold\n<!-- sizes: end -->\n"

    after = render(text, {"sizes": lambda: "new"}, {}, where="page.md")

    assert after == "<!-- sizes: begin -->\nnew\n<!-- sizes: end -->\n"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("It takes <!-- figure: pace -->9<!-- end --> ms.", "pace"),
        ("It takes\n<!-- figure: speed -->9<!-- end --> ms.", "begins a line"),
        ("No table.", "sizes"),
    ],
    ids=["an unknown figure", "a figure that ends a paragraph", "no markers"],
)
def test_a_document_that_cannot_be_written_is_named(text: str, named: str) -> None:
    tables = {"sizes": lambda: "new"} if named == "sizes" else {}

    with pytest.raises(SystemExit, match=f"page.md.*{named}"):
        render(text, tables, {"speed": lambda: "7"}, where="page.md")
