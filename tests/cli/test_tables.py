"""Tables for people: every figure that a command has found is on the screen."""

import io
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console, RenderableType

from edgeadapt.bench.compare import Ratios, Row, rows
from edgeadapt.bundle import Bundle
from edgeadapt.cli.bench import bench as bench_command
from edgeadapt.cli.tables import bench_table, facts_table, gates_table, scores_table
from edgeadapt.measure.statistics import Latency
from edgeadapt.pipeline import bench as pipeline
from edgeadapt.record import Record
from edgeadapt.run import Run
from tests.bench.handmade import make_record, make_sample

LATENCIES = {
    "16": Latency(p50=2.34, p90=3.45, n=500),
    "32": Latency(p50=4.56, p90=5.67, n=500),
    "64": Latency(p50=16.78, p90=27.89, n=500),
    "128": Latency(p50=138.91, p90=249.02, n=500),
    "text": Latency(p50=350.13, p90=461.24, n=2_000),
}
FIGURES = {
    "accuracy": "91.2%",
    "macro-F1": "89.8%",
    "same labels as fp32": "97.4%",
    "p50": ("2.34", "4.56", "16.78", "138.91", "350.13"),
    "p90": ("3.45", "5.67", "27.89", "249.02", "461.24"),
    "times faster": ("1.11×", "2.22×", "3.33×", "14.44×", "5.55×"),
    "first label": "0.76",
    "load": "0.32",
    "peak": "1234",
    "times less memory": "6.66×",
    "size": "90.9",
    "times smaller": "7.77×",
}
"""Every figure of ``make_row`` as a person reads it; all are different."""


def make_row(**changes: Any) -> Row:
    values: dict[str, Any] = {
        "bundle": "reviews",
        "variant": "int8",
        "engine": "onnxruntime 1.2.3",
        "method": "parallel",
        "accuracy": 0.9123,
        "macro_f1": 0.8977,
        "agreement": 0.9741,
        "largest_shift": 0.5,
        "latency_ms": LATENCIES,
        "load_s": 0.3199,
        "first_label_s": 0.7599,
        "peak_mb": 1233.8,
        "import_mb": 50.0,
        "bytes": 90_876_543,
        "is_baseline": False,
        "ratios": Ratios(
            latency=dict(zip(LATENCIES, (1.11, 2.22, 3.33, 14.44, 5.55), strict=True)),
            peak=6.66,
            bytes=7.77,
        ),
        **changes,
    }
    return Row(**values)


def record_of(shown: Sequence[Row], *, texts: int = 1_999, **changes: Any) -> Record:
    """A record for the caption; its samples are not looked at."""
    record = make_record(make_sample(), baseline=f"{shown[0].bundle}:{shown[0].variant}")
    return replace(record, evaluation={"texts": texts, "labels": None}, **changes)


def rendered(table: RenderableType, *, width: int = 400) -> str:
    console = Console(width=width, file=io.StringIO(), force_terminal=False)
    with console.capture() as captured:
        console.print(table)
    return captured.get()


def bench_text(*shown: Row, width: int = 400, **changes: Any) -> str:
    return rendered(bench_table(shown, record_of(shown, **changes)), width=width)


def missing(text: str) -> list[str]:
    """The figures of ``make_row`` that a text lacks."""
    wanted: list[str] = []
    for figure in FIGURES.values():
        wanted += [figure] if isinstance(figure, str) else figure
    return [figure for figure in wanted if figure not in text.split()]


def test_every_figure_of_a_row_is_shown() -> None:
    assert missing(bench_text(make_row())) == []


def test_a_row_is_named_with_its_engine() -> None:
    text = " ".join(bench_text(make_row()).split())

    assert "reviews int8" in text
    assert "onnxruntime 1.2.3" in text


def test_every_scenario_has_a_heading() -> None:
    text = bench_text(make_row())

    for heading in ("16 tokens", "32 tokens", "64 tokens", "128 tokens", "real texts"):
        assert heading in text


def test_every_row_is_shown() -> None:
    text = bench_text(
        make_row(variant="fp32", bytes=11_100_000),
        make_row(bytes=22_200_000),
        make_row(bundle="topics", bytes=33_300_000),
    )

    assert {"11.1", "22.2", "33.3"} <= set(text.split())
    assert text.count("reviews") == 3  # two rows and the baseline below the table
    assert text.count("topics") == 1


def test_the_caption_says_on_what_was_measured() -> None:
    text = " ".join(bench_text(make_row(), threads=3, machine={"cpu": "Some CPU @ 2 GHz"}).split())

    assert "Some CPU @ 2 GHz, 3 threads, batch 1, 1,999 texts" in text
    assert "reviews:int8" in text


def test_the_caption_says_where_there_were_no_texts() -> None:
    assert "no texts" in bench_text(make_row(), texts=0)


def test_too_few_samples_for_p90_are_called_insufficient() -> None:
    few = {**LATENCIES, "128": Latency(p50=138.91, p90=None, n=63)}

    text = bench_text(make_row(latency_ms=few))

    assert text.split().count("insufficient") == 1
    assert missing(text) == ["249.02"]


def test_nothing_is_insufficient_where_there_are_enough_samples() -> None:
    assert "insufficient" not in bench_text(make_row())


@pytest.mark.parametrize("field", ["peak_mb", "load_s", "first_label_s"])
def test_a_figure_that_could_not_be_read_is_called_unavailable(field: str) -> None:
    text = bench_text(make_row(**{field: None}))

    assert text.split().count("unavailable") == 1
    assert len(missing(text)) == 1


def test_nothing_is_unavailable_where_everything_was_read() -> None:
    assert "unavailable" not in bench_text(make_row())


def test_memory_that_could_not_be_read_has_no_ratio() -> None:
    ratios = replace(make_row().ratios, peak=None)

    text = bench_text(make_row(peak_mb=None, ratios=ratios))

    assert missing(text) == ["1234", "6.66×"]
    assert "None" not in text


@pytest.mark.parametrize("field", ["accuracy", "macro_f1", "agreement"])
def test_a_score_without_labels_is_a_dash(field: str) -> None:
    text = bench_text(make_row(**{field: None}))

    assert text.split().count("-") == 1
    assert len(missing(text)) == 1


def test_a_scenario_that_a_row_lacks_is_a_dash() -> None:
    short = {name: value for name, value in LATENCIES.items() if name != "128"}

    text = bench_text(make_row(variant="fp32"), make_row(latency_ms=short))

    assert "128 tokens" in text
    assert text.split().count("-") == 1
    assert text.split().count("138.91") == 1


def test_the_baseline_is_one_time_itself() -> None:
    record = make_record(make_sample())

    text = rendered(bench_table(rows(record), record))

    # One fixed length, memory and size.
    assert text.split().count("1.00×") == 3


def test_ratios_are_those_of_the_record() -> None:
    faster = {
        "latency_ns": {"16": [[500_000] * 64]},
        "bytes": 22_500_000,
        "peak_bytes": [160 * 10**6],
    }
    record = make_record(make_sample(), make_sample(variant="int8", **faster))

    text = rendered(bench_table(rows(record), record)).split()

    # 2 ms against 0.5, 200 MB against 160, 90 MB against 22.5.
    assert (text.count("4.00×"), text.count("1.25×")) == (2, 1)


def test_figures_of_a_written_and_read_record_are_shown_alike(tmp_path: Path) -> None:
    record = make_record(make_sample(), make_sample(variant="int8", bytes=7), labels=[0, 1, 0, 0])
    record.write(tmp_path / "record.json")
    read = Record.open(tmp_path / "record.json")

    assert rendered(bench_table(rows(read), read)) == rendered(bench_table(rows(record), record))


def test_a_terminal_of_80_columns_loses_no_figure() -> None:
    assert missing(bench_text(make_row(), width=80)) == []


@pytest.fixture
def print_bench(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], in_empty_folder: Path
) -> Callable[..., str]:
    """Lets ``edgeadapt bench`` print rows; returns the table without its caption."""

    def run(*shown: Row) -> str:
        record = record_of(shown)
        monkeypatch.setattr(pipeline, "bench", lambda *_, **__: (record, Path("record.json")))
        monkeypatch.setattr(pipeline, "rows_of", lambda _: list(shown))
        bench_command(bundles=None)
        return capsys.readouterr().out.partition("Some CPU")[0]

    return run


def test_a_pipe_gets_every_figure_and_heading_whole(
    print_bench: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")

    text = print_bench(make_row(variant="fp32"), make_row(variant="int8"))

    assert missing(text) == []
    assert "…" not in text
    for heading in ("16 tokens", "32 tokens", "64 tokens", "128 tokens", "real texts"):
        assert heading in text


def test_a_pipe_gets_names_that_were_made_automatically_whole(
    print_bench: Callable[..., str],
) -> None:
    names = ["reviews-parallel-20260102-030405", "reviews-parallel-20260102-040506"]

    text = print_bench(*(make_row(bundle=name) for name in names))

    assert [name for name in names if name not in text] == []
    assert missing(text) == []


def test_a_pipe_gets_the_words_that_stand_for_figures_whole(
    print_bench: Callable[..., str],
) -> None:
    few = {**LATENCIES, "text": Latency(p50=350.13, p90=None, n=20)}

    text = print_bench(make_row(latency_ms=few, peak_mb=None, load_s=None))

    assert missing(text) == ["461.24", "0.32", "1234"]
    assert {"insufficient", "unavailable"} <= set(text.split())


def test_a_terminal_of_80_columns_loses_no_figure(
    print_bench: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.setenv("TERM", "dumb")  # 80 columns, no colours
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)

    text = print_bench(make_row(variant="fp32"), make_row(variant="int8"))

    assert missing(text) == []


def test_brackets_in_names_are_shown_as_they_are() -> None:
    text = bench_text(make_row(bundle="reviews[v2]", engine="engine [beta]"))

    assert text.count("reviews[v2]") == 2
    assert "engine [beta]" in text


def test_the_scores_of_both_splits_are_shown(tiny_run: Run) -> None:
    info = replace(
        tiny_run.info,
        validation={"texts": 1_234, "accuracy": 0.9123, "macro_f1": 0.8977},
        test={"texts": 5_678, "accuracy": 0.8765, "macro_f1": 0.7654},
        trainable_parameters=12_345,
        total_parameters=1_234_500,
        best_epoch=3,
        seconds=87.4,
        examples_per_second=4_321.4,
    )

    text = " ".join(rendered(scores_table(info)).split())

    assert "validation 1,234 91.23% 89.77%" in text
    assert "test 5,678 87.65% 76.54%" in text
    assert "parallel: 12,345 of 1,234,500 parameters trained (1.00%)" in text
    assert "best epoch 3, 87 s, 4,321 examples/s" in text


def test_the_gates_of_a_bundle_are_shown_with_their_limits(tiny_bundle: Bundle) -> None:
    parity = {
        "merge": {"max_difference": 3.2e-7, "limit": 1e-5, "texts": 64, "label_agreement": 1.0},
        "onnx": {"max_difference": 4.5e-6, "limit": 1e-4, "texts": 65, "label_agreement": 0.999},
        "int8": {
            "scheme": "dynamic-int8",
            "accuracy_before": 0.9234,
            "accuracy_after": 0.9187,
            "max_drop": 0.015,
            "texts": 1_777,
            "label_agreement": 0.9876,
        },
    }

    text = " ".join(rendered(gates_table(replace(tiny_bundle.manifest, parity=parity))).split())

    assert "merged = adapters logits differ by 3.2e-07 1e-05 64 100.0%" in text
    assert "ONNX fp32 = torch logits differ by 4.5e-06 1e-04 65 99.9%" in text
    assert "int8 against fp32 (dynamic-int8) accuracy 92.34% → 91.87%" in text
    assert "drop ≤ 1.5 points 1,777 98.8%" in text


def test_without_int8_there_are_two_gates(tiny_bundle: Bundle) -> None:
    parity = {**tiny_bundle.manifest.parity, "int8": None}

    text = rendered(gates_table(replace(tiny_bundle.manifest, parity=parity)))

    assert "ONNX fp32 = torch" in text
    assert "int8" not in text


@pytest.mark.parametrize(
    ("facts", "line"),
    [
        ({"trainable_parameters": 1_234_567}, "trainable parameters 1,234,567"),
        ({"labels": ["[b]", "good"]}, "labels [b], good"),
        ({"text": "a [bold]text[/bold]"}, "text a [bold]text[/bold]"),
        ({"variants": {"fp32": 10_000, "int8": 2_500}}, "variants fp32 10,000, int8 2,500"),
        ({"validation_accuracy": 0.87654321}, "validation accuracy 0.876543"),
        ({"merge_difference": 9.313e-10}, "merge difference 9.313e-10"),
        ({"stock": True}, "stock True"),
    ],
)
def test_a_fact_is_a_readable_line(facts: Mapping[str, Any], line: str) -> None:
    assert " ".join(rendered(facts_table(facts)).split()) == line


def test_facts_are_shown_one_a_line_in_their_order() -> None:
    lines = rendered(facts_table({"kind": "run", "path": "some/run"})).splitlines()

    assert [line.split() for line in lines] == [["kind", "run"], ["path", "some/run"]]
