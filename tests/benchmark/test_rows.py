"""Rows of the table, computed from raw samples."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeadapt.benchmark.rows import Row, rows
from edgeadapt.measure.statistics import latency
from edgeadapt.metrics import score
from edgeadapt.recipe import Task
from edgeadapt.store.record import Record
from tests.benchmark.handmade import MS, make_record, make_sample

FAST = {
    "bytes": 22_500_000,
    "latency_ns": {"16": [[1 * MS] * 64]},
    "peak_bytes": [50_000_000],
    "logits": [[2.5, 1.0], [1.5, 1.0], [3.0, 0.5], [0.0, 3.0]],
}
"""Twice as fast, four times smaller, and of another opinion about the second text."""


def row_of(record: Record, name: str) -> Row:
    found = [row for row in rows(record) if f"{row.bundle}:{row.variant}" == name]
    assert len(found) == 1
    return found[0]


def compared(labels: list[int] | None = None, **changes: Any) -> Row:
    """The int8 row of a bundle whose fp32 is the baseline."""
    int8 = make_sample(variant="int8", **{**FAST, **changes})
    return row_of(make_record(make_sample(), int8, labels=labels), "small:int8")


def test_there_is_one_row_per_sample_in_the_records_order() -> None:
    record = make_record(
        make_sample("b", "int8"), make_sample("a"), make_sample("b"), baseline="a:fp32"
    )

    assert [(row.bundle, row.variant, row.is_baseline) for row in rows(record)] == [
        ("b", "int8", False),
        ("a", "fp32", True),
        ("b", "fp32", False),
    ]


def test_a_row_says_what_was_measured() -> None:
    row = compared(engine="some engine 2.0", method="lora+bitfit")

    assert (row.engine, row.method, row.bytes) == ("some engine 2.0", "lora+bitfit", 22_500_000)


def test_figures_are_medians_in_seconds_and_megabytes() -> None:
    row = row_of(make_record(make_sample()), "small:fp32")

    assert row.load_s == pytest.approx(0.2)
    assert row.first_label_s == pytest.approx(0.7)
    assert row.peak_mb == pytest.approx(200.0)
    assert row.import_mb == pytest.approx(50.0)


def test_latencies_are_those_of_the_process_in_the_middle() -> None:
    samples = {"16": [[1 * MS] * 50, [3 * MS] * 50], "text": [[5 * MS] * 10, [5 * MS] * 2]}

    row = compared(latency_ns=samples)

    found = {name: (one.p50, one.p90, one.n) for name, one in row.latency_ms.items()}
    assert found == {"16": (2.0, 2.0, 100), "text": (5.0, None, 12)}


def test_a_scenario_without_samples_is_left_out() -> None:
    assert set(compared(latency_ns={"16": [[1 * MS]], "32": [[], []]}).latency_ms) == {"16"}


def test_ratios_tell_how_many_times_better_than_the_baseline() -> None:
    row = compared()

    assert row.ratios.latency == {"16": pytest.approx(2.0)}
    assert row.ratios.peak == pytest.approx(4.0)
    assert row.ratios.bytes == pytest.approx(4.0)


def test_a_slower_and_larger_row_has_ratios_below_one() -> None:
    row = compared(latency_ns={"16": [[8 * MS]]}, bytes=180_000_000, peak_bytes=[400_000_000])

    assert row.ratios.latency == {"16": pytest.approx(0.25)}
    assert row.ratios.peak == pytest.approx(0.5)
    assert row.ratios.bytes == pytest.approx(0.5)


def test_the_baseline_compares_with_itself_as_one() -> None:
    row = row_of(make_record(make_sample(), make_sample(variant="int8", **FAST)), "small:fp32")

    assert row.is_baseline
    assert row.ratios.latency == {"16": 1.0}
    assert (row.ratios.peak, row.ratios.bytes) == (1.0, 1.0)


def test_ratios_refer_to_the_records_baseline_wherever_it_stands() -> None:
    record = make_record(make_sample(), make_sample(variant="int8", **FAST), baseline="small:int8")

    assert row_of(record, "small:fp32").ratios.latency == {"16": pytest.approx(0.5)}


def test_a_scenario_that_the_baseline_lacks_has_no_ratio() -> None:
    row = compared(latency_ns={"16": [[1 * MS]], "32": [[1 * MS]]})

    assert set(row.latency_ms) == {"16", "32"}
    assert set(row.ratios.latency) == {"16"}


def test_memory_that_could_not_be_read_has_neither_figure_nor_ratio() -> None:
    row = compared(peak_bytes=[None, None], import_bytes=[None, None])

    assert (row.peak_mb, row.import_mb, row.ratios.peak) == (None, None, None)


def test_there_is_no_memory_ratio_where_the_baselines_could_not_be_read() -> None:
    record = make_record(make_sample(peak_bytes=[None]), make_sample(variant="int8", **FAST))

    row = row_of(record, "small:int8")

    assert row.peak_mb == pytest.approx(50.0)
    assert row.ratios.peak is None


def test_a_process_whose_memory_could_not_be_read_does_not_count() -> None:
    assert compared(peak_bytes=[None, 30_000_000, 50_000_000]).peak_mb == pytest.approx(40.0)


def test_a_cold_start_that_was_not_measured_is_none() -> None:
    assert compared(first_label_ns=[]).first_label_s is None


def test_accuracy_and_macro_f1_are_those_of_the_one_judge() -> None:
    labels = [0, 1, 0, 0]
    expected = score(
        np.asarray(FAST["logits"], dtype=np.float32),
        np.asarray(labels, dtype=np.int64),
        task=Task.SINGLE_LABEL,
    )

    row = compared(labels=labels)

    assert (row.accuracy, row.macro_f1) == (expected.accuracy, expected.macro_f1)


def test_accuracy_counted_by_hand() -> None:
    # fp32 answers 0 1 0 1, int8 answers 0 0 0 1.
    record = make_record(make_sample(), make_sample(variant="int8", **FAST), labels=[0, 1, 0, 0])

    assert [row.accuracy for row in rows(record)] == [0.75, 0.5]


def test_agreement_counts_the_labels_of_the_same_bundles_fp32() -> None:
    row = compared()

    assert row.agreement == 0.75
    assert row.largest_shift == pytest.approx(1.5)


def test_fp32_agrees_with_itself() -> None:
    row = row_of(make_record(make_sample()), "small:fp32")

    assert (row.agreement, row.largest_shift) == (1.0, 0.0)


def test_agreement_never_refers_to_another_bundle() -> None:
    opposite = [[0.0, 1.0], [1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]
    record = make_record(
        make_sample("first", logits=opposite),
        make_sample("second"),
        make_sample("second", "int8", **FAST),
        make_sample("third", "int8", **FAST),
        baseline="first:fp32",
    )

    assert row_of(record, "second:int8").agreement == 0.75
    assert row_of(record, "third:int8").agreement is None
    assert row_of(record, "third:int8").largest_shift is None


def test_agreement_needs_no_labels() -> None:
    row = compared(labels=None)

    assert (row.accuracy, row.macro_f1) == (None, None)
    assert row.agreement == 0.75


def test_without_texts_there_is_neither_accuracy_nor_agreement() -> None:
    record = make_record(
        make_sample(logits=[]), make_sample(variant="int8", **{**FAST, "logits": []})
    )

    for row in rows(record):
        assert (row.accuracy, row.macro_f1) == (None, None)
        assert (row.agreement, row.largest_shift) == (None, None)


def test_statistics_are_the_same_from_a_written_and_read_record(tmp_path: Path) -> None:
    shifts = {"logits": [[1 / 3, 0.1], [0.2, 1e-9], [1.0, 2 / 7], [0.5, 0.25]]}
    samples = {"16": [[1_234_567, 2_345_678], [3_456_789]], "text": [[n * 997 for n in range(90)]]}
    record = make_record(
        make_sample(),
        make_sample(variant="int8", **{**FAST, **shifts, "latency_ns": samples}),
        make_sample("other", peak_bytes=[None, 7], import_bytes=[None, None]),
        labels=[0, 1, 1, 1],
    )
    record.write(tmp_path / "record.json")

    assert rows(Record.open(tmp_path / "record.json")) == rows(record)


def test_a_row_as_json_holds_what_is_promised() -> None:
    value = json.loads(json.dumps(asdict(compared(labels=[0, 1, 0, 0]))))

    assert value["bundle"] == "small"
    assert value["variant"] == "int8"
    assert value["engine"] == "onnxruntime 1.0"
    assert value["accuracy"] == 0.5
    assert value["agreement"] == 0.75
    assert {"p50": 1.0, "p90": 1.0, "n": 64}.items() <= value["latency_ms"]["16"].items()
    assert value["first_label_s"] == pytest.approx(0.7)
    assert value["peak_mb"] == pytest.approx(50.0)
    assert value["bytes"] == 22_500_000
    assert value["ratios"]["latency"] == {"16": 2.0}


NANOSECONDS = st.lists(st.integers(1, 10**10), min_size=1, max_size=20)


@given(baseline=NANOSECONDS, other=NANOSECONDS)
@settings(max_examples=50, deadline=None)
def test_a_ratio_times_the_rows_median_is_the_baselines(
    baseline: list[int], other: list[int]
) -> None:
    record = make_record(
        make_sample(latency_ns={"16": [baseline]}),
        make_sample(variant="int8", latency_ns={"16": [other]}),
    )
    expected = latency([baseline])
    assert expected is not None

    row = row_of(record, "small:int8")

    assert row.ratios.latency["16"] * row.latency_ms["16"].p50 == pytest.approx(expected.p50)


def test_label_sets_are_compared_as_the_record_says() -> None:
    # Logits above 0, and of the same records the largest one.
    fp32 = make_sample(logits=[[2.0, 1.0], [-1.0, 1.0], [-1.0, -2.0]])
    int8 = make_sample(variant="int8", logits=[[2.0, 1.0], [-1.0, 1.0], [1.0, -2.0]])
    record = make_record(fp32, int8, labels=[[1, 1], [0, 1], [0, 0]])
    evaluation = replace(record.evaluation, task=Task.MULTI_LABEL)
    record = replace(record, evaluation=evaluation)

    found = {row.variant: row for row in rows(record)}

    assert (found["fp32"].accuracy, found["fp32"].macro_f1) == (1.0, 1.0)
    assert found["int8"].accuracy == pytest.approx(2 / 3)
    assert found["int8"].agreement == pytest.approx(2 / 3)
