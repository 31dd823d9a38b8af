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
from edgeadapt.metrics import drift
from edgeadapt.quantize.candidate import Candidate
from edgeadapt.quantize.ladder import Ladder, climb
from edgeadapt.quantize.trial import Budget, HeldOut
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
