"""Names, labels and texts are printed without markup, escape sequences or links."""

import shutil
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgeadapt.benchmark.rows import rows
from edgeadapt.cli.console import Terminal, print_line, show
from edgeadapt.cli.tables import bench_table, facts_table, sensitivity_table
from edgeadapt.documents.plain_text import csv_of, markdown_of
from edgeadapt.recipe import Platform
from edgeadapt.runtime.classifier import load
from tests.benchmark.handmade import make_record, make_sample
from tests.cli.conftest import Cli, edit_json
from tests.cli.test_console import Screen

MARKUP = [
    "x [/run]",
    "[red]",
    "[bold",
    "[link=https://x.org]y[/link]",
    "\\[/run]",
    "[/]",
    ":smile:",
]
HOSTILE = "\x1b]0;owned\x07\r\u202eevil\u2069\x9b31m\u200b"
ACTIVE = set("\x1b\x07\r\u202e\u2069\x9b\u200b")
ASSET = Path(__file__).parents[1] / "assets" / "tiny_bundle"


@pytest.mark.parametrize("name", MARKUP)
def test_markup_in_a_result_or_a_message_is_text(
    capsys: pytest.CaptureFixture[str], name: str
) -> None:
    print_line(f"run: {name}")
    Terminal().say(name)
    Terminal().warn(name)
    with Terminal().bar(name, 1) as bar:
        bar.advance(note=name)

    out, err = capsys.readouterr()
    assert out == f"run: {name}\n"
    assert err == f"{name}\nwarning: {name}\n{name} 1/1  {name}\n"


@pytest.mark.parametrize("name", [*MARKUP, HOSTILE])
def test_titles_and_notes_of_a_bar_on_a_terminal_are_text(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "300")
    screen = Screen()
    monkeypatch.setattr("sys.stderr", screen)
    terminal = Terminal()

    with terminal.bar(name, 3) as bar, terminal.bar(name, 3) as inner:
        bar.advance(0, note=name)
        inner.advance(note=name)

    shown = screen.getvalue()
    assert shown.count(name if name in MARKUP else "\\x1b]0;owned\\x07\\r\\u202eevil") >= 1
    assert not ACTIVE & set(shown) - {"\x1b", "\r"}  # rich's own
    assert "\x1b]0" not in shown


@pytest.mark.parametrize("name", [*MARKUP, HOSTILE])
def test_names_in_tables_are_text(capsys: pytest.CaptureFixture[str], name: str) -> None:
    record = make_record(make_sample(bundle=name), baseline=f"{name}:fp32")

    show(bench_table(rows(record), record))
    show(facts_table({name: name, "labels": [name, "x"], "variants": {name: 3}}))
    show(sensitivity_table({name: 1.0}))

    shown = capsys.readouterr().out
    visible = name if name in MARKUP else "\\x1b]0;owned\\x07\\r\\u202eevil\\u2069\\x9b31m\\u200b"
    assert "".join(shown.split()).count("".join(visible.split())) >= 5
    assert not ACTIVE & set(shown)


def hostile_bundle(path: Path, labels: list[str]) -> Path:
    shutil.copytree(ASSET, path)
    edit_json(path / "manifest.json", lambda manifest: manifest.update(labels=labels))
    return path


@pytest.mark.parametrize("label", [*MARKUP, HOSTILE, "a\nb"])
def test_predict_prints_labels_and_texts_as_they_are(cli: Cli, folder: Path, label: str) -> None:
    hostile_bundle(folder / "bundle", [label, f"{label} 2"])

    done = cli("predict", "./bundle", f"the film was {HOSTILE}")

    assert done.code == 0, done.err
    assert done.out.count("\n") == 1
    assert not ACTIVE & set(done.out)
    assert "the film was \\x1b]0;owned" in done.out
    assert label in MARKUP or label not in done.out
    answer = cli("predict", "./bundle", "the film", "--json").json["predictions"][0]
    assert label in answer["scores"]  # JSON has its own escapes and keeps the label


@pytest.mark.parametrize("label", [*MARKUP, HOSTILE, "a\nb"])
def test_inspect_prints_labels_as_they_are(cli: Cli, folder: Path, label: str) -> None:
    hostile_bundle(folder / "bundle", [label, "other"])

    done = cli("inspect", "./bundle")

    assert done.code == 0, done.err
    assert not ACTIVE & set(done.out)
    assert label not in MARKUP or label in done.out


def test_an_error_prints_a_name_from_a_folder_as_it_is(cli: Cli, folder: Path) -> None:
    done = cli("merge", f"./{HOSTILE}\nerror: all is lost")

    done.fails_with("\\x1b]0;owned\\x07\\r\\u202eevil", "\n  error: all is lost")
    assert not ACTIVE & set(done.err)


def test_a_warning_about_a_bundle_prints_its_name_as_it_is(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgeadapt.runtime.this_platform", lambda: Platform.X86_AVX2)
    path = hostile_bundle(folder / HOSTILE, ["a", "b"])

    def elsewhere(manifest: dict[str, Any]) -> None:
        manifest["variants"]["int8"]["platform"] = "x86-vnni"

    edit_json(path / "manifest.json", elsewhere)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        load(path)

    assert len(caught) == 1
    assert all(not ACTIVE & set(str(one.message)) for one in caught)


@pytest.mark.parametrize("name", ["a|b", "<script>alert(1)</script>", "`x`", "a\nb", HOSTILE])
def test_markdown_of_a_benchmark_holds_names_as_text(name: str) -> None:
    record = make_record(make_sample(bundle=name), baseline=f"{name}:fp32")

    written = markdown_of(rows(record), record)

    lines = written.split("\n")
    assert len(lines[0].replace("\\|", "").split("|")) == len(
        lines[2].replace("\\|", "").split("|")
    )
    assert "<script>" not in written.replace("\\<", "")
    assert not ACTIVE & set(written)
    assert name not in written


def test_csv_of_a_benchmark_begins_no_formula() -> None:
    record = make_record(
        make_sample(bundle="=cmd|' /C calc'!A0"), baseline="=cmd|' /C calc'!A0:fp32"
    )

    assert ",=cmd" not in csv_of(rows(record))
    assert csv_of(rows(record)).splitlines()[1].startswith("'=cmd")


def test_the_page_of_records_holds_names_as_text(tmp_path: Path) -> None:
    pytest.importorskip("plotly")
    from edgeadapt.pipeline.report import report

    name = f"<script>alert(1)</script>{HOSTILE}"
    record = make_record(make_sample(bundle=name), baseline=f"{name}:fp32")
    record = replace(record, machine=replace(record.machine, cpu=name))
    record.write(tmp_path / "a.json")

    page = report([tmp_path / "a.json"], output=tmp_path / "a.html").read_text()

    before, _, after = page.partition("plotly.js v")
    ours = before + after[after.rfind("</script>") - 20_000 :]
    assert "<script>alert(1)" not in ours
    assert not (ACTIVE - {"\u200b"}) & set(before)
