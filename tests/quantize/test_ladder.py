"""The ladder: what may be chosen, what is chosen, and what is done where nothing is good enough."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

import edgeadapt.quantize.ladder as module
from edgeadapt.config import Objective, Scheme, Task
from edgeadapt.errors import GateError
from edgeadapt.metrics import Drift, drift
from edgeadapt.quantize.candidate import Candidate
from edgeadapt.quantize.ladder import Budget, HeldOut, Ladder, Trial, climb
from edgeadapt.text import Tokens
from tests.quantize.graphs import WORDS, classifier_graph, written

SINGLE = Task.SINGLE_LABEL
USUAL = Candidate(Scheme.DYNAMIC_INT8)
BUDGET = Budget(max_drop=0.01, objective=Objective.LATENCY)


def texts(count: int = 40) -> list[Tokens]:
    generator = np.random.default_rng(5)
    lengths = generator.integers(3, 12, count)
    return [Tokens(generator.integers(0, WORDS, n).tolist(), [0] * int(n)) for n in lengths]


def held_out(model: Path, count: int = 40) -> HeldOut:
    """Texts whose labels are what the model answers: fp32 is right about all of them."""
    unlabelled = HeldOut(texts(count), np.zeros(count, dtype=np.int64), SINGLE)
    return replace(unlabelled, labels=unlabelled.logits(model).argmax(axis=1))


def climbed(
    folder: Path,
    candidates: Sequence[Candidate],
    *,
    budget: Budget = BUDGET,
    outlier: float = 1.0,
) -> Ladder:
    model = written(classifier_graph(outlier=outlier), folder / "model.onnx")
    return climb(
        {True: model, False: model},
        folder / "chosen.onnx",
        candidates,
        held_out=held_out(model),
        calibration=texts(8),
        budget=budget,
        threads=1,
    )


def a_drift(drop: int, of: int) -> Drift:
    before = np.eye(2, dtype=np.float32)[np.zeros(of, dtype=int)]
    after = np.eye(2, dtype=np.float32)[[1] * drop + [0] * (of - drop)]
    return drift(before, after, np.zeros(of, dtype=np.int64), task=SINGLE)


# The budget


@pytest.mark.parametrize(
    ("drop", "of", "max_drop"),
    [(0, 10, 0.0), (1, 200, 0.01), (1, 100, 0.01), (2, 200, 0.01), (3, 50, 0.06), (7, 10, 0.7)],
)
def test_a_drop_of_no_more_than_is_allowed_is_within_the_budget(
    drop: int, of: int, max_drop: float
) -> None:
    assert replace(BUDGET, max_drop=max_drop).met_by(a_drift(drop, of))


@pytest.mark.parametrize(("drop", "of"), [(1, 10), (2, 100), (3, 200), (100, 100)])
def test_a_larger_drop_is_not(drop: int, of: int) -> None:
    assert not BUDGET.met_by(a_drift(drop, of))


def test_from_a_thousand_texts_on_the_interval_counts_too() -> None:
    generator = np.random.default_rng(0)
    for count, allowed in ((999, True), (1_000, False)):
        # Many answers change both ways: the drop is small, and nobody knows how small.
        labels = np.zeros(count, dtype=np.int64)
        wrong = generator.permutation(count)
        before = np.eye(2, dtype=np.float32)[(wrong < 300).astype(int)]
        after = np.eye(2, dtype=np.float32)[(wrong >= count - 300).astype(int)]
        found = drift(before, after, labels, task=SINGLE)

        assert found.accuracy_drop == 0
        assert found.drop_interval[1] > 0.02
        assert BUDGET.met_by(found) is allowed


def test_answers_that_are_not_numbers_never_are() -> None:
    # argmax of NaN is 0: the label of every text here.
    nan = np.full((20, 2), np.nan, dtype=np.float32)
    ones = np.eye(2, dtype=np.float32)[np.zeros(20, dtype=int)]
    found = drift(ones, nan, np.zeros(20, dtype=np.int64), task=SINGLE)

    assert not replace(BUDGET, max_drop=1.0).met_by(found)


# Choosing


def trial(name: str, *, ms: float, rms: float, size: int = 1, peak: int | None = 1) -> Trial:
    drift = replace(a_drift(0, 10), rms_shift=rms)
    return Trial(replace(USUAL, keep=(name,)), drift, size, True, ms, peak)


def chosen(objective: Objective, *trials: Trial) -> str:
    return module._best(trials, objective).candidate.keep[0]


def test_the_fastest_is_chosen_and_of_those_about_as_fast_the_most_exact() -> None:
    trials = (
        trial("fast", ms=1.0, rms=0.3),
        trial("exact", ms=1.04, rms=0.1),
        trial("slow", ms=1.2, rms=0.0),
    )

    assert chosen(Objective.LATENCY, *trials) == "exact"


def test_the_smallest_or_the_lightest_is_chosen_where_that_is_asked_for() -> None:
    trials = (
        trial("fast", ms=1.0, rms=0.3, size=50, peak=50),
        trial("small", ms=2.0, rms=0.3, size=10, peak=40),
        trial("light", ms=3.0, rms=0.3, size=20, peak=10),
    )

    assert chosen(Objective.SIZE, *trials) == "small"
    assert chosen(Objective.MEMORY, *trials) == "light"


def test_where_memory_cannot_be_read_the_size_stands_for_it() -> None:
    trials = (
        trial("large", ms=1.0, rms=0.1, size=50, peak=None),
        trial("small", ms=2.0, rms=0.3, size=10, peak=None),
    )

    assert chosen(Objective.MEMORY, *trials) == "small"


# Climbing


def test_what_is_written_is_the_chosen_candidate_and_nothing_else_is(tmp_path: Path) -> None:
    ladder = climbed(
        tmp_path,
        [USUAL, Candidate(Scheme.INT8_WEIGHTS, fused=False)],
        budget=Budget(1.0, Objective.SIZE),
    )

    assert sorted(file.name for file in tmp_path.iterdir()) == ["chosen.onnx", "model.onnx"]
    assert ladder.chosen.bytes == (tmp_path / "chosen.onnx").stat().st_size
    assert ladder.chosen.bytes == min(each.bytes for each in ladder.trials)


def test_every_candidate_is_reported_with_its_figures(tmp_path: Path) -> None:
    tried = [Candidate(scheme, fused=scheme is Scheme.DYNAMIC_INT8) for scheme in Scheme]

    report = json.loads(
        json.dumps(climbed(tmp_path, tried, budget=Budget(1.0, Objective.LATENCY)).to_dict())
    )

    assert [each["name"].partition(",")[0] for each in report["trials"]] == list(Scheme)
    for each in report["trials"]:
        assert each["latency_ms"] > 0
        assert each["bytes"] > 0
        assert each["drift"]["texts"] == 40
        assert 0 < each["drift"]["rms_shift"] < 1
    assert report["chosen"] in [each["name"] for each in report["trials"]]
    assert report["fp32_ms"] > 0
    assert report["sensitivity"] == {}


def test_the_drift_is_what_the_written_file_answers(tmp_path: Path) -> None:
    ladder = climbed(tmp_path, [USUAL], budget=Budget(1.0, Objective.LATENCY))

    texts_held = held_out(tmp_path / "model.onnx")
    before, after = (texts_held.logits(tmp_path / f"{name}.onnx") for name in ("model", "chosen"))
    found = drift(before, after, texts_held.labels, task=SINGLE)
    assert ladder.chosen.drift == found


def test_where_nothing_is_good_enough_the_most_sensitive_products_stay_in_fp32(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One neuron of a thousand times the others' size: its product's levels are useless for them.
    monkeypatch.setattr(Budget, "met_by", lambda budget, drift: drift.rms_shift < 0.1)

    ladder = climbed(tmp_path, [USUAL], outlier=1_000.0)

    assert next(iter(ladder.sensitivity)) == "/second"
    assert ladder.sensitivity["/second"] > 10 * ladder.sensitivity["/first"]
    assert ladder.chosen.candidate.keep == ("/second",)
    assert [each.allowed for each in ladder.trials] == [False, True]
    assert "MatMul" in {node.op_type for node in onnx.load(tmp_path / "chosen.onnx").graph.node}


def test_no_more_than_half_of_the_products_are_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Budget, "met_by", lambda budget, drift: False)

    with pytest.raises(GateError, match="None of 2 quantized models is good enough") as caught:
        climbed(tmp_path, [USUAL])
    assert "--max-drop" in caught.value.hint
    assert [file.name for file in tmp_path.iterdir()] == ["model.onnx"]


def test_a_refusal_gives_the_figures_of_the_best() -> None:
    trials = [
        Trial(USUAL, a_drift(8, 40), 1, False),
        Trial(replace(USUAL, per_channel=False), a_drift(4, 40), 1, False),
    ]

    message = module._refusal(trials, BUDGET)

    for words in (
        "None of 2",
        "The best, dynamic-int8, per tensor",
        "100.00% -> 90.00% on 40 held-out texts, a drop of 10.00 points (95 % interval",
        "allowed are 1.00.",
        "90.00% of the labels are the same",
    ):
        assert words in message


def test_a_slower_model_than_fp32_is_known_to_be(tmp_path: Path) -> None:
    ladder = climbed(tmp_path, [USUAL], budget=Budget(1.0, Objective.LATENCY))

    assert replace(ladder, fp32_ms=0.0).is_slower
    assert not replace(ladder, fp32_ms=1e9).is_slower


def test_candidates_take_turns_in_fresh_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs: list[dict[str, Any]] = []

    def run_job(job: dict[str, Any]) -> dict[str, Any]:
        jobs.append(job)
        slow = 10 if len(jobs) <= 2 else 1  # the first round is disturbed
        return {"latency_ns": [[slow * 1_000_000] * 3 for _ in job["fixed"]], "peak_bytes": 7}

    monkeypatch.setattr(module, "run_job", run_job)

    ladder = climbed(tmp_path, [USUAL], budget=Budget(1.0, Objective.LATENCY))

    models = [Path(job["model"]).name for job in jobs]
    assert models[0] == "model.onnx"
    assert models == models[:2] * module.ROUNDS
    assert {job["threads"] for job in jobs} == {1}
    assert (ladder.fp32_ms, ladder.chosen.latency_ms) == (1.0, 1.0)
    assert ladder.chosen.peak_bytes == 7


def test_the_timed_texts_are_spread_over_the_lengths() -> None:
    many = [Tokens([1] * n, [0] * n) for n in range(1, 101)]

    rows = module._spread(many, 5)

    assert len(set(rows)) == 5
    assert len(many[rows[0]]) == 1
    assert len(many[rows[-1]]) == 100


def test_a_session_opens_what_was_chosen(tmp_path: Path) -> None:
    climbed(tmp_path, [USUAL], budget=Budget(1.0, Objective.LATENCY))

    session = onnxruntime.InferenceSession(
        tmp_path / "chosen.onnx", providers=["CPUExecutionProvider"]
    )
    assert [value.name for value in session.get_outputs()] == ["logits"]
