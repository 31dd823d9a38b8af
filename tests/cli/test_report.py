"""``edgeadapt report``."""

from pathlib import Path

import pytest

from tests.benchmark.handmade import make_record, make_sample
from tests.cli.conftest import Cli


@pytest.fixture
def record(folder: Path) -> Path:
    """A record called pi, under artifacts/."""
    path = folder / "artifacts/records/pi.json"
    make_record(make_sample(), labels=[0, 1, 0, 1]).write(path)
    return path


def test_a_page_is_written_and_named(cli: Cli, folder: Path, record: Path) -> None:
    done = cli("report", "pi", "--output", "mine", "--title", "Kitchen <Pi>")

    assert done.code == 0
    assert done.out == "page: artifacts/records/mine.html\n"
    assert "works offline" in done.err
    text = (folder / "artifacts/records/mine.html").read_text()
    assert "<title>Kitchen &lt;Pi&gt;</title>" in text


def test_a_page_may_go_anywhere(cli: Cli, record: Path, tmp_path: Path) -> None:
    assert cli("report", record, "--output", tmp_path / "p.html").code == 0
    assert (tmp_path / "p.html").is_file()


def test_json_names_the_page(cli: Cli, record: Path) -> None:
    assert cli("report", "pi", "--output", "mine", "--json").json == {
        "page": "artifacts/records/mine.html"
    }


def test_a_page_of_its_own_name_each_time(cli: Cli, folder: Path, record: Path) -> None:
    assert {cli("report", "pi").code for _ in range(2)} == {0}
    assert len(list((folder / "artifacts/records").glob("report-*.html"))) == 2


def test_an_existing_page_is_kept(cli: Cli, record: Path, tmp_path: Path) -> None:
    (tmp_path / "p.html").write_text("mine")

    done = cli("report", "pi", "--output", tmp_path / "p.html")

    done.fails_with("p.html", hint="--force")
    assert (tmp_path / "p.html").read_text() == "mine"


def test_a_missing_record_is_named(cli: Cli, folder: Path) -> None:
    cli("report", "nowhere").fails_with("no record at", "nowhere.json", hint="bench")


def test_without_the_chart_library_the_extra_is_named(
    cli: Cli, record: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.delitem(sys.modules, "edgeadapt.documents.page", raising=False)
    monkeypatch.delitem(sys.modules, "edgeadapt.pipeline.report", raising=False)
    monkeypatch.setitem(sys.modules, "plotly.offline", None)

    cli("report", "pi").fails_with("A report needs", hint="edgeadapt[report]")
