"""The README is short, and all links and commands in the documents exist."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from edgeadapt.cli.app import app
from scripts import command_reference
from scripts.recipe_reference import PAGE, with_keys

ROOT = Path(__file__).resolve().parents[1]
LONGEST_README = 150
"""Lines."""
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
_LINK = re.compile(r"\]\(([^)#\s]+)(#[^)]*)?\)|src=\"([^\"]+)\"")
_BLOCK = re.compile(r"^```bash\n(.*?)^```", re.M | re.S)
_COMMAND = re.compile(r"\bedgeadapt (?:[a-z]+)(?= |$).*")
_CODE = re.compile(r"^```.*?^```|`[^`\n]*`", re.M | re.S)


def links(document: Path) -> Iterator[str]:
    """Relative paths that a document links to."""
    for at in _LINK.finditer(_CODE.sub("", document.read_text(encoding="utf-8"))):
        target = at[1] or at[3]
        if "://" not in target:
            yield target


def shown_commands(document: Path) -> Iterator[list[str]]:
    """The words of every ``edgeadapt`` command in a block of shell, comments left out."""
    for block in _BLOCK.findall(document.read_text(encoding="utf-8")):
        for line in block.replace("\\\n", " ").splitlines():
            if at := _COMMAND.search(line.partition(" #")[0]):
                yield at[0].split()[1:]


def test_the_readme_is_short() -> None:
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()

    assert len(lines) <= LONGEST_README


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_a_document_links_to_is_there(document: Path) -> None:
    absent = [target for target in links(document) if not (document.parent / target).is_file()]

    assert not absent


def test_the_readme_links_to_every_page() -> None:
    linked = {(ROOT / target).resolve() for target in links(ROOT / "README.md")}
    pages = {path for path in (ROOT / "docs").rglob("*.md") if path.name != "index.md"}

    assert pages <= linked


def test_the_places_that_contributing_names_are_there() -> None:
    """Places are those with a slash, below the package or the repository."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rows = "".join(line for line in text.splitlines(keepends=True) if line.startswith("|"))
    named = [name for name in re.findall(r"`([\w./]+)`", rows) if "/" in name]

    assert len(named) > 20
    assert not [n for n in named if not any((at / n).exists() for at in (ROOT / "edgeadapt", ROOT))]


def test_no_document_names_a_folder_of_one_machine() -> None:
    named = re.compile(r"(?<![\w.])/(work|tmp|home|root)/")
    found = [path.name for path in DOCUMENTS if named.search(path.read_text(encoding="utf-8"))]

    assert not found


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_options_that_a_document_shows_exist(document: Path) -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    unknown = []
    for name, *words in shown_commands(document):
        options = {option for parameter in commands[name].params for option in parameter.opts} | {
            "--help"
        }
        unknown += [word for word in words if word.startswith("--") and word not in options]

    assert not unknown


def test_the_reference_of_recipes_is_made_from_their_fields() -> None:
    page = PAGE.read_text(encoding="utf-8")

    assert page == with_keys(page), "run python scripts/recipe_reference.py"
    for table in ("model", "data", "adapter", "training", "export"):
        assert f"### `[{table}]`" in page


def test_the_reference_of_commands_is_made_from_the_command_line() -> None:
    page = command_reference.PAGE.read_text(encoding="utf-8")

    assert page == command_reference.with_options(page), "run python scripts/command_reference.py"


@pytest.mark.parametrize("name", typer.main.get_command(app).commands)  # type: ignore[attr-defined]
def test_the_reference_of_commands_has_every_parameter(name: str) -> None:
    command = typer.main.get_command(app).commands[name]  # type: ignore[attr-defined]
    page = command_reference.PAGE.read_text(encoding="utf-8")

    section = page.partition(f"\n### `edgeadapt {name}`\n")[2].partition("\n### ")[0]

    rows = [line for line in section.splitlines() if line.startswith("| `")]
    assert len(rows) == len(command.params)
