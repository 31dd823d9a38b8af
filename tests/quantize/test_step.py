"""Quantization as a step: valid candidates, the choice, and what happens without any."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from edgeadapt.compress import timing
from edgeadapt.compress.budget import Budget, Reference
from edgeadapt.compress.climb import Taken, climb
from edgeadapt.errors import GateError
from edgeadapt.graph.lowered import Graphs
from edgeadapt.measure.timed_jobs import GraphAnswer, GraphJob
from edgeadapt.metrics import drift
from edgeadapt.quantize.candidate import Candidate
from edgeadapt.quantize.step import Quantize, answers_of
from edgeadapt.recipe import Objective, Scheme, Task
from edgeadapt.text import Tokens
from tests.quantize.graphs import WORDS, classifier_graph, written

SINGLE = Task.SINGLE_LABEL
USUAL = Candidate(Scheme.DYNAMIC_INT8)


def texts(count: int = 40) -> list[Tokens]:
    generator = np.random.default_rng(5)
    lengths = generator.integers(3, 12, count)
    return [Tokens(generator.integers(0, WORDS, n).tolist(), [0] * int(n)) for n in lengths]


def reference(model: Path) -> Reference:
    """Texts whose labels are what the model answers: fp32 is right about all of them."""
    logits = answers_of(model, texts())
    return Reference(("",) * len(logits), logits.argmax(axis=1), SINGLE, logits)


@dataclass(frozen=True)
class Outcome:
    taken: Taken
    step: Quantize

    @property
    def file(self) -> Path:
        found: Path = self.taken.model
        return found


def climbed(
    folder: Path,
    candidates: Sequence[Candidate],
    *,
    max_drop: float = 0.01,
    objective: Objective = Objective.LATENCY,
    outlier: float = 1.0,
) -> Outcome:
    model = written(classifier_graph(outlier=outlier), folder / "model.onnx")
    for name in ("tried", "chain"):
        (folder / name).mkdir()
    step = Quantize(candidates, folder=folder / "tried", objective=objective, threads=1)
    # The same graph under two names: of two forms of a model neither is left out.
    other = written(classifier_graph(outlier=outlier), folder / "products.onnx")
    (taken,) = climb(
        Graphs(model, other, texts(), texts(8)),
        [step],
        budget=Budget(max_drop),
        reference=reference(model),
        folder=folder / "chain",
    )
    return Outcome(taken, step)


def test_what_is_written_is_the_chosen_candidate_and_nothing_else_of_the_chain_stays(
    tmp_path: Path,
) -> None:
    tried = [USUAL, Candidate(Scheme.INT8_WEIGHTS, fused=False)]

    found = climbed(tmp_path, tried, max_drop=1.0, objective=Objective.SIZE)

    assert list((tmp_path / "chain").rglob("*.onnx")) == [found.file]
    assert found.taken.chosen.bytes == found.file.stat().st_size
    assert found.taken.chosen.bytes == min(each.bytes for each in found.taken.trials)


def test_every_candidate_is_reported_with_its_figures(tmp_path: Path) -> None:
    tried = [Candidate(scheme, fused=scheme is Scheme.DYNAMIC_INT8) for scheme in Scheme]

    found = climbed(tmp_path, tried, max_drop=1.0)

    assert [each.name for each in found.taken.trials] == [str(each) for each in tried]
    for trial, candidate in zip(found.taken.trials, tried, strict=True):
        assert trial.latency_ms is not None
        assert trial.latency_ms > 0
        assert trial.bytes > 0
        assert trial.cost.texts == 40
        assert trial.cost.rms_shift is not None
        assert 0 < trial.cost.rms_shift < 1
        settings = json.loads(json.dumps(trial.proposal.settings))
        assert settings == json.loads(json.dumps(asdict(candidate)))
    assert found.taken.chosen in found.taken.trials
    assert found.taken.baseline.latency_ms is not None
    assert found.taken.baseline.latency_ms > 0
    assert found.step.sensitivity == {}


def test_the_drift_is_what_the_written_file_answers(tmp_path: Path) -> None:
    found = climbed(tmp_path, [USUAL], max_drop=1.0)

    before, after = (answers_of(file, texts()) for file in (tmp_path / "model.onnx", found.file))
    assert found.taken.chosen.drift == drift(before, after, before.argmax(axis=1), task=SINGLE)


def test_where_nothing_is_good_enough_the_most_sensitive_products_stay_in_fp32(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One neuron of a thousand times the others' size: its product's levels are useless for them.
    monkeypatch.setattr(Budget, "met_by", lambda budget, drift: drift.rms_shift < 0.1)

    found = climbed(tmp_path, [USUAL], outlier=1_000.0)

    sensitivity = found.step.sensitivity
    assert next(iter(sensitivity)) == "/second"
    assert sensitivity["/second"] > 10 * sensitivity["/first"]
    assert found.taken.chosen.proposal.settings["keep"] == ("/second",)
    assert [each.allowed for each in found.taken.trials] == [False, True]
    assert "MatMul" in {node.op_type for node in onnx.load(found.file).graph.node}


def test_no_more_than_half_of_the_products_are_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Budget, "met_by", lambda budget, drift: False)

    with pytest.raises(GateError, match="None of 2 quantized models is good enough") as caught:
        climbed(tmp_path, [USUAL])
    assert "--max-drop" in caught.value.hint
    assert not list((tmp_path / "chain").iterdir())


def test_candidates_take_turns_in_fresh_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs: list[GraphJob] = []

    def run_job(job: GraphJob) -> GraphAnswer:
        jobs.append(job)
        slow = 10 if len(jobs) <= 2 else 1  # the first round is disturbed
        return GraphAnswer([[slow * 1_000_000] * 3 for _ in job.fixed], peak_bytes=7)

    monkeypatch.setattr(timing, "run_job", run_job)

    found = climbed(tmp_path, [USUAL], max_drop=1.0)

    models = [Path(job.model).name for job in jobs]
    assert models[0] == "model.onnx"
    assert models == models[:2] * timing.ROUNDS
    assert {job.threads for job in jobs} == {1}
    assert (found.taken.baseline.latency_ms, found.taken.chosen.latency_ms) == (1.0, 1.0)
    assert found.taken.chosen.peak_bytes == 7


def test_a_graph_of_one_form_is_tried_in_that_form_alone(tmp_path: Path) -> None:
    model = written(classifier_graph(), tmp_path / "model.onnx")
    step = Quantize([USUAL, Candidate(USUAL.scheme, fused=False)], folder=tmp_path, threads=1)

    (proposals,) = step.rounds(Graphs(model, model, texts()))

    assert [each.settings["fused"] for each in proposals] == [False]


def test_a_session_opens_what_was_chosen(tmp_path: Path) -> None:
    found = climbed(tmp_path, [USUAL], max_drop=1.0)

    session = onnxruntime.InferenceSession(found.file, providers=["CPUExecutionProvider"])
    assert [value.name for value in session.get_outputs()] == ["logits"]
