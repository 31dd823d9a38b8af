"""Tables for people: every figure is there, whole, at the width of a pipe."""

import io
from collections.abc import Mapping
from contextlib import redirect_stdout
from typing import Any

import pytest
from rich.console import Console, RenderableType

from edgeadapt.bench.rows import rows
from edgeadapt.cli.console import show
from edgeadapt.cli.tables import bench_table, facts_table
from edgeadapt.record import Record, Sample

MILLISECOND = 1_000_000


def sample(variant: str, *, milliseconds: int, **changes: Any) -> Sample:
    lengths = ("16", "32", "64", "128", "text")
    times = {n: [[milliseconds * MILLISECOND] * 70] for n in lengths}
    values: dict[str, Any] = {
        "bundle": "reviews",
        "variant": variant,
        "engine": "onnxruntime 1.32.0",
        "method": "parallel",
        "bytes": 90_000_000 // milliseconds * 10,
        "sha256": "0" * 64,
        "latency_ns": times,
        "load_ns": [250 * MILLISECOND],
        "first_label_ns": [1250 * MILLISECOND],
        "peak_bytes": [200_000_000],
        "import_bytes": [50_000_000],
        "logits": [[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0]],
    }
    return Sample(**{**values, **changes})


def table_of(*samples: Sample, labels: list[int] | None = None, **machine: Any) -> str:
    return shown_table(record_of(*samples, labels=labels, **machine))


def record_of(
    *samples: Sample,
    labels: list[int] | None = None,
    plan: Mapping[str, Any] | None = None,
    **machine: Any,
) -> Record:
    return Record(
        created="2026-01-02T03:04:05+00:00",
        edgeadapt="0.1.0",
        machine={"cpu": "A small processor", **machine},
        threads=2,
        plan=plan or {},
        evaluation={"origin": "x", "sha256": None, "texts": 4, "labels": labels},
        baseline="reviews:fp32",
        samples=samples,
    )


def shown_table(record: Record) -> str:
    return shown(bench_table(rows(record), record))


def shown(content: RenderableType) -> str:
    """What a pipe gets."""
    with redirect_stdout(io.StringIO()) as pipe:
        show(content)
    return pipe.getvalue()


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")


def test_every_figure_of_a_default_benchmark_is_shown_whole() -> None:
    shown = table_of(
        sample("fp32", milliseconds=120), sample("int8", milliseconds=40), labels=[0, 1, 0, 0]
    )

    words = shown.split()
    assert words.count("120.00") == words.count("40.00") == 10
    assert words.count("3.00×") == 5
    assert words.count("75.0%") == 2
    assert words.count("100.0%") == 2
    assert words.count("1.25") == words.count("0.25") == 2
    assert words.count("200") == 2
    assert "…" not in shown
    assert "16 32 64 128 real" in " ".join(words)
    assert words.count("tokens") >= 4


@pytest.mark.parametrize("width", [20, 60, 80, 200])
def test_a_terminal_of_any_width_gets_every_name_and_figure_whole(
    monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    monkeypatch.setattr("edgeadapt.cli.console.stdout", lambda: console)
    name = "reviews-parallel-20260102-030405"
    samples = (
        sample("fp32", milliseconds=1000, bundle="reviews"),
        sample("int8", milliseconds=250, bundle=name),
    )

    table_of(*samples, labels=[0, 1, 0, 0])

    words = console.file.getvalue().split()
    assert words.count("1000.00") == words.count("250.00") == 10
    assert words.count("4.00×") == 5
    assert words.count("200") == 2
    assert words.count("0.9") + words.count("3.6") == 2
    assert words.count(name) == 2


def test_rows_of_bundles_that_were_named_automatically_are_told_apart() -> None:
    names = ["reviews-parallel-20260102-030405", "reviews-parallel-20260102-040506"]

    shown = table_of(
        sample("fp32", milliseconds=5, bundle="reviews"),
        *(sample("int8", milliseconds=5, bundle=name) for name in names),
    )

    assert [name for name in names if name not in shown] == []


def test_what_cannot_be_read_here_is_called_unavailable() -> None:
    shown = table_of(sample("fp32", milliseconds=5, peak_bytes=[None], import_bytes=[None]))

    assert "unavailable" in shown
    assert "None" not in shown
    assert "nan" not in shown


def test_too_few_samples_give_no_p90() -> None:
    few = {"16": [[5 * MILLISECOND] * 63]}

    assert "insufficient" in table_of(sample("fp32", milliseconds=5, latency_ns=few))


def test_a_variant_without_a_length_has_a_dash_there() -> None:
    short = {"16": [[5 * MILLISECOND] * 70]}
    shown = table_of(
        sample("fp32", milliseconds=5), sample("int8", milliseconds=5, latency_ns=short)
    )

    assert shown.split().count("5.00") == 2 * 5 + 2
    assert shown.split().count("-") >= 4


def passes(*batches: str) -> dict[str, Any]:
    return {name: [[{"texts": 8, "ns": MILLISECOND, "joules": None}]] for name in batches}


@pytest.mark.parametrize(("batches", "said"), [(("1",), True), (("1", "8"), False)])
def test_the_caption_says_why_a_model_has_no_throughput_in_batches(
    batches: tuple[str, ...], said: bool
) -> None:
    fp32 = sample("fp32", milliseconds=5, throughput=passes("1", "8"))
    int8 = sample("int8", milliseconds=5, throughput=passes(*batches))

    shown = shown_table(record_of(fp32, int8, plan={"batches": [1, 8]}))

    assert ("run text by text" in " ".join(shown.split())) is said


@pytest.mark.parametrize(
    ("facts", "line"),
    [
        ({"trainable_parameters": 1234567}, "trainable parameters 1,234,567"),
        ({"labels": ["[b]", "good"]}, "labels [b], good"),
        ({"variants": {"fp32": 10_000, "int8": 2_500}}, "variants fp32 10,000, int8 2,500"),
        ({"validation_accuracy": 0.87654321}, "validation accuracy 0.876543"),
        ({"merge_difference": 9.313e-10}, "merge difference 9.313e-10"),
        ({"stock": True}, "stock True"),
    ],
)
def test_a_fact_is_a_line(facts: Mapping[str, Any], line: str) -> None:
    assert " ".join(shown(facts_table(facts)).split()) == line
