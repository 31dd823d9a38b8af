"""Running a plan: what is measured, in which order, and what is recorded."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgeadapt
from edgeadapt.benchmark import runner
from edgeadapt.benchmark.runner import Evaluation, Subject, measure
from edgeadapt.errors import MeasurementError, ModelError
from edgeadapt.measure.jobs import FirstLabelAnswer, FirstLabelJob
from edgeadapt.measure.timed_jobs import BulkAnswer, BulkJob, MeasureAnswer, MeasureJob
from edgeadapt.recipe import Task
from edgeadapt.runtime import load_engine
from edgeadapt.runtime.base import text_logits
from edgeadapt.store.bundle import Bundle
from edgeadapt.store.evaluation import EvaluationInfo
from edgeadapt.store.machine import Machine
from edgeadapt.store.record import Record
from edgeadapt.store.sample import Memory, Pass
from tests.benchmark.handmade import copy_bundle, tiny_plan
from tests.store.handmade import make_compression, make_search, make_shrunk, make_step
from tests.tasks import PAIRS, task_bundle

TEXTS = ("the room was warm", "a cold meal", "good", "bad", "the film was great")
LABELS = np.asarray([1, 0, 1, 0, 1])
NO_TEXTS = Evaluation(origin="none", sha256=None)
TINY = tiny_plan(lengths=(8, 16, 64), rounds=2, repeats=3, starts=2, texts=4, bulks=0)
HELD = Memory(rss=5, pss=4, peak=6)


@dataclass
class Jobs:
    """Every job, in the order in which it was run."""

    rounds: list[MeasureJob] = field(default_factory=list)
    order: list[tuple[str, str, str]] = field(default_factory=list)
    """Task, name of the bundle and variant."""
    first_labels: list[FirstLabelJob] = field(default_factory=list)
    bulks: list[BulkJob] = field(default_factory=list)

    def run(self, job: MeasureJob | BulkJob) -> MeasureAnswer | BulkAnswer:
        self._note(job)
        return self._bulk(job) if isinstance(job, BulkJob) else self._measure(job)

    def _bulk(self, job: BulkJob) -> BulkAnswer:
        self.bulks.append(job)
        number = len(self.bulks)
        sizes = [str(size) for size in job.batches]
        return BulkAnswer(
            passes={size: [Pass(len(job.texts), number, None)] for size in sizes},
            memory={"loaded": HELD, **dict.fromkeys(sizes, HELD)},
            gauge=None,
            leak=[(10, number), (20, number)],
        )

    def _measure(self, job: MeasureJob) -> MeasureAnswer:
        self.rounds.append(job)
        number = len(self.rounds)
        samples = {str(len(tokens.ids)): [number] * job.repeats for tokens in job.fixed}
        if job.timed:
            samples["text"] = samples["text-model"] = [number] * job.timed
        return MeasureAnswer(
            engine="recording 1.0",
            load_ns=10 * number,
            latency_ns=samples,
            logits=[[float(number), 0.0] for _ in job.texts],
            import_bytes=100 * number,
            peak_bytes=1000 * number,
            memory={"loaded": HELD},
            pace_ns=number,
            signal_ns=number,
        )

    def time(self, job: FirstLabelJob) -> tuple[FirstLabelAnswer, int]:
        self._note(job)
        self.first_labels.append(job)
        number = len(self.first_labels)
        return FirstLabelAnswer("negative", number, 2 * number), 7 * number

    def _note(self, job: FirstLabelJob | MeasureJob | BulkJob) -> None:
        self.order.append((job.task, Path(job.bundle).name, job.variant))


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> Jobs:
    """Records jobs instead of starting processes."""
    recorded = Jobs()
    monkeypatch.setattr(runner, "run_job", recorded.run)
    monkeypatch.setattr(runner, "time_job", recorded.time)
    return recorded


@pytest.fixture(scope="module")
def other_bundle(tiny_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The tiny bundle under another name."""
    return copy_bundle(tiny_bundle, tmp_path_factory.mktemp("bundles") / "other")


@pytest.fixture(scope="module")
def subjects(tiny_bundle: Bundle, other_bundle: Bundle) -> list[Subject]:
    """Two variants of the tiny bundle and one of its copy."""
    return [
        Subject(tiny_bundle, "fp32"),
        Subject(tiny_bundle, "int8"),
        Subject(other_bundle, "fp32"),
    ]


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    """Five labelled texts."""
    return Evaluation(
        origin="by hand", sha256="abc", texts=TEXTS, labels=LABELS, names=("bad", "good")
    )


@pytest.fixture
def run_plan(subjects: list[Subject], evaluation: Evaluation) -> Callable[..., Record]:
    """Measures the subjects; arguments replace the usual ones."""

    def run(**changes: Any) -> Record:
        options: dict[str, Any] = {
            "plan": TINY,
            "threads": 1,
            "evaluation": evaluation,
            "baseline": subjects[0],
            **changes,
        }
        return measure(options.pop("subjects", subjects), **options)

    return run


@pytest.fixture(scope="module")
def measured(subjects: list[Subject], evaluation: Evaluation) -> Record:
    """A record of real processes."""
    return measure(subjects, plan=TINY, threads=1, evaluation=evaluation, baseline=subjects[1])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_variant_without_finite_answers_is_not_measured(
    jobs: Jobs, run_plan: Callable[..., Record], monkeypatch: pytest.MonkeyPatch, value: float
) -> None:
    def run(job: MeasureJob) -> MeasureAnswer | BulkAnswer:
        answer = jobs.run(job)
        if job.variant != "int8" or not isinstance(answer, MeasureAnswer) or not answer.logits:
            return answer
        first, second, _, *others = answer.logits
        return replace(answer, logits=[first, second, [value, 0.0], *others])

    monkeypatch.setattr(runner, "run_job", run)

    with pytest.raises(ModelError, match=r"int8: expected finite logits.* for text 3 \(1 of 4"):
        run_plan()


def test_rounds_and_starts_are_interleaved_over_the_subjects(
    jobs: Jobs, run_plan: Callable[..., Record]
) -> None:
    run_plan()

    names = [("tiny", "fp32"), ("tiny", "int8"), ("other", "fp32")]
    one_round = [("measure", *name) for name in names]
    one_start = [("first_label", *name) for name in names]
    assert jobs.order == 2 * (one_round + one_start)


def test_every_kind_of_process_is_spread_over_the_whole_benchmark(
    jobs: Jobs, run_plan: Callable[..., Record], subjects: list[Subject]
) -> None:
    run_plan(subjects=subjects[:1], plan=tiny_plan(rounds=2, starts=6, bulks=1, bulk=3))

    tasks = [task for task, *_ in jobs.order]
    assert tasks == [
        *("measure", "first_label", "bulk", "first_label", "first_label"),
        *("measure", "first_label", "first_label", "first_label"),
    ]


def test_every_job_gets_the_plans_counts_and_the_threads(
    jobs: Jobs, run_plan: Callable[..., Record]
) -> None:
    run_plan(threads=3)

    assert {(job.warmup, job.repeats) for job in jobs.rounds} == {(1, 3)}
    assert {job.threads for job in [*jobs.rounds, *jobs.first_labels]} == {3}


def test_the_first_process_answers_all_texts_and_further_ones_a_part(
    jobs: Jobs, run_plan: Callable[..., Record]
) -> None:
    run_plan()

    assert [list(job.texts) for job in jobs.rounds] == 3 * [list(TEXTS[:4])] + 3 * [list(TEXTS[:2])]


def test_labels_are_those_of_the_texts_that_were_answered(
    jobs: Jobs, run_plan: Callable[..., Record]
) -> None:
    record = run_plan()

    assert record.evaluation == EvaluationInfo(
        origin="by hand", sha256="abc", texts=4, labels=[1, 0, 1, 0], names=("bad", "good")
    )


def test_fewer_texts_than_planned_are_all_answered(
    jobs: Jobs, run_plan: Callable[..., Record], evaluation: Evaluation
) -> None:
    record = run_plan(plan=tiny_plan(texts=100, timed=50))

    assert record.evaluation.texts == len(TEXTS)
    assert record.evaluation.labels == LABELS.tolist()


def test_unlabelled_texts_have_no_labels(jobs: Jobs, run_plan: Callable[..., Record]) -> None:
    record = run_plan(evaluation=Evaluation(origin="by hand", sha256=None, texts=TEXTS))

    assert record.evaluation.labels is None
    assert record.evaluation.texts == 4
    assert "text" in record.samples[0].latency_ns


def test_without_texts_there_is_neither_accuracy_nor_text_latency(
    jobs: Jobs, run_plan: Callable[..., Record]
) -> None:
    record = run_plan(evaluation=Evaluation(origin="none", sha256=None))

    assert record.evaluation.texts == 0
    assert record.evaluation.labels is None
    assert all(sample.logits == [] for sample in record.samples)
    assert all("text" not in sample.latency_ns for sample in record.samples)
    assert all(job.text.strip() for job in jobs.first_labels)


def test_a_cold_start_answers_the_first_text(jobs: Jobs, run_plan: Callable[..., Record]) -> None:
    run_plan()

    assert {job.text for job in jobs.first_labels} == {TEXTS[0]}


def test_lengths_above_the_bundles_longest_input_are_left_out(
    jobs: Jobs, run_plan: Callable[..., Record], tiny_bundle: Bundle
) -> None:
    assert tiny_bundle.manifest.max_length == 32

    run_plan(plan=tiny_plan(lengths=(16, 32, 33, 64), bulks=0))

    assert {tuple(len(tokens.ids) for tokens in job.fixed) for job in jobs.rounds} == {(16, 32)}


@pytest.mark.parametrize("length", [3, 4, 8, 16, 31, 32])
def test_a_fixed_input_has_its_length_and_special_tokens_at_both_ends_only(
    jobs: Jobs, run_plan: Callable[..., Record], tiny_bundle: Bundle, length: int
) -> None:
    tokenizer = tiny_bundle.text_encoder().tokenizer
    special = {tokenizer.token_to_id(token) for token in ("[PAD]", "[UNK]", "[CLS]", "[SEP]")}

    run_plan(plan=tiny_plan(lengths=(length,), bulks=0))

    (fixed,) = jobs.rounds[0].fixed
    tokens = fixed.ids
    assert len(tokens) == length
    assert tokens[0] == tokenizer.token_to_id("[CLS]")
    assert tokens[-1] == tokenizer.token_to_id("[SEP]")
    assert not special & set(tokens[1:-1])


def test_a_sample_keeps_every_answer_of_its_own_subject(
    jobs: Jobs, run_plan: Callable[..., Record], tiny_bundle: Bundle
) -> None:
    record = run_plan()

    second = record.samples[1]  # its processes were the 2nd and the 5th
    assert (second.bundle, second.variant, second.engine) == ("tiny", "int8", "recording 1.0")
    assert second.latency_ns == {
        "8": [[2] * 3, [5] * 3],
        "16": [[2] * 3, [5] * 3],
        "text": [[2] * 2, [5] * 2],
        "text-model": [[2] * 2, [5] * 2],
    }
    assert second.load_ns == [20, 50]
    assert second.import_bytes == [200, 500]
    assert second.peak_bytes == [2000, 5000]
    assert second.first_label_ns == [14, 35]
    assert second.logits == [[2.0, 0.0]] * 4


def test_a_sample_names_the_model_file(
    jobs: Jobs, run_plan: Callable[..., Record], tiny_bundle: Bundle
) -> None:
    record = run_plan()

    fp32, int8, _ = record.samples
    files = tiny_bundle.manifest.files
    assert (fp32.sha256, fp32.bytes) == (
        files["onnx/model.onnx"].sha256,
        files["onnx/model.onnx"].bytes,
    )
    assert int8.sha256 == files["onnx/model_quantized.onnx"].sha256
    assert int8.method == "parallel"


def test_the_size_of_the_torch_variant_is_that_of_its_whole_folder(
    jobs: Jobs, run_plan: Callable[..., Record], tiny_bundle: Bundle
) -> None:
    record = run_plan(subjects=[Subject(tiny_bundle, "torch")])

    sizes = [file.stat().st_size for file in (tiny_bundle.path / "torch").iterdir()]
    assert len(sizes) > 1
    assert record.samples[0].bytes == sum(sizes)


def test_the_record_says_what_was_asked_for(jobs: Jobs, run_plan: Callable[..., Record]) -> None:
    record = run_plan(threads=2)

    assert record.edgeadapt == edgeadapt.__version__
    assert record.threads == 2
    assert record.plan == TINY
    assert record.baseline == "tiny:fp32"
    assert record.created.endswith("+00:00")
    assert record.machine.cpu
    assert record.machine.cores
    assert "numpy" in record.machine.versions


def test_the_record_says_where_the_models_come_from(
    jobs: Jobs, run_plan: Callable[..., Record], tiny_bundle: Bundle
) -> None:
    origins = run_plan().bundles

    assert set(origins) == {"tiny", "other"}
    manifest = tiny_bundle.manifest
    assert origins["tiny"].created == manifest.created
    assert origins["tiny"].provenance == manifest.provenance
    assert origins["tiny"].schemes["int8"] == manifest.variants["int8"].scheme


def test_the_record_says_what_was_removed_from_a_models_layers(
    jobs: Jobs, run_plan: Callable[..., Record], tiny_bundle: Bundle, tmp_path: Path
) -> None:
    compression = make_compression(make_search(), make_step(), shrunk=make_shrunk())
    smaller = copy_bundle(tiny_bundle, tmp_path / "smaller", compression=compression)
    subjects = [Subject(smaller, "fp32"), Subject(tiny_bundle, "fp32")]

    origins = run_plan(subjects=subjects, baseline=subjects[0]).bundles

    structure = origins["smaller"].structure
    assert structure is not None
    assert structure.shrunk == make_shrunk()
    assert structure.steps == (make_search(),)
    assert origins["tiny"].structure is None


def test_progress_ends_at_its_total(jobs: Jobs, run_plan: Callable[..., Record]) -> None:
    @dataclass
    class Counting:
        total: int = 0
        done: int = 0
        notes: list[str] = field(default_factory=list)

        def say(self, message: str) -> None: ...

        def warn(self, message: str) -> None: ...

        @contextmanager
        def bar(self, title: str, total: int) -> Iterator["Counting"]:
            self.total = total
            yield self

        def advance(self, amount: int = 1, *, note: str = "") -> None:
            self.done += amount
            self.notes.append(note)

    progress = Counting()

    run_plan(progress=progress)

    assert progress.done == progress.total == len(jobs.order)
    assert progress.notes[:3] == ["tiny:fp32", "tiny:int8", "other:fp32"]


def test_a_failing_process_ends_the_benchmark(
    run_plan: Callable[..., Record], tiny_bundle: Bundle, tmp_path: Path
) -> None:
    broken = copy_bundle(tiny_bundle, tmp_path / "broken")
    (broken.path / "onnx" / "model.onnx").write_bytes(b"not a model")

    with pytest.raises(MeasurementError, match=r"(?s)broken \(fp32\) ended with code 1:.*sha256"):
        run_plan(subjects=[Subject(broken, "fp32")])


def test_real_processes_give_as_many_samples_as_planned(measured: Record) -> None:
    for sample in measured.samples:
        counts = {name: list(map(len, children)) for name, children in sample.latency_ns.items()}
        assert counts == {"8": [3, 3], "16": [3, 3], "text": [2, 2], "text-model": [2, 2]}
        assert len(sample.load_ns) == len(sample.peak_bytes) == len(sample.import_bytes) == 2
        assert len(sample.first_label_ns) == 2


def test_real_logits_are_the_engines_for_all_texts(measured: Record, tiny_bundle: Bundle) -> None:
    encoder = tiny_bundle.text_encoder()

    for sample in measured.samples:
        engine = load_engine(tiny_bundle, sample.variant, threads=1)
        expected = text_logits(engine, encoder, TEXTS[:4])
        np.testing.assert_array_equal(np.asarray(sample.logits, dtype=np.float32), expected)


def test_a_copy_under_another_name_answers_the_same(measured: Record) -> None:
    fp32, int8, copied = measured.samples

    assert (copied.bundle, copied.variant) == ("other", "fp32")
    assert copied.logits == fp32.logits
    assert copied.sha256 == fp32.sha256 != int8.sha256


def test_real_peaks_include_what_was_imported(measured: Record) -> None:
    for sample in measured.samples:
        pairs = zip(sample.import_bytes, sample.peak_bytes, strict=True)
        assert all(0 < imported <= peak for imported, peak in pairs)


def test_a_real_record_is_the_same_after_writing_and_reading(
    measured: Record, tmp_path: Path
) -> None:
    measured.write(tmp_path / "record.json")

    read = Record.open(tmp_path / "record.json")

    assert [sample.logits for sample in read.samples] == [s.logits for s in measured.samples]
    assert [s.latency_ns for s in read.samples] == [s.latency_ns for s in measured.samples]
    assert read.baseline == measured.baseline == "tiny:int8"


@pytest.fixture(scope="module")
def pair_subject(tmp_path_factory: pytest.TempPathFactory) -> Subject:
    return Subject(task_bundle(tmp_path_factory, PAIRS), "fp32")


@pytest.mark.parametrize("length", [5, 8, 9, 32])
def test_a_fixed_input_of_pairs_has_its_length_and_two_segments(
    jobs: Jobs, run_plan: Callable[..., Record], pair_subject: Subject, length: int
) -> None:
    plan = tiny_plan(lengths=(length,), bulks=0)

    run_plan(subjects=[pair_subject], baseline=pair_subject, plan=plan, evaluation=NO_TEXTS)

    (fixed,) = jobs.rounds[0].fixed
    assert len(fixed.ids) == len(fixed.type_ids) == length
    assert fixed.type_ids == sorted(fixed.type_ids)
    assert set(fixed.type_ids) == {0, 1}


def test_a_bundle_of_pairs_starts_cold_with_a_pair(
    jobs: Jobs, run_plan: Callable[..., Record], pair_subject: Subject
) -> None:
    plan = tiny_plan()

    run_plan(subjects=[pair_subject], baseline=pair_subject, plan=plan, evaluation=NO_TEXTS)

    assert len(jobs.first_labels[0].text) == 2


def test_the_record_says_the_task(jobs: Jobs, run_plan: Callable[..., Record]) -> None:
    sets = np.asarray([[1, 0], [0, 0], [1, 1], [0, 1], [0, 0]])
    evaluation = Evaluation("by hand", None, TEXTS, sets, Task.MULTI_LABEL)

    record = run_plan(evaluation=evaluation)

    assert record.evaluation.task == "multi-label"
    assert record.evaluation.labels == sets[:4].tolist()


def test_throughput_is_measured_in_processes_of_its_own(
    jobs: Jobs, run_plan: Callable[..., Record]
) -> None:
    record = run_plan(plan=tiny_plan(bulks=2, starts=0, bulk=3))

    assert [task for task, *_ in jobs.order] == ["measure"] * 3 + ["bulk"] * 6
    assert {tuple(job.texts) for job in jobs.bulks} == {TEXTS[:3]}
    assert {(job.calls, job.passes) for job in jobs.bulks} == {(20, 2)}
    third = record.samples[2]
    assert third.throughput["2"] == [
        [Pass(3, 3, None)],
        [Pass(3, 6, None)],
    ]
    assert third.leak == [[(10, 3), (20, 3)], [(10, 6), (20, 6)]]
    assert list(third.bulk_memory) == ["loaded", "1", "2"]


def test_throughput_without_texts_is_that_of_made_up_ones(
    jobs: Jobs, run_plan: Callable[..., Record]
) -> None:
    run_plan(evaluation=NO_TEXTS, plan=tiny_plan(bulk=3))

    assert all(len(job.texts) == 3 and all(job.texts) for job in jobs.bulks)


def test_every_number_of_threads_is_measured_in_turn(
    jobs: Jobs, run_plan: Callable[..., Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "usable_cores", lambda: 3)

    record = run_plan(plan=tiny_plan(starts=0, bulks=0, scaling=2))

    threads = [job.threads for job in jobs.rounds[3:]]
    assert threads == 2 * [1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert {len(job.fixed[0].ids) for job in jobs.rounds[3:]} == {32}
    assert {name: len(found) for name, found in record.samples[0].threads_ns.items()} == {
        "1": 2,
        "2": 2,
        "3": 2,
    }


def test_many_cores_are_counted_in_powers_of_two(
    run_plan: Callable[..., Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "usable_cores", lambda: 12)

    record = run_plan(plan=tiny_plan(starts=0, bulks=0, scaling=1))

    assert list(record.samples[0].threads_ns) == ["1", "2", "4", "8", "12"]


def test_an_emulated_machine_reports_answers_and_no_times(
    jobs: Jobs, run_plan: Callable[..., Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine("Cortex-A72", emulation="user-mode emulation on x86_64")
    monkeypatch.setattr(runner, "describe_machine", lambda: machine)

    record = run_plan(plan=tiny_plan(scaling=2))

    assert [task for task, *_ in jobs.order] == ["measure"] * 3
    assert record.samples[0].latency_ns == {}
    assert record.samples[0].logits
    assert record.samples[0].first_label_ns == []


def test_another_engine_is_named_in_the_row_and_in_the_job(
    jobs: Jobs, run_plan: Callable[..., Record], tiny_bundle: Bundle
) -> None:
    subjects = [Subject(tiny_bundle, "fp32"), Subject(tiny_bundle, "fp32", "openvino")]

    record = run_plan(subjects=subjects, baseline=subjects[0])

    assert [sample.variant for sample in record.samples] == ["fp32", "fp32@openvino"]
    assert [job.engine for job in jobs.rounds[:2]] == [None, "openvino"]


def test_a_record_says_what_the_machine_was_up_to(
    jobs: Jobs, run_plan: Callable[..., Record]
) -> None:
    found = run_plan().conditions

    assert found.before.load_average is not None
    assert found.others is None or found.others >= 0


def test_a_sample_says_what_everything_takes_on_disk(
    jobs: Jobs, run_plan: Callable[..., Record], tiny_bundle: Bundle
) -> None:
    sample = run_plan().samples[0]

    assert sample.tokenizer_bytes == (tiny_bundle.path / "tokenizer.json").stat().st_size
    assert sample.bundle_bytes == sum(
        (tiny_bundle.path / name).stat().st_size for name in tiny_bundle.manifest.files
    )
    assert sample.runtime_bytes is not None
    assert sample.runtime_bytes > 20_000_000


def test_a_variant_that_is_run_text_by_text_has_no_throughput_in_batches(
    run_plan: Callable[..., Record], tiny_bundle: Bundle
) -> None:
    plan = tiny_plan(batches=(2, 8))

    record = run_plan(
        subjects=[Subject(tiny_bundle, "int8"), Subject(tiny_bundle, "fp32")], plan=plan
    )

    assert [list(sample.throughput) for sample in record.samples] == [["1"], ["2", "8"]]


def test_real_processes_measure_throughput_memory_and_leaks(
    run_plan: Callable[..., Record], tiny_bundle: Bundle
) -> None:
    record = run_plan(subjects=[Subject(tiny_bundle, "fp32")], plan=tiny_plan(scaling=1))

    (sample,) = record.samples
    assert list(sample.throughput) == ["1", "2"]
    for (child,) in sample.throughput.values():
        assert [(one.texts, one.ns > 0) for one in child] == [(4, True)] * 2
    assert [calls for calls, _ in sample.leak[0]] == list(range(1, 21))
    assert all(held > 1_000_000 for _, held in sample.leak[0])
    (loaded,) = sample.memory["loaded"]
    assert 0 < loaded.pss <= loaded.rss <= loaded.peak
    assert list(sample.threads_ns) == [str(n + 1) for n in range(len(sample.threads_ns))]
    (start,) = sample.starts
    assert 0 < start.imported_ns < start.loaded_ns < sample.first_label_ns[0]


def test_real_texts_are_repeated_until_the_time_is_over(
    run_plan: Callable[..., Record], tiny_bundle: Bundle
) -> None:
    plan = tiny_plan(seconds=0.3, lengths=(), starts=0, bulks=0)

    (sample,) = run_plan(subjects=[Subject(tiny_bundle, "int8")], plan=plan).samples

    (times,) = sample.latency_ns["text"]
    assert len(times) > plan.timed
    assert len(times) % plan.timed == 0
    assert len(sample.logits) == len(TEXTS)
