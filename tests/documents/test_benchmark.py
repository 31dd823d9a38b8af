"""The bench's columns: a figure looks the same in all documents."""

import csv
import io
from contextlib import redirect_stdout
from html.parser import HTMLParser

import pytest

from edgeadapt.benchmark.rows import Row, rows
from edgeadapt.cli.console import show
from edgeadapt.cli.tables import bench_table
from edgeadapt.documents.benchmark import bench_columns, bench_notes
from edgeadapt.documents.page import Measured, render
from edgeadapt.documents.plain_text import csv_of, markdown_of
from edgeadapt.store.record import Record
from edgeadapt.store.sample import Pass
from tests.benchmark.handmade import MS, make_record, make_sample

RECORD = make_record(
    make_sample(latency_ns={"16": [[4 * MS] * 70], "text": [[6 * MS] * 70]}),
    make_sample(
        variant="int8",
        bytes=22_540_000,
        latency_ns={"16": [[1_234_000] * 70], "text": [[2 * MS] * 70]},
        peak_bytes=[123_400_000],
        throughput={"8": [[Pass(100, 50 * MS, 0.5)]]},
    ),
    labels=[0, 1, 0, 0],
)


class Words(HTMLParser):
    """The text of every element of a page, but its scripts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self._hidden = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._hidden = tag in {"script", "style"}

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.found.append(data)


def on_terminal(found: list[Row], record: Record, *, wide: bool) -> str:
    with redirect_stdout(io.StringIO()) as pipe:
        show(bench_table(found, record, wide=wide))
    return pipe.getvalue()


def on_page(found: list[Row], record: Record) -> list[str]:
    measured = Measured(
        name="r",
        baseline=record.baseline,
        machine={},
        notes=(),
        rows=found,
        quantiles=[{} for _ in found],
        origins={},
        classes={},
        curves={},
    )
    return Words(render("t", "s", [measured])).found


@pytest.mark.parametrize("figure", ["75.0% ±32.7", "100.0%", "1.23", "2.00", "123", "22.5"])
def test_a_figure_looks_the_same_on_the_terminal_in_markdown_and_on_the_page(figure: str) -> None:
    found = rows(RECORD)

    assert figure in on_terminal(found, RECORD, wide=False)
    assert figure in on_terminal(found, RECORD, wide=True)
    assert f"| {figure} " in markdown_of(found, RECORD)
    assert figure in on_page(found, RECORD)


def test_every_column_with_a_figure_is_in_the_wide_table_and_on_the_page() -> None:
    found = rows(RECORD)
    shown = {column for column in bench_columns(found) if column.make(found[1])}

    wide, page = on_terminal(found, RECORD, wide=True), on_page(found, RECORD)

    assert len(shown) > 12
    for column in shown:
        assert set(column.heading.replace(",", "").split()) <= set(wide.replace(",", "").split())
        assert column.heading in page
        assert column.cell(found[1]).text in wide


def test_columns_without_a_figure_are_named_below_the_wide_table() -> None:
    found = rows(make_record(make_sample()))

    notes = bench_notes(found, make_record(make_sample()), wide=True)

    (line,) = (note for note in notes if note.startswith("unavailable: "))
    assert {"accuracy", "macro-F1", "energy", "growth"} <= set(line[13:].split(", "))
    assert "peak" not in line


def test_a_leak_is_called_one() -> None:
    grown = [[(n, 100_000_000 + 100_000 * n) for n in range(0, 1000, 100)]]
    (row,) = rows(make_record(make_sample(leak=grown)))

    (cell,) = (column.cell(row) for column in bench_columns([row]) if column.title == "growth")

    assert (cell.text, cell.details) == ("90.0", ("leaks", "900 texts"))


def test_csv_keeps_every_digit() -> None:
    _, int8 = csv.DictReader(io.StringIO(csv_of(rows(RECORD))))

    assert float(int8["latency_ms.16.p50"]) == 1.234
    assert int(int8["bytes"]) == 22_540_000
