"""The measured process: results and imports."""

import io
import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgeadapt.runtime
from edgeadapt.measure import worker
from edgeadapt.measure.child import run_job
from edgeadapt.measure.jobs import FirstLabelJob, Job, job_line, read_answer
from edgeadapt.measure.timed_jobs import FixedInput, MeasureAnswer, MeasureJob
from edgeadapt.metrics import Logits
from edgeadapt.runtime import load_engine
from edgeadapt.runtime.base import text_logits
from edgeadapt.runtime.classifier import load
from edgeadapt.store.bundle import Bundle
from edgeadapt.text import TokenBatch
from tests.tasks import PAIRS, task_bundle

TEXTS = ("the room was warm", "a cold and awful meal", "good", "the plot: déjà vu, 漢字 and all")
FIXED = [FixedInput(ids, [0] * len(ids)) for ids in ([2, 10, 3], [2, 10, 11, 12, 13, 14, 3])]

PROBE = """
import json, sys
from edgeadapt.measure.worker import main
main()
heavy = ("torch", "transformers", "datasets", "onnx", "optimum", "rich", "typer")
print(json.dumps([name for name in heavy if name in sys.modules]))
"""

LOADED_FIRST = """
import sys
import edgeadapt.runtime as runtime
from edgeadapt.measure.worker import main
load_engine = runtime.load_engine
def spy(*arguments, **options):
    print("onnxruntime" in sys.modules, file=sys.stderr)
    return load_engine(*arguments, **options)
runtime.load_engine = spy
main()
"""


def measure_job(bundle: Bundle, **changes: Any) -> MeasureJob:
    values: dict[str, Any] = {
        "bundle": str(bundle.path),
        "variant": "fp32",
        "threads": 1,
        "fixed": FIXED,
        "texts": TEXTS,
        "timed": len(changes.get("texts", TEXTS)),
        "seconds": 0,
        "warmup": 2,
        "repeats": 5,
        **changes,
    }
    return MeasureJob(**values)


def first_label_job(bundle: Bundle, **changes: Any) -> FirstLabelJob:
    values = {"variant": "fp32", "text": TEXTS[0], **changes}
    return FirstLabelJob(bundle=str(bundle.path), threads=1, **values)


def answer_in_fresh_process(code: str, job: Job[Any]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        input=job_line(job),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )


@dataclass
class CountingEngine:
    """Answers every batch with zeros and remembers it."""

    batches: list[TokenBatch] = field(default_factory=list)

    def run(self, batch: TokenBatch) -> Logits:
        self.batches.append(batch)
        return np.zeros((len(batch), 2), dtype=np.float32)

    def describe(self) -> str:
        return "counting 1.0"


@pytest.fixture(scope="module")
def answer(tiny_bundle: Bundle) -> MeasureAnswer:
    """What a fresh process answers about fp32."""
    return run_job(measure_job(tiny_bundle))


def answer_with(
    engine: CountingEngine,
    job: MeasureJob,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> MeasureAnswer:
    """Answers a job in this process, with another engine."""
    monkeypatch.setattr(edgeadapt.runtime, "load_engine", lambda *_, **__: engine)
    monkeypatch.setattr(sys, "stdin", io.StringIO(job_line(job)))
    worker.main()
    return read_answer(job, capsys.readouterr().out)


def test_there_are_as_many_samples_as_asked_for_at_every_length(
    answer: MeasureAnswer,
) -> None:
    counts = {name: len(samples) for name, samples in answer.latency_ns.items()}

    assert counts == {"3": 5, "7": 5, "text": len(TEXTS), "text-model": len(TEXTS)}


def test_samples_are_whole_nanoseconds_above_zero(answer: MeasureAnswer) -> None:
    samples = [*answer.latency_ns["3"], *answer.latency_ns["text"], answer.load_ns]

    assert all(isinstance(sample, int) and sample > 0 for sample in samples)


@pytest.mark.parametrize("variant", ["fp32", "int8"])
def test_logits_are_those_of_the_engine_in_this_process(tiny_bundle: Bundle, variant: str) -> None:
    engine = load_engine(tiny_bundle, variant, threads=1)
    expected = text_logits(engine, tiny_bundle.text_encoder(), TEXTS)

    found = run_job(measure_job(tiny_bundle, variant=variant))

    np.testing.assert_array_equal(np.asarray(found.logits, dtype=np.float32), expected)
    assert found.engine == engine.describe()


@pytest.mark.slow
def test_the_torch_variant_is_measured_on_torch(tiny_bundle: Bundle, answer: MeasureAnswer) -> None:
    found = run_job(measure_job(tiny_bundle, variant="torch"))

    assert found.engine.startswith("torch ")
    np.testing.assert_allclose(found.logits, answer.logits, atol=1e-5)


def test_the_peak_includes_what_was_imported(answer: MeasureAnswer) -> None:
    assert 1_000_000 < answer.import_bytes <= answer.peak_bytes


def test_without_texts_there_are_no_logits_and_no_text_latency(tiny_bundle: Bundle) -> None:
    found = run_job(measure_job(tiny_bundle, texts=[]))

    assert found.logits == []
    assert set(found.latency_ns) == {"3", "7"}


def test_without_fixed_inputs_only_texts_are_timed(tiny_bundle: Bundle) -> None:
    found = run_job(measure_job(tiny_bundle, fixed=[]))

    assert set(found.latency_ns) == {"text", "text-model"}


def test_warm_up_runs_are_made_and_not_recorded(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = CountingEngine()
    job = measure_job(tiny_bundle, warmup=3, repeats=4)

    found = answer_with(engine, job, monkeypatch, capsys)

    lengths = [batch.input_ids.shape[1] for batch in engine.batches]
    assert lengths[: 2 * (3 + 4)] == [3] * 7 + [7] * 7
    assert len(lengths[2 * (3 + 4) :]) == 3 + 2 * len(TEXTS)
    assert {name: len(samples) for name, samples in found.latency_ns.items()} == {
        "3": 4,
        "7": 4,
        "text": len(TEXTS),
        "text-model": len(TEXTS),
    }


def test_every_run_is_one_text_without_padding(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = CountingEngine()

    answer_with(engine, measure_job(tiny_bundle), monkeypatch, capsys)

    assert all(len(batch) == 1 and batch.attention_mask.all() for batch in engine.batches)


@pytest.mark.parametrize("variant", ["fp32", "int8"])
def test_the_first_label_is_the_classifiers(tiny_bundle: Bundle, variant: str) -> None:
    expected = load(tiny_bundle.path, variant=variant, threads=1).predict([TEXTS[1]])[0].label

    found = run_job(first_label_job(tiny_bundle, variant=variant, text=TEXTS[1]))

    assert found.label == expected
    assert 0 < found.imported_ns < found.loaded_ns


@pytest.mark.parametrize("variant", ["fp32", "int8"])
@pytest.mark.parametrize("task", ["measure", "first_label"])
def test_a_measured_onnx_runtime_process_loads_nothing_heavier(
    tiny_bundle: Bundle, task: str, variant: str
) -> None:
    make = measure_job if task == "measure" else first_label_job

    done = answer_in_fresh_process(PROBE, make(tiny_bundle, variant=variant))

    _, loaded = done.stdout.splitlines()
    assert json.loads(loaded) == []


def test_the_engines_library_is_imported_before_loading_the_model_is_measured(
    tiny_bundle: Bundle,
) -> None:
    done = answer_in_fresh_process(LOADED_FIRST, measure_job(tiny_bundle))

    assert done.stderr.split() == ["True"]


def test_the_answer_is_one_line_of_json(tiny_bundle: Bundle) -> None:
    code = "from edgeadapt.measure.worker import main; main()"

    done = answer_in_fresh_process(code, first_label_job(tiny_bundle))

    assert done.stdout.count("\n") == 1
    assert read_answer(first_label_job(tiny_bundle), done.stdout).label


def test_the_worker_runs_in_any_folder(
    tiny_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    assert run_job(first_label_job(tiny_bundle)).label


def test_a_file_in_the_working_folder_does_not_take_a_librarys_place(
    tiny_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tokenizers.py").write_text("raise SystemExit('not the library')\n")
    monkeypatch.chdir(tmp_path)

    assert run_job(first_label_job(tiny_bundle)).label


def test_pairs_arrive_as_lists_and_are_answered_as_pairs(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    bundle = task_bundle(tmp_path_factory, PAIRS)
    pairs = [("the room was warm", "a cold meal"), ("good", "bad")]
    fixed = [FixedInput([2, 10, 3, 11, 3], [0, 0, 0, 1, 1])]

    found = run_job(measure_job(bundle, texts=pairs, fixed=fixed))
    label = run_job(first_label_job(bundle, text=pairs[0])).label

    expected = text_logits(load_engine(bundle, "fp32"), bundle.text_encoder(), pairs)
    np.testing.assert_allclose(found.logits, expected, rtol=0, atol=1e-6)
    assert label == load(bundle.path, variant="fp32").predict(pairs[:1])[0].label
