"""Comparing two records."""

from dataclasses import replace
from typing import Any

import pytest

from edgeadapt.benchmark.compare import Change, Verdict, compare
from edgeadapt.errors import UsageError
from edgeadapt.store.conditions import Conditions
from edgeadapt.store.machine import Machine
from edgeadapt.store.record import Record
from edgeadapt.store.sample import Pass
from tests.benchmark.handmade import MS, make_record, make_sample

LABELS = [0, 1, 0, 1]


def record(**changes: Any) -> Record:
    return make_record(make_sample(**changes), labels=LABELS)


def on_other_texts(record: Record) -> Record:
    return replace(record, evaluation=replace(record.evaluation, sha256="another"))


def changes(before: Record, after: Record, **limits: float) -> dict[str, Change]:
    return {change.figure: change for change in compare(before, after, **limits).changes}


def around(milliseconds: float) -> dict[str, Any]:
    """Five processes of 40 samples each, within one per cent."""
    spread = [round(milliseconds * MS * (1 + 0.0005 * (n % 20 - 10))) for n in range(40)]
    return {"latency_ns": {"16": [spread] * 5}}


def test_a_record_is_the_same_as_itself() -> None:
    found = compare(record(**around(2)), record(**around(2)))

    assert {change.verdict for change in found.changes} == {Verdict.SAME}
    assert found.regressions == []
    assert found.notes == ()


@pytest.mark.parametrize(
    ("milliseconds", "verdict", "fails"),
    [
        (1.0, Verdict.BETTER, False),
        (2.04, Verdict.SAME, False),
        (2.08, Verdict.WORSE, False),
        (2.2, Verdict.WORSE, True),
    ],
)
def test_a_latency_is_worse_beyond_the_rerun_spread_and_fails_beyond_the_limit(
    milliseconds: float, verdict: Verdict, fails: bool
) -> None:
    found = changes(record(**around(2)), record(**around(milliseconds)))

    for figure in ("16 tokens, p50, ms", "16 tokens, p90, ms"):
        assert (found[figure].verdict, found[figure].fails) == (verdict, fails)
        assert found[figure].change == pytest.approx(milliseconds / 2 - 1, rel=1e-6)


def test_a_change_within_what_processes_differ_by_is_none() -> None:
    noisy = {"latency_ns": {"16": [[n * MS] * 20 for n in (1, 2, 3, 4)]}}
    slower = {"latency_ns": {"16": [[n * MS] * 20 for n in (1, 2, 4, 5)]}}

    found = changes(record(**noisy), record(**slower))

    assert found["16 tokens, p90, ms"].change > 0.05
    assert found["16 tokens, p90, ms"].verdict is Verdict.SAME


def test_more_can_be_allowed() -> None:
    before, after = record(**around(2)), record(**around(2.4))

    assert compare(before, after).regressions
    assert not compare(before, after, fail_over=0.25).regressions


def test_a_larger_model_is_worse_and_nothing_is_left_to_chance() -> None:
    found = changes(record(), record(bytes=99_000_000))["model, MB"]

    assert (found.before, found.after, found.interval) == (90.0, 99.0, None)
    assert (found.verdict, found.fails) == (Verdict.WORSE, True)


def test_throughput_that_falls_is_worse() -> None:
    def bulk(milliseconds: int) -> dict[str, Any]:
        one = Pass(100, milliseconds * MS, None)
        return {"throughput": {"8": [[one] * 3]}}

    found = changes(record(**bulk(50)), record(**bulk(100)))["batch 8, texts/s"]

    assert (found.before, found.after) == (pytest.approx(2_000), pytest.approx(1_000))
    assert (found.change, found.verdict) == (pytest.approx(-0.5), Verdict.WORSE)
    assert found.worsening == pytest.approx(0.5)
    assert found.fails


def test_cold_starts_and_memory_are_compared_by_their_medians() -> None:
    slow = {"first_label_ns": [900 * MS] * 3, "peak_bytes": [400_000_000] * 3}

    found = changes(record(first_label_ns=[700 * MS] * 3), record(**slow))

    assert found["first label, s"].change == pytest.approx(2 / 7)
    assert found["peak, MB"].after == pytest.approx(400)
    assert found["first label, s"].fails
    assert found["peak, MB"].fails


def test_memory_that_one_machine_cannot_read_is_not_compared() -> None:
    assert "peak, MB" not in changes(record(), record(peak_bytes=[None]))


def answering(right: int, of: int = 400) -> Record:
    logits = [[0.0, 1.0]] * right + [[1.0, 0.0]] * (of - right)
    return make_record(make_sample(logits=logits), labels=[1] * of)


@pytest.mark.parametrize(
    ("right", "verdict", "fails"),
    [
        (400, Verdict.BETTER, False),
        (360, Verdict.SAME, False),
        (354, Verdict.WORSE, False),
        (340, Verdict.WORSE, True),
    ],
)
def test_accuracy_fails_beyond_the_allowed_drop(right: int, verdict: Verdict, fails: bool) -> None:
    found = changes(answering(360), answering(right), max_drop=0.02)["accuracy, %"]

    assert (found.verdict, found.fails) == (verdict, fails)
    assert found.change == pytest.approx((right - 360) / 400)


def test_two_answers_of_four_hundred_may_be_chance() -> None:
    found = changes(answering(360), answering(358), max_drop=0)["accuracy, %"]

    assert found.verdict is Verdict.SAME


def test_accuracy_on_other_texts_is_not_compared() -> None:
    other = on_other_texts(record())

    found = compare(record(), other)

    assert not [change for change in found.changes if change.figure.startswith("accuracy")]
    assert "different texts: figures that depend on them are not compared" in found.notes


def test_times_of_other_texts_are_not_compared() -> None:
    one = Pass(100, MS, None)
    timed = {
        "latency_ns": {"16": [[MS] * 70], "text": [[MS] * 70], "text-model": [[MS] * 70]},
        "throughput": {"8": [[one] * 3]},
    }
    other = on_other_texts(record(**timed))

    figures = changes(record(**timed), other)

    assert "16 tokens, p50, ms" in figures
    assert not [name for name in figures if "texts" in name]
    assert "real texts, p50, ms" in changes(record(**timed), record(**timed))


def test_what_disturbed_either_is_said_again() -> None:
    noisy = replace(record(), conditions=Conditions(others=1.5))

    assert compare(noisy, record()).notes == ("before, other processes used 1.50 CPU cores",)
    assert compare(record(), noisy).notes == ("after, other processes used 1.50 CPU cores",)


def test_records_without_a_row_in_common_cannot_be_compared() -> None:
    other = make_record(make_sample(variant="int8"), baseline="small:int8")

    with pytest.raises(UsageError, match=r"no row in common.*small:fp32 before and small:int8"):
        compare(record(), other)


def test_what_else_differs_is_said() -> None:
    after = replace(
        make_record(make_sample(), make_sample(variant="int8"), labels=LABELS),
        machine=Machine("Another CPU", versions={"onnxruntime": "2.0"}),
        threads=4,
        edgeadapt="9.9.9",
    )

    notes = compare(record(), after).notes

    assert notes == (
        "CPU: Some CPU before, Another CPU after",
        "threads: 2 before, 4 after",
        "edgeadapt: 0.0.0 before, 9.9.9 after",
        "onnxruntime: none before, 2.0 after",
        "only after: small:int8",
    )


def test_a_machine_that_is_not_what_it_was_is_said() -> None:
    before = record(pace_ns=[500_000] * 3, signal_ns=[150, 160, None])
    slower = record(pace_ns=[600_000] * 3, signal_ns=[150, 160, None])
    farther = record(pace_ns=[500_000] * 3, signal_ns=[600, 610, 605])

    assert compare(before, before).notes == ()
    assert compare(before, slower).notes == (
        "a fixed computation took 500,000 ns before and 600,000 ns after: the machine or its "
        "speed has changed",
    )
    assert compare(before, farther).notes == (
        "a signal between two cores took 155 ns before and 605 ns after: the machine or its "
        "speed has changed",
    )


def test_scenarios_of_one_record_alone_are_left_out() -> None:
    other = {"latency_ns": {"32": [[MS] * 70]}}

    assert not [name for name in changes(record(), record(**other)) if "tokens" in name]
