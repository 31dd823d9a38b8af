"""The report page: its content, and how a browser shows it."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeadapt.benchmark.rows import rows
from edgeadapt.errors import LayoutError, OutputExistsError, UsageError
from edgeadapt.metrics import Score
from edgeadapt.pipeline.report import report
from edgeadapt.store.conditions import Conditions
from edgeadapt.store.machine import Machine
from edgeadapt.store.origin import Origin
from edgeadapt.store.provenance import Backbone, Provenance
from edgeadapt.store.record import Record
from edgeadapt.store.run import Run
from edgeadapt.store.sample import Pass
from tests.benchmark.handmade import MS, make_record, make_sample
from tests.documents.browser import DARK, needs_chromium, open_page, printed, screenshot
from tests.store.handmade import make_compression, make_search, make_shrunk, make_smaller

pytestmark = pytest.mark.versions

LABELS = [0, 1, 0, 0]
BLUE = (0x00, 0x72, 0xB2)
"""Of the first row, in every chart."""


def timed(milliseconds: float) -> dict[str, Any]:
    times = {
        name: [[round(milliseconds * factor * MS * (1 + n / 100)) for n in range(40)]] * 2
        for name, factor in (("16", 1), ("64", 3), ("text", 2), ("text-model", 1.9))
    }
    speed = Pass(100, round(milliseconds * 50 * MS), None)
    return {"latency_ns": times, "throughput": {"1": [[speed] * 2], "8": [[speed] * 2]}}


def a_record(cpu: str = "Some CPU") -> Record:
    found = make_record(
        make_sample(**timed(2)),
        make_sample(variant="int8", bytes=22_500_000, **timed(1)),
        labels=LABELS,
    )
    return replace(
        found,
        machine=Machine(cpu, versions={"onnxruntime": "1.0"}),
        evaluation=replace(found.evaluation, names=("bad </script><b>", "good")),
    )


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """A record on disk."""
    a_record().write(tmp_path / "pi.json")
    return tmp_path / "pi.json"


@pytest.fixture
def page(written: Path, tmp_path: Path) -> Path:
    """The page about it."""
    return report([written], output=tmp_path / "page.html")


class Cells(HTMLParser):
    """Figures of the table of rows: (row, column) -> value."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.values: dict[tuple[str, str], float] = {}
        self._row = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if tag == "tr":
            self._row = found.get("data-row") or ""
        if tag == "td" and found.get("data-value"):
            self.values[self._row, str(found["data-figure"])] = float(str(found["data-value"]))


def without_scripts(text: str) -> str:
    return re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)


def figures_in(text: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="figures">(.*?)</script>', text, re.S)
    assert found
    return dict(json.loads(found[1]))


def test_the_tables_values_are_the_records(page: Path) -> None:
    fp32, int8 = rows(a_record())

    values = Cells(page.read_text()).values

    for row in (fp32, int8):
        assert values[row.name, "accuracy"] == row.accuracy
        assert values[row.name, "16 tokens, ms"] == row.latency_ms["16"].p50
        assert values[row.name, "real texts, ms"] == row.latency_ms["text"].p50
        assert values[row.name, "batch 8, texts/s"] == row.texts_per_s["8"].median
        assert values[row.name, "first label, s"] == row.first_label_s
        assert values[row.name, "peak, MB"] == row.peak_mb
        assert values[row.name, "model, MB"] == row.bytes / 1e6


def test_a_figure_that_no_row_has_gets_no_column(page: Path) -> None:
    assert "J per 1,000 texts" not in without_scripts(page.read_text())


def test_charts_are_drawn_of_the_same_figures(page: Path) -> None:
    (found,) = figures_in(page.read_text())["records"]

    samples = a_record().samples
    for shown, row, sample in zip(found["rows"], rows(a_record()), samples, strict=True):
        assert shown["latency_ms"]["16"]["p50"] == row.latency_ms["16"].p50
        pooled = np.concatenate([np.asarray(child) for child in sample.latency_ns["16"]]) / 1e6
        quantiles = shown["quantiles"]["16"]
        assert len(quantiles) == 101
        assert quantiles[50] == pytest.approx(np.median(pooled))
        assert (quantiles[0], quantiles[100]) == pytest.approx((pooled.min(), pooled.max()))


def test_every_label_has_its_scores(page: Path) -> None:
    (found,) = figures_in(page.read_text())["records"]

    bad, good = found["classes"]["small:fp32"]  # answers 0 1 0 1 to 0 1 0 0
    assert (bad["texts"], bad["precision"], bad["recall"]) == (3, 1.0, pytest.approx(2 / 3))
    assert (good["texts"], good["precision"], good["recall"]) == (1, 0.5, 1.0)
    assert good["f1"] == pytest.approx(2 / 3)


def test_names_from_outside_cannot_become_markup(page: Path) -> None:
    text = page.read_text()

    assert "<b>" not in text
    assert "bad &lt;/script&gt;&lt;b&gt;" in text


def test_the_page_needs_no_network(page: Path) -> None:
    text = without_scripts(page.read_text())

    assert not re.findall(r"(?:src|href)\s*=|url\(|@import", text)


def test_several_machines_stand_side_by_side(written: Path, tmp_path: Path) -> None:
    a_record("Another CPU").write(tmp_path / "laptop.json")

    page = report([written, tmp_path / "laptop.json"], output=tmp_path / "page.html")

    text = without_scripts(page.read_text())
    assert (text.count('class="panel"'), text.count('class="rows"')) == (2, 4)
    assert "Some CPU" in text
    assert "Another CPU" in text
    assert "2 variants in 2 records" in text


def test_what_disturbed_a_benchmark_is_said(tmp_path: Path) -> None:
    noisy = replace(a_record(), conditions=Conditions(others=1.5))
    noisy.write(tmp_path / "noisy.json")

    page = report([tmp_path / "noisy.json"], output=tmp_path / "page.html")

    assert "other processes used 1.50 CPU cores" in page.read_text()


def test_texts_without_labels_give_a_page_without_accuracy(tmp_path: Path) -> None:
    make_record(make_sample(**timed(2))).write(tmp_path / "r.json")

    text = report([tmp_path / "r.json"], output=tmp_path / "page.html").read_text()

    assert "the texts have no labels" in text
    assert ("small:fp32", "accuracy") not in Cells(text).values


ORIGIN = Origin(
    created="2025-01-01T00:00:00+00:00",
    edgeadapt="0.9",
    provenance=Provenance(
        run="a-run",
        method="parallel",
        backbone=Backbone("some/encoder", commit="abc123"),
        recipe={"data": {"dataset": "reviews"}, "training": {"seed": 0, "epochs": 4}},
        data_fingerprint="f" * 64,
        trainable_parameters=20,
        total_parameters=1_000,
        test=Score(texts=8, accuracy=0.875, macro_f1=0.5, precision=(), recall=()),
        passes=("attention", "positions"),
        versions={"torch": "2.0"},
    ),
    schemes={"fp32": None, "int8": "dynamic-int8"},
)


def test_where_the_models_come_from_is_said(tmp_path: Path) -> None:
    replace(a_record(), bundles={"small": ORIGIN}).write(tmp_path / "r.json")

    page = report([tmp_path / "r.json", tmp_path / "r.json"], output=tmp_path / "page.html")

    text = without_scripts(page.read_text())
    assert text.count("<h3>small</h3>") == 1
    for name, fact in (
        ("run", "a-run"),
        ("backbone", "some/encoder"),
        ("its commit", "abc123"),
        ("trained", "20 parameters of 1,000 (2.00%)"),
        ("its fingerprint", "f" * 16),
        ("seed", "0"),
        ("graph passes", "attention, positions"),
        ("accuracy on test text", "87.5% ±22.4"),
        ("libraries", "torch 2.0"),
        ("exported", "2025-01-01T00:00:00+00:00, edgeadapt 0.9"),
        ("int8", f"dynamic-int8, {'0' * 16}"),
        ("fp32", "0" * 16),
    ):
        assert f"<dt>{name}</dt><dd>{fact}</dd>" in text


def test_records_that_do_not_know_where_models_come_from_leave_it_out(page: Path) -> None:
    assert "Where the models come from" not in page.read_text()


def test_training_curves_are_shown_where_the_run_is_at_hand(
    tiny_run: Run, in_empty_folder: Path
) -> None:
    run = in_empty_folder / "artifacts/runs/a-run"
    run.mkdir(parents=True)
    (run / "history.jsonl").write_bytes((tiny_run.path / "history.jsonl").read_bytes())
    replace(a_record(), bundles={"small": ORIGIN}).write(in_empty_folder / "r.json")

    page = report([in_empty_folder / "r.json"])

    assert page.parent == Path("artifacts/records")
    (curve,) = figures_in(page.read_text())["records"][0]["curves"].values()
    events = [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]
    assert curve["losses"] == [event["loss"] for event in events if event["event"] == "step"]
    assert curve["accuracies"] == [e["accuracy"] for e in events if e["event"] == "epoch"]


@pytest.mark.parametrize("name", ["..", "../elsewhere", "a/../../elsewhere", "{root}/elsewhere"])
def test_a_record_names_no_file_outside_the_runs(in_empty_folder: Path, name: str) -> None:
    for folder in ("artifacts/elsewhere", "artifacts/runs/a", "elsewhere"):
        (in_empty_folder / folder).mkdir(parents=True)
        (in_empty_folder / folder / "history.jsonl").write_text("never read")
    (in_empty_folder / "artifacts/history.jsonl").write_text("never read")
    made = replace(ORIGIN.provenance, run=name.format(root=in_empty_folder))
    record = replace(a_record(), bundles={"small": replace(ORIGIN, provenance=made)})
    record.write(in_empty_folder / "r.json")

    page = report([in_empty_folder / "r.json"])

    assert figures_in(page.read_text())["records"][0]["curves"] == {}


def test_a_damaged_history_is_named(in_empty_folder: Path) -> None:
    (in_empty_folder / "artifacts/runs/a-run").mkdir(parents=True)
    (in_empty_folder / "artifacts/runs/a-run/history.jsonl").write_text("[" * 100_000)
    replace(a_record(), bundles={"small": ORIGIN}).write(in_empty_folder / "r.json")

    with pytest.raises(LayoutError, match=r"history\.jsonl is not valid JSON"):
        report([in_empty_folder / "r.json"])


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("3", "expected an object, found 3"),
        ('{"step": 1}', "the key 'event' is missing"),
        ('{"event": "step", "step": 1, "loss": "high"}', "loss: expected a number, found 'high'"),
        ('{"event": "epoch", "step": 1}', "the key 'accuracy' is missing"),
    ],
)
def test_a_history_of_another_form_is_named(
    in_empty_folder: Path, line: str, expected: str
) -> None:
    (in_empty_folder / "artifacts/runs/a-run").mkdir(parents=True)
    (in_empty_folder / "artifacts/runs/a-run/history.jsonl").write_text(f"{line}\n")
    replace(a_record(), bundles={"small": ORIGIN}).write(in_empty_folder / "r.json")

    with pytest.raises(LayoutError, match=r"history\.jsonl: ") as caught:
        report([in_empty_folder / "r.json"])
    assert expected in caught.value.message


def test_a_page_is_never_replaced_unasked(written: Path, page: Path) -> None:
    with pytest.raises(OutputExistsError, match=r"page\.html"):
        report([written], output=page)

    assert report([written], output=page, force=True) == page


def test_a_page_takes_the_place_of_none_of_its_records(written: Path) -> None:
    before = written.read_bytes()

    with pytest.raises(UsageError, match="is one of the records"):
        report([written], output=written.parent / "." / written.name, force=True)
    assert written.read_bytes() == before


def test_no_record_is_no_page() -> None:
    with pytest.raises(UsageError, match="at least one record"):
        report([])


def test_what_is_no_record_leaves_no_page(tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text('{"format_version": 2}')

    with pytest.raises(LayoutError, match="not a benchmark record"):
        report([tmp_path / "r.json"], output=tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


@needs_chromium
@pytest.mark.slow
def test_a_browser_draws_every_chart_without_complaint(page: Path) -> None:
    opened = open_page(page)

    assert opened.console == []
    assert 'data-drawn="yes"' in opened.dom
    for chart in ("pareto", "by-length", "memory", "distribution", "throughput"):
        drawn = re.search(rf'id="{chart}"[^>]*class="[^"]*js-plotly-plot', opened.dom) or re.search(
            rf'class="[^"]*js-plotly-plot[^"]*"[^>]*id="{chart}"', opened.dom
        )
        assert drawn, chart
    assert re.search(r"<figure hidden[^>]*><figcaption>Training", opened.dom)


PRUNED = replace(
    ORIGIN, structure=make_compression(make_search(), shrunk=make_shrunk(), max_drop=0.01)
)


def pruned_page(folder: Path, **origins: Origin) -> Path:
    record = replace(a_record(), bundles=origins or {"small": PRUNED})
    record.write(folder / "pruned.json")
    return report([folder / "pruned.json"], output=folder / "pruned.html")


def test_the_charts_of_removed_layers_have_the_figures_of_the_bundle(tmp_path: Path) -> None:
    (found,) = figures_in(pruned_page(tmp_path).read_text())["pruned"]

    assert found["name"] == "small"
    assert [(one["heads"], one["heads_before"]) for one in found["layers"]] == [
        *((7, 12), (0, 12), (None, 12))
    ]
    assert [(one["neurons"], one["neurons_before"]) for one in found["layers"]] == [
        *((1088, 1600), (224, 1600), (None, 1600))
    ]
    assert [one["head_importance"] for one in found["layers"]] == [0.75, 0.25, None]
    assert [(one["speed"], one["accuracy"]) for one in found["trials"]] == [
        *((1.5, 0.9221), (2.875, 0.9187), (4.5, 0.8765))
    ]
    assert [one["allowed"] for one in found["trials"]] == [True, True, False]
    assert [one["chosen"] for one in found["trials"]] == [False, True, False]
    assert found["accuracy_before"] == 0.9234
    assert found["least_accuracy"] == pytest.approx(0.9134)
    assert found["trials"][0]["interval"] == pytest.approx([0.9121, 0.9321])


def test_what_these_charts_show_is_text_too(tmp_path: Path) -> None:
    text = without_scripts(pruned_page(tmp_path).read_text())

    assert "Removed: 1 of 3 layers, 29 of 36 attention heads" in text
    assert "<td>1</td><td>7 of 12</td><td>1,088 of 1,600</td><td>75.0%</td>" in text
    assert "<td>2 layers, 7 heads, 312 neurons</td><td>4.50×</td>" in text
    labels = re.findall(r'id="(\w+)-0" role="img" aria-label="[^"]*in the table of \w+ below', text)
    assert labels == ["heads", "neurons", "trials"]


def test_a_bundle_in_two_records_has_one_section_and_two_bundles_have_two(tmp_path: Path) -> None:
    page = pruned_page(tmp_path, small=PRUNED, other=PRUNED, stock=ORIGIN)
    both = report([tmp_path / "pruned.json"] * 2, output=tmp_path / "both.html")

    for path in (page, both):
        text = without_scripts(path.read_text())
        assert re.findall(r'class="pruned"><h3>(\w+)</h3>', text) == ["small", "other"]
        assert len(figures_in(path.read_text())["pruned"]) == 2


def test_a_page_about_models_with_all_their_layers_has_no_such_section(tmp_path: Path) -> None:
    text = pruned_page(tmp_path, small=ORIGIN).read_text()

    assert "What was removed" not in text
    assert figures_in(text)["pruned"] == []


def test_names_of_trials_cannot_become_markup(tmp_path: Path) -> None:
    name = "</script><b>layers</b>"
    search = make_search(make_smaller(name, 2.0, 0.92))
    structure = make_compression(search, shrunk=make_shrunk())

    text = pruned_page(tmp_path, **{"<b>": replace(PRUNED, structure=structure)}).read_text()

    assert "<b>" not in text
    assert "&lt;/script&gt;&lt;b&gt;layers" in text


@needs_chromium
@pytest.mark.slow
def test_a_browser_draws_the_charts_of_removed_layers(tmp_path: Path) -> None:
    opened = open_page(pruned_page(tmp_path))

    assert opened.console == []
    for chart in ("heads-0", "neurons-0", "trials-0"):
        (drawn,) = re.findall(rf'<div [^>]*id="{chart}"[^>]*>', opened.dom)
        assert "js-plotly-plot" in drawn
    for legend in ("kept", "removed", "nothing removed", "budget", "allowed", "refused", "chosen"):
        assert f'data-unformatted="{legend}"' in opened.dom
    for shown in ("75 %", "25 %", "40 %", "60 %"):
        assert f'data-unformatted="{shown}"' in opened.dom


@needs_chromium
@pytest.mark.slow
def test_the_table_that_a_browser_shows_has_the_records_values(page: Path) -> None:
    assert Cells(open_page(page).dom).values == Cells(page.read_text()).values


@needs_chromium
@pytest.mark.slow
def test_a_page_with_a_broken_script_would_be_noticed(page: Path) -> None:
    page.write_text(page.read_text().replace("drawAll();\n", "drawAll(undefinedName);\n", 1))

    assert any("undefinedName" in line for line in open_page(page).console)


@needs_chromium
@pytest.mark.slow
@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_is_wider_than_the_screen(page: Path, width: int) -> None:
    probe = (
        "<script>document.body.dataset.wider = "
        "document.documentElement.scrollWidth - document.documentElement.clientWidth</script>"
    )
    page.write_text(page.read_text().replace("</body>", f"{probe}</body>"))

    assert 'data-wider="0"' in open_page(page, width=max(width, 500)).dom


@needs_chromium
@pytest.mark.slow
@pytest.mark.parametrize("dark", [False, True])
def test_a_picture_of_the_page_has_its_colours(page: Path, tmp_path: Path, dark: bool) -> None:
    image = pytest.importorskip("PIL.Image")
    options = (DARK,) if dark else ()

    picture = image.open(screenshot(page, tmp_path / "page.png", options=options)).convert("RGB")

    pixels = np.asarray(picture)
    brightness = pixels.mean()
    assert brightness < 60 if dark else brightness > 200
    assert (pixels == BLUE).all(axis=2).sum() > 500


@needs_chromium
@pytest.mark.slow
def test_the_page_can_be_printed(page: Path, tmp_path: Path) -> None:
    pdf = printed(page, tmp_path / "page.pdf").read_bytes()

    assert pdf.startswith(b"%PDF")
    assert len(pdf) > 30_000
