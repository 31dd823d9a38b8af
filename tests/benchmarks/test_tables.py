"""The documents show what was recorded and nothing else."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "benchmarks"))  # scripts, no package

from figures import FIGURES  # noqa: E402
from marked import figures_in, render  # noqa: E402
from tables import TABLES, documents  # noqa: E402

CHECK = [sys.executable, str(ROOT / "benchmarks" / "tables.py"), "--check"]


def test_the_documents_show_the_recorded_results() -> None:
    done = subprocess.run(CHECK, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr


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
