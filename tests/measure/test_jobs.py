"""Serialization of jobs and their results."""

import json
import math
import subprocess
import sys
from typing import Any

import pytest

from edgeadapt.errors import EdgeAdaptError, MeasurementError
from edgeadapt.measure.jobs import (
    AnyAnswer,
    AnyJob,
    FirstLabelAnswer,
    FirstLabelJob,
    answer_line,
    job_line,
    read_answer,
    read_job,
)
from edgeadapt.measure.timed_jobs import (
    BulkAnswer,
    BulkJob,
    FixedInput,
    GraphAnswer,
    GraphJob,
    GraphsAnswer,
    GraphsJob,
    MeasureAnswer,
    MeasureJob,
)
from edgeadapt.store.sample import Memory, Pass

HELD = Memory(rss=3, pss=None, peak=4)
FIXED = [FixedInput([2, 10, 3], [0, 0, 0])]
FIRST_LABEL = FirstLabelJob(bundle="a/b", variant="int8", threads=2, text=("a", "pair"))
MEASURE = MeasureJob(
    bundle="a/b",
    variant="fp32",
    engine="openvino",
    threads=1,
    fixed=FIXED,
    texts=["a text", ("a", "pair")],
    timed=2,
    seconds=0.5,
    warmup=1,
    repeats=2,
)
BULK = BulkJob(
    bundle="a/b", variant="fp32", threads=1, texts=["é漢"], batches=[1, 8], passes=2, seconds=0.0,
    calls=20, readings=5,
)  # fmt: skip
GRAPH = GraphJob(
    model="a/model.onnx", engine="onnxruntime", threads=1, fixed=FIXED, warmup=1, repeats=2
)
GRAPHS = GraphsJob(
    models=["a.onnx", "b.onnx"],
    engine="onnxruntime",
    threads=2,
    fixed=FIXED[0],
    warmup=1,
    repeats=2,
)
MEASURED = MeasureAnswer(
    engine="some engine",
    load_ns=5,
    latency_ns={"3": [1, 2], "text": [3]},
    logits=[[0.1, -1e-30], [1.0, 2.0]],
    import_bytes=None,
    peak_bytes=7,
    memory={"loaded": HELD},
    pace_ns=8,
    signal_ns=None,
)
ANSWERS = [
    (FIRST_LABEL, FirstLabelAnswer("good", 1, 2)),
    (MEASURE, MEASURED),
    (BULK, BulkAnswer({"8": [Pass(4, 9, 0.5)]}, {"8": HELD}, "RAPL", [(10, 5), (20, None)])),
    (GRAPH, GraphAnswer([[1, 2]], peak_bytes=None)),
    (GRAPHS, GraphsAnswer([[1, 2], [3, 4]])),
]


@pytest.mark.parametrize("job", [job for job, _ in ANSWERS])
def test_a_job_arrives_as_it_was_sent(job: AnyJob) -> None:
    assert read_job(job_line(job)) == job


@pytest.mark.parametrize(("job", "answer"), ANSWERS)
def test_an_answer_arrives_as_it_was_given(job: Any, answer: AnyAnswer) -> None:
    line = answer_line(answer)

    assert "\n" not in line
    assert read_answer(job, line) == answer


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_logit_that_is_no_number_arrives_too(value: float) -> None:
    line = json.dumps({**json.loads(answer_line(MEASURED)), "logits": [[value, 0.0]]})

    assert read_answer(MEASURE, line).logits[0][0] == pytest.approx(value, nan_ok=True)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"load_ns": 1.5}, "load_ns: expected a whole number, found 1.5"),
        ({"logits": [["high"]]}, "logits[0][0]: expected a number, found 'high'"),
        ({"memory": {"loaded": {"rss": 1}}}, "memory.loaded: the key 'pss' is missing"),
        ({"surprise": 1}, "unknown key 'surprise'"),
    ],
)
def test_an_answer_to_something_else_is_refused_where_it_differs(
    changes: dict[str, Any], expected: str
) -> None:
    line = json.dumps({**json.loads(answer_line(MEASURED)), **changes})

    with pytest.raises(MeasurementError, match=r"a/b \(fp32\) gave no answer") as caught:
        read_answer(MEASURE, line)
    assert expected in caught.value.message


def test_a_job_that_lacks_a_value_is_refused() -> None:
    value = json.loads(job_line(GRAPH))
    value.pop("repeats")

    with pytest.raises(EdgeAdaptError, match="graph: the key 'repeats' is missing"):
        read_job(json.dumps(value))


def loaded_by(line: str) -> set[str]:
    """Modules of a process that has read a job, and not answered it yet."""
    code = (
        "import sys; from edgeadapt.measure import worker; from edgeadapt.measure.jobs import "
        "read_job; read_job(sys.stdin.read()); print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], input=line, capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


@pytest.mark.parametrize("job", [FIRST_LABEL, MEASURE, BULK])
def test_a_process_that_reads_its_job_has_no_other_threads_yet(job: AnyJob) -> None:
    assert not loaded_by(job_line(job)) & {"numpy", "tokenizers", "onnxruntime"}


def test_a_cold_start_loads_no_other_job_than_its_own() -> None:
    assert "edgeadapt.measure.timed_jobs" in loaded_by(job_line(MEASURE))
    assert "edgeadapt.measure.timed_jobs" not in loaded_by(job_line(FIRST_LABEL))
