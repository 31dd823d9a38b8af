"""Terminal tables: all figures are complete at the width of a pipe."""

import io
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from typing import Any

import pytest
from rich.console import Console, RenderableType

from edgeadapt.benchmark.rows import rows
from edgeadapt.cli.console import show
from edgeadapt.cli.tables import bench_table, facts_table, layers_table, step_table
from edgeadapt.store.evaluation import EvaluationInfo
from edgeadapt.store.machine import Machine
from edgeadapt.store.plan import Plan
from edgeadapt.store.record import Record
from edgeadapt.store.sample import Pass, Sample
from edgeadapt.store.structure import Structure
from tests.store.handmade import make_compression, make_search, make_shrunk, make_smaller

pytestmark = pytest.mark.versions

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


def table_of(
    *samples: Sample, labels: list[int] | None = None, wide: bool = True, **machine: Any
) -> str:
    return shown_table(record_of(*samples, labels=labels, **machine), wide=wide)


def record_of(
    *samples: Sample,
    labels: list[int] | None = None,
    plan: Plan | None = None,
    **machine: Any,
) -> Record:
    return Record(
        created="2026-01-02T03:04:05+00:00",
        edgeadapt="0.1.0",
        machine=Machine("A small processor", **machine),
        threads=2,
        plan=plan or Plan(batches=()),
        evaluation=EvaluationInfo(origin="x", texts=4, labels=labels),
        baseline="reviews:fp32",
        samples=samples,
    )


def shown_table(record: Record, *, wide: bool = True) -> str:
    return shown(bench_table(rows(record), record, wide=wide))


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
    assert words.count("3.00×") == 5 + 1
    assert words.count("75.0%") == 2
    assert words.count("100.0%") == 2
    assert words.count("1.25") == words.count("0.25") == 2
    assert words.count("200") == 2
    assert "…" not in shown
    assert {"16", "32", "64", "128", "real", "texts"} <= set(words)
    assert words.count("tokens") >= 4


TWO_BUNDLES = (
    sample("fp32", milliseconds=12, bundle="reviews"),
    sample("int8", milliseconds=3, bundle="reviews"),
    sample("fp32", milliseconds=12, bundle="full"),
    sample("int8", milliseconds=4, bundle="full"),
    sample("torch", milliseconds=50, bundle="full"),
)


def brief(monkeypatch: pytest.MonkeyPatch, width: int, *samples: Sample) -> list[str]:
    """The lines of the short table on a terminal of a width."""
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    monkeypatch.setattr("edgeadapt.cli.console.stdout", lambda: console)
    table_of(*samples, labels=[0, 1, 0, 0], wide=False)
    return console.file.getvalue().splitlines()


def words_of(lines: Sequence[str]) -> set[str]:
    return {word for line in lines for word in line.split() if "─" not in word}


@pytest.mark.parametrize("width", [80, 100, 140])
def test_by_default_a_variant_is_one_line_below_its_bundle(
    monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    lines = brief(monkeypatch, width, *TWO_BUNDLES)

    assert max(map(len, lines)) <= width
    rule = next(number for number, line in enumerate(lines) if line.startswith("──"))
    assert [line.split()[0] for line in lines[rule + 1 :][:7]] == [
        *("reviews", "fp32", "int8"),
        *("full", "fp32", "int8", "torch"),
    ]
    int8 = lines[rule + 3].split()
    assert int8 == [
        *("int8", "★", "75.0%", "±32.7", "100.0%"),
        *("3.00", "3.00", "3.00", "3.00", "4.00×", "1.25", "200", "300.0"),
    ]


def test_the_short_table_has_the_fewest_the_middle_and_the_most_tokens(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    times = {n: [[MILLISECOND] * 70] for n in ("8", "16", "32", "64", "128", "text")}

    head = brief(monkeypatch, 100, sample("fp32", milliseconds=1, latency_ns=times))[0]

    assert head.split()[:3] == ["8", "32", "128"]


def test_the_short_table_ends_with_what_it_was_measured_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lines = brief(monkeypatch, 80, *TWO_BUNDLES)

    assert lines[-1] == "A small processor, 2 threads, 4 texts"
    assert "times faster than reviews:fp32, real texts" in lines
    assert sum("─" in line for line in lines) == 1


def test_a_terminal_too_narrow_for_the_short_table_gets_all_of_it_in_two(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wide = brief(monkeypatch, 100, *TWO_BUNDLES)

    narrow = brief(monkeypatch, 60, *TWO_BUNDLES)

    assert sum("─" in line for line in narrow) == 2
    assert max(len(line) for line in narrow[: narrow.index("")]) <= 60
    assert words_of(wide) <= words_of(narrow)


def test_without_real_texts_the_most_tokens_tell_how_much_faster(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    times = [
        {"16": [[slow * MILLISECOND] * 70], "64": [[3 * slow * MILLISECOND] * 70]}
        for slow in (4, 1)
    ]

    lines = brief(
        monkeypatch,
        100,
        sample("fp32", milliseconds=4, latency_ns=times[0]),
        sample("int8", milliseconds=1, latency_ns={**times[1], "64": [[2 * MILLISECOND] * 70]}),
    )

    assert "times faster than reviews:fp32, 64 tokens" in lines
    assert any("6.00×" in line.split() for line in lines)


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
    parts = sum(set(word) == {"─"} for word in words)
    assert words.count("1000.00") == words.count("250.00") == 10
    assert words.count("4.00×") == 5 + 1
    assert words.count("200") == 2
    assert words.count("0.9") + words.count("3.6") == 2
    assert words.count(name) == parts


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
    assert shown.split().count("–") >= 4


def passes(*batches: str) -> dict[str, Any]:
    return {name: [[Pass(8, MILLISECOND, None)]] for name in batches}


@pytest.mark.parametrize(("batches", "said"), [(("1",), True), (("1", "8"), False)])
def test_the_caption_says_why_a_model_has_no_throughput_in_batches(
    batches: tuple[str, ...], said: bool
) -> None:
    fp32 = sample("fp32", milliseconds=5, throughput=passes("1", "8"))
    int8 = sample("int8", milliseconds=5, throughput=passes(*batches))

    shown = shown_table(record_of(fp32, int8, plan=Plan(batches=(1, 8))))

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


def on_a_terminal(monkeypatch: pytest.MonkeyPatch, content: RenderableType) -> list[str]:
    """The lines on a terminal of 80 columns."""
    console = Console(file=io.StringIO(), width=80, force_terminal=True, color_system=None)
    monkeypatch.setattr("edgeadapt.cli.console.stdout", lambda: console)
    show(content)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def test_the_trials_of_a_search_fit_a_terminal_in_one_table(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    search = make_search(
        make_smaller("12 layers, 100 heads, 22,222 neurons", 1.5, 0.92),
        make_smaller("12 layers, 144 heads, 36,864 neurons", 1.0, 0.9234),
        make_smaller("6 layers, 10 heads, 2,222 neurons", 10.25, 0.81, allowed=False),
    )

    lines = on_a_terminal(monkeypatch, step_table(make_compression(search), search))

    rules = [at for at, line in enumerate(lines) if line.startswith("──")]
    assert len(rules) == 1
    assert [line.split()[-7:] for line in lines[rules[0] + 1 :][:3]] == [
        ["←", "1.00×", "0.00", "±1.00", "yes", "98.8%", "60.0"],
        ["neurons", "1.50×", "0.34", "±1.00", "yes", "98.8%", "40.0"],
        ["neurons", "10.25×", "11.34", "±1.00", "no", "98.8%", "5.9"],
    ]
    assert max(map(len, lines)) <= 80


def test_the_layers_of_a_deep_model_fit_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    depth = 24
    before = Structure((16,) * depth, (4096,) * depth)
    shrunk = make_shrunk(
        before=before,
        after=Structure((16,) * 20, (4096,) * 20),
        head_importance=(1.0,) * 20,
        neuron_importance=(1.0,) * 20,
    )

    lines = on_a_terminal(monkeypatch, layers_table(shrunk))

    rule = next(at for at, line in enumerate(lines) if line.startswith("──"))
    assert lines[rule + 20].split() == [
        *("20", "16", "of", "16", "4,096", "of", "4,096", "5.0%", "5.0%")
    ]
    assert lines[rule + depth].split() == ["24", "removed", "removed", "–", "–"]
    assert "Removed: 4 of 24 layers" in lines[rule + depth + 1]
    assert max(map(len, lines)) <= 80
