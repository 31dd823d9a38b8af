"""The table as CSV and Markdown."""

import csv
import io
from dataclasses import replace

import pytest

from edgeadapt.benchmark.rows import rows
from edgeadapt.documents.plain_text import csv_of, markdown_of
from edgeadapt.store.conditions import Conditions
from edgeadapt.store.sample import Pass
from tests.benchmark.handmade import MS, make_record, make_sample

FP32 = make_sample(latency_ns={"16": [[2 * MS] * 64], "text": [[3 * MS] * 64]})
INT8 = make_sample(
    variant="int8",
    bytes=22_500_000,
    latency_ns={"16": [[1 * MS] * 70], "text": [[1 * MS] * 10]},
    throughput={"8": [[Pass(100, 50 * MS, None)]]},
)
RECORD = make_record(FP32, INT8, labels=[0, 1, 0, 0])


def read(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_csv_has_a_line_per_row_with_the_records_figures() -> None:
    found = rows(RECORD)

    fp32, int8 = read(csv_of(found))

    assert (fp32["bundle"], fp32["variant"]) == ("small", "fp32")
    assert float(int8["latency_ms.16.p50"]) == found[1].latency_ms["16"].p50
    assert float(int8["latency_ms.16.p50_interval.low"]) == 1.0
    assert float(int8["ratios.latency.16"]) == 2.0
    assert float(int8["accuracy"]) == found[1].accuracy
    assert int8["is_baseline"] == "False"


def test_csv_leaves_a_figure_that_a_row_lacks_empty() -> None:
    fp32, int8 = read(csv_of(rows(RECORD)))

    assert fp32["texts_per_s.8.median"] == ""
    assert float(int8["texts_per_s.8.median"]) == pytest.approx(2_000)


def test_csv_is_one_table_however_the_rows_differ() -> None:
    lines = csv_of(rows(RECORD)).splitlines()

    assert len({len(line) for line in csv.reader(lines)}) == 1
    assert len(lines) == 3


def test_markdown_shows_each_row_and_what_it_was_measured_on() -> None:
    text = markdown_of(rows(RECORD), RECORD)

    lines = text.splitlines()
    assert lines[0].startswith("| model | accuracy |")
    assert len({line.count(" | ") for line in lines[:4]}) == 1
    assert "| small:int8 ★ |" in text
    assert "| 1.00 (±0%, p90 1.00, 2.00×) |" in text
    assert "| 1.00 (±0%, p90 insufficient, 3.00×) |" in text
    assert "| 2,000 |" in text
    assert "Some CPU, 2 threads, 4 texts" in text


def test_markdown_says_what_disturbed_the_benchmark() -> None:
    noisy = replace(RECORD, conditions=Conditions(others=1.5))

    assert markdown_of(rows(noisy), noisy).endswith("- other processes used 1.50 CPU cores\n")


def test_markdown_keeps_a_name_with_a_bar_in_its_cell() -> None:
    record = make_record(make_sample("a|b"), baseline="a|b:fp32")

    assert "| a\\|b:fp32" in markdown_of(rows(record), record)
