"""The bench pipeline: subjects, baselines, and rejections."""

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeadapt.benchmark.evaluation import EvaluationFile
from edgeadapt.benchmark.rows import rows as rows_of
from edgeadapt.benchmark.runner import Evaluation, Subject
from edgeadapt.data import read_rows, write_csv
from edgeadapt.errors import (
    DataError,
    IntegrityError,
    MissingError,
    OutputExistsError,
    UsageError,
)
from edgeadapt.measure.machine import usable_cores
from edgeadapt.pipeline import bench as bench_module
from edgeadapt.pipeline.bench import bench
from edgeadapt.progress import Progress
from edgeadapt.store.bundle import Bundle
from edgeadapt.store.files import sha256
from edgeadapt.store.record import Record
from tests.benchmark.handmade import (
    copy_bundle,
    make_record,
    make_sample,
    only,
    tiny_plan,
    without_evaluation,
)
from tests.listener import Listener

TINY = tiny_plan()


@dataclass
class Measurement:
    """What the pipeline asked to be measured; nothing is."""

    calls: list[dict[str, Any]] = field(default_factory=list)

    def measure(self, subjects: list[Subject], **options: Any) -> Record:
        self.calls.append({"subjects": subjects, **options})
        samples = [make_sample(subject.bundle.name, subject.variant) for subject in subjects]
        return make_record(*samples, baseline=str(options["baseline"]))

    @property
    def subjects(self) -> list[str]:
        return [str(subject) for subject in self.calls[-1]["subjects"]]

    @property
    def baseline(self) -> str:
        return str(self.calls[-1]["baseline"])

    @property
    def evaluation(self) -> Evaluation:
        found: Evaluation = self.calls[-1]["evaluation"]
        return found


class Listening:
    """Keeps what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, message: str) -> None:
        self.said.append(message)

    def warn(self, message: str) -> None:
        self.said.append(message)

    bar = staticmethod(bench_module.SILENT.bar)


@pytest.fixture
def measurement(monkeypatch: pytest.MonkeyPatch, in_empty_folder: Path) -> Measurement:
    """Stands in for the measuring processes, in an empty working folder."""
    recorded = Measurement()
    monkeypatch.setattr(bench_module, "measure", recorded.measure)
    return recorded


@pytest.fixture
def bundle_like(tiny_bundle: Bundle, tmp_path: Path) -> Callable[..., Bundle]:
    """Copies the tiny bundle under a name, with another method or labels or variants."""

    def make(name: str, *, method: str = "parallel", **changes: Any) -> Bundle:
        provenance = replace(tiny_bundle.manifest.provenance, method=method)
        path = tmp_path / "bundles" / name
        return copy_bundle(tiny_bundle, path, provenance=provenance, **changes)

    return make


@pytest.fixture
def with_other_texts(bundle_like: Callable[..., Bundle]) -> Callable[[str], Bundle]:
    """Copies the tiny bundle with another evaluation set."""

    def make(name: str) -> Bundle:
        bundle = bundle_like(name)
        texts = {"text": ["another text"], "label": ["negative"]}
        write_csv(bundle.path / "evaluation.csv", texts)
        return Bundle.write(bundle.path, bundle.manifest)

    return make


def is_empty(folder: Path) -> bool:
    return not [path for path in folder.rglob("*.json") if path.parent.name == "records"]


def without(module: str) -> Callable[[str], Any]:
    """``find_spec`` of a machine that lacks a module."""
    original = importlib.util.find_spec
    return lambda name, *rest: None if name.split(".")[0] == module else original(name, *rest)


# What is measured


def test_every_variant_of_every_bundle_is_measured(
    measurement: Measurement, tiny_bundle: Bundle, bundle_like: Callable[..., Bundle]
) -> None:
    bench([tiny_bundle, bundle_like("other")], plan=TINY)

    assert measurement.subjects == [
        "tiny:fp32",
        "tiny:int8",
        "tiny:torch",
        "other:fp32",
        "other:int8",
        "other:torch",
    ]


def test_the_torch_variant_is_left_out_where_torch_is_missing(
    measurement: Measurement, tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench_module, "find_spec", without("torch"))
    progress = Listening()

    bench([tiny_bundle], plan=TINY, progress=progress)

    assert measurement.subjects == ["tiny:fp32", "tiny:int8"]
    assert progress.said == ["tiny:torch is left out: torch is not installed."]


def test_a_variant_for_openvino_is_left_out_where_that_is_missing(
    measurement: Measurement, tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    int8 = replace(tiny_bundle.manifest.variants["int8"], engine="openvino")
    variants = {**tiny_bundle.manifest.variants, "int8": int8}
    bundle = replace(tiny_bundle, manifest=replace(tiny_bundle.manifest, variants=variants))
    monkeypatch.setattr(bench_module, "find_spec", without("openvino"))
    progress = Listening()

    bench([bundle], plan=TINY, progress=progress)

    assert measurement.subjects == ["tiny:fp32", "tiny:torch"]
    assert progress.said == ["tiny:int8 is left out: openvino is not installed."]


def test_the_torch_variant_is_left_out_where_transformers_is_missing(
    measurement: Measurement, tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench_module, "find_spec", without("transformers"))
    progress = Listening()

    bench([tiny_bundle], plan=TINY, progress=progress)

    assert measurement.subjects == ["tiny:fp32", "tiny:int8"]
    assert "transformers" in " ".join(progress.said)


def test_nothing_is_said_where_everything_is_measured(
    measurement: Measurement, tiny_bundle: Bundle
) -> None:
    progress = Listening()

    bench([tiny_bundle], plan=TINY, progress=progress)

    assert progress.said == []


def test_all_usable_cores_are_used_where_no_threads_are_given(
    measurement: Measurement, tiny_bundle: Bundle
) -> None:
    bench([tiny_bundle], plan=TINY)

    assert measurement.calls[0]["threads"] == usable_cores()


def test_plan_threads_and_progress_are_passed_on(
    measurement: Measurement, tiny_bundle: Bundle
) -> None:
    progress: Progress = Listening()

    bench([tiny_bundle], plan=TINY, threads=1, progress=progress)

    call = measurement.calls[0]
    assert (call["plan"], call["threads"], call["progress"]) == (TINY, 1, progress)


def test_lengths_that_no_bundle_takes_are_left_out_and_said(
    measurement: Measurement, tiny_bundle: Bundle
) -> None:
    progress = Listening()

    bench([tiny_bundle], plan=replace(TINY, lengths=(8, 9_999)), progress=progress)

    longest = tiny_bundle.manifest.max_length
    assert progress.said == [
        f"9999 tokens are left out: these bundles cut every text to {longest}."
    ]


# Against what


def test_the_baseline_is_the_full_fine_tune_in_fp32(
    measurement: Measurement, tiny_bundle: Bundle, bundle_like: Callable[..., Bundle]
) -> None:
    bench([tiny_bundle, bundle_like("tuned", method="full")], plan=TINY)

    assert measurement.baseline == "tuned:fp32"


def test_the_baseline_is_the_first_bundle_in_fp32_without_a_full_fine_tune(
    measurement: Measurement, tiny_bundle: Bundle, bundle_like: Callable[..., Bundle]
) -> None:
    bench([bundle_like("b"), bundle_like("a"), tiny_bundle], plan=TINY)

    assert measurement.baseline == "b:fp32"


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("other", "other:fp32"),
        ("other:int8", "other:int8"),
        ("tiny:torch", "tiny:torch"),
        ("some/folder/other:int8", "other:int8"),
        ("some/folder/other/", "other:fp32"),
    ],
)
def test_a_baseline_is_a_bundle_or_one_of_its_variants(
    measurement: Measurement,
    tiny_bundle: Bundle,
    bundle_like: Callable[..., Bundle],
    wanted: str,
    expected: str,
) -> None:
    bundles = [tiny_bundle, bundle_like("other"), bundle_like("tuned", method="full")]

    record, _ = bench(bundles, plan=TINY, baseline=wanted)

    assert measurement.baseline == record.baseline == expected


@pytest.mark.parametrize("wanted", ["nobody", "tiny:int4", ":fp32", "nobody:fp32"])
def test_an_unknown_baseline_is_named_with_those_there_are(
    measurement: Measurement, tiny_bundle: Bundle, in_empty_folder: Path, wanted: str
) -> None:
    with pytest.raises(UsageError, match=r"expected one of tiny:fp32, tiny:int8, tiny:torch") as e:
        bench([tiny_bundle], plan=TINY, baseline=wanted)

    assert f"--baseline: no row {wanted!r}" in e.value.message
    assert measurement.calls == []
    assert is_empty(in_empty_folder)


# On what


def test_the_bundles_own_test_text_is_the_evaluation_set(
    measurement: Measurement, tiny_bundle: Bundle, bundle_like: Callable[..., Bundle]
) -> None:
    bench([tiny_bundle, bundle_like("other")], plan=TINY)

    rows = read_rows(tiny_bundle.path / "evaluation.csv")
    names = tiny_bundle.manifest.labels
    evaluation = measurement.evaluation
    assert evaluation.texts == tuple(row["text"] for row in rows)
    assert evaluation.labels is not None
    assert [names[label] for label in evaluation.labels] == [row["label"] for row in rows]
    assert evaluation.sha256 == tiny_bundle.manifest.files["evaluation.csv"].sha256
    assert "evaluation.csv" in evaluation.origin


def test_bundles_without_test_text_are_measured_without_accuracy(
    measurement: Measurement, tiny_bundle: Bundle, tmp_path: Path
) -> None:
    bench([without_evaluation(tiny_bundle, tmp_path / "private")], plan=TINY)

    assert measurement.evaluation.texts == ()
    assert measurement.evaluation.labels is None
    assert measurement.evaluation.sha256 is None


def test_different_evaluation_sets_are_refused(
    measurement: Measurement,
    tiny_bundle: Bundle,
    with_other_texts: Callable[[str], Bundle],
    in_empty_folder: Path,
) -> None:
    other = with_other_texts("other")

    with pytest.raises(UsageError, match="different evaluation sets") as caught:
        bench([tiny_bundle, other], plan=TINY)

    for bundle in (tiny_bundle, other):
        shown = bundle.manifest.files["evaluation.csv"].sha256[:8]
        assert f"{bundle.name} ({shown})" in caught.value.message
    assert "--data" in caught.value.hint
    assert measurement.calls == []
    assert is_empty(in_empty_folder)


def test_an_evaluation_set_that_only_some_bundles_have_is_refused(
    measurement: Measurement, tiny_bundle: Bundle, tmp_path: Path
) -> None:
    private = without_evaluation(tiny_bundle, tmp_path / "private")

    with pytest.raises(UsageError, match=r"different evaluation sets: tiny \(.{8}\), private \(no"):
        bench([tiny_bundle, private], plan=TINY)


def test_given_data_takes_the_place_of_different_evaluation_sets(
    measurement: Measurement,
    tiny_bundle: Bundle,
    with_other_texts: Callable[[str], Bundle],
    tmp_path: Path,
) -> None:
    data = tmp_path / "data.csv"
    write_csv(data, {"text": ["a good room", "a bad one"], "label": ["positive", "negative"]})

    bench([tiny_bundle, with_other_texts("other")], plan=TINY, data=EvaluationFile(data))

    evaluation = measurement.evaluation
    assert evaluation.texts == ("a good room", "a bad one")
    np.testing.assert_array_equal(evaluation.labels, [1, 0])
    assert evaluation.sha256 == sha256(data)
    assert evaluation.origin == str(data)


def test_data_without_a_label_column_is_unlabelled(
    measurement: Measurement, tiny_bundle: Bundle, tmp_path: Path
) -> None:
    data = tmp_path / "data.csv"
    write_csv(data, {"text": ["a good room", "a bad one"]})

    bench([tiny_bundle], plan=TINY, data=EvaluationFile(data))

    assert measurement.evaluation.texts == ("a good room", "a bad one")
    assert measurement.evaluation.labels is None


def test_the_columns_of_the_data_can_be_named(
    measurement: Measurement, tiny_bundle: Bundle, tmp_path: Path
) -> None:
    data = tmp_path / "data.jsonl"
    data.write_text('{"review": "a good room", "mood": "positive", "text": "not this"}\n')

    asked = EvaluationFile(data, text_column="review", label_column="mood")
    bench([tiny_bundle], plan=TINY, data=asked)

    assert measurement.evaluation.texts == ("a good room",)
    np.testing.assert_array_equal(measurement.evaluation.labels, [1])


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (["Positive", " NEGATIVE"], "'Positive' = 'positive', 'NEGATIVE' = 'negative'"),
        (["1.0", "0"], "read as indices: 0 = negative, 1 = positive"),
    ],
)
def test_labels_of_the_data_in_another_spelling_are_found_and_it_is_said(
    labels: list[str],
    said: str,
    measurement: Measurement,
    tiny_bundle: Bundle,
    tmp_path: Path,
) -> None:
    write_csv(tmp_path / "data.csv", {"Text": ["a good room", "a bad one"], "label": labels})
    listener = Listener()

    bench([tiny_bundle], plan=TINY, data=EvaluationFile(tmp_path / "data.csv"), progress=listener)

    np.testing.assert_array_equal(measurement.evaluation.labels, [1, 0])
    assert any(said in line for line in listener.said)


def test_data_with_an_unknown_label_is_refused(
    measurement: Measurement, tiny_bundle: Bundle, tmp_path: Path
) -> None:
    data = tmp_path / "data.csv"
    write_csv(data, {"text": ["a good room", "a room"], "label": ["positive", "neutral"]})

    with pytest.raises(DataError, match=r"data\.csv, row 2: unknown label 'neutral'.*negative, po"):
        bench([tiny_bundle], plan=TINY, data=EvaluationFile(data))

    assert measurement.calls == []


def test_data_without_the_text_column_is_refused(
    measurement: Measurement, tiny_bundle: Bundle, tmp_path: Path
) -> None:
    data = tmp_path / "data.csv"
    write_csv(data, {"sentence": ["a good room"], "label": ["positive"]})

    with pytest.raises(DataError, match=r"data\.csv: no column 'text': found sentence, label") as e:
        bench([tiny_bundle], plan=TINY, data=EvaluationFile(data))

    assert "--text-column" in e.value.hint


@pytest.mark.parametrize("column", [["-1", "-1"], ["", ""]])
def test_data_whose_labels_are_secret_is_refused_with_what_to_do(
    measurement: Measurement, tiny_bundle: Bundle, tmp_path: Path, column: list[str]
) -> None:
    write_csv(tmp_path / "data.csv", {"text": ["a room", "a meal"], "label": column})

    with pytest.raises(DataError, match=r"data\.csv is unlabelled") as caught:
        bench([tiny_bundle], plan=TINY, data=EvaluationFile(tmp_path / "data.csv"))

    assert "Remove the column" in caught.value.hint


def test_a_label_column_that_is_named_has_to_be_there(
    measurement: Measurement, tiny_bundle: Bundle, tmp_path: Path
) -> None:
    write_csv(tmp_path / "data.csv", {"text": ["a room"], "label": ["positive"]})
    data = EvaluationFile(tmp_path / "data.csv", label_column="mood")

    with pytest.raises(DataError, match="no column 'mood'"):
        bench([tiny_bundle], plan=TINY, data=data)


def test_a_label_that_only_later_rows_have_is_not_overlooked(
    measurement: Measurement, tiny_bundle: Bundle, tmp_path: Path
) -> None:
    data = tmp_path / "data.jsonl"
    data.write_text('{"text": "a room"}\n{"text": "a meal", "label": "positive"}\n')

    with pytest.raises(DataError, match="no column 'label'"):
        bench([tiny_bundle], plan=TINY, data=EvaluationFile(data))


def test_rows_with_empty_texts_are_left_out_of_the_data_where_asked(
    measurement: Measurement, tiny_bundle: Bundle, tmp_path: Path
) -> None:
    write_csv(
        tmp_path / "data.csv",
        {"text": ["a room", " ", "a meal"], "label": ["positive", "odd", "negative"]},
    )
    data = EvaluationFile(tmp_path / "data.csv", skip_empty=True)

    bench([tiny_bundle], plan=TINY, data=data)

    assert measurement.evaluation.texts == ("a room", "a meal")
    np.testing.assert_array_equal(measurement.evaluation.labels, [1, 0])


@pytest.mark.parametrize("give_data", [True, False])
def test_bundles_with_different_labels_are_refused(
    measurement: Measurement,
    tiny_bundle: Bundle,
    bundle_like: Callable[..., Bundle],
    tmp_path: Path,
    give_data: bool,
) -> None:
    write_csv(tmp_path / "data.csv", {"text": ["a room"]})
    other = bundle_like("other", labels=("no", "yes"))

    data = EvaluationFile(tmp_path / "data.csv") if give_data else None

    with pytest.raises(UsageError, match="tiny: negative, positive; other: no, yes"):
        bench([tiny_bundle, other], plan=TINY, data=data)

    assert measurement.calls == []


# What is refused


def test_no_bundle_is_an_error_that_says_where_was_looked(
    measurement: Measurement, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEADAPT_ARTIFACTS", "elsewhere")

    with pytest.raises(MissingError, match=r"no bundle under elsewhere.bundles") as caught:
        bench([], plan=TINY)

    assert "edgeadapt export" in caught.value.hint


@pytest.mark.parametrize("threads", [0, -1, usable_cores() + 1])
def test_threads_that_the_machine_does_not_have_are_refused(
    measurement: Measurement, tiny_bundle: Bundle, in_empty_folder: Path, threads: int
) -> None:
    with pytest.raises(UsageError, match=f"--threads: expected at least 1 .* found {threads}"):
        bench([tiny_bundle], plan=TINY, threads=threads)

    assert measurement.calls == []
    assert is_empty(in_empty_folder)


def test_two_bundles_of_the_same_name_are_refused(
    measurement: Measurement, tiny_bundle: Bundle, bundle_like: Callable[..., Bundle]
) -> None:
    with pytest.raises(UsageError, match="same name: found tiny, other, tiny") as caught:
        bench([tiny_bundle, bundle_like("other"), bundle_like("tiny")], plan=TINY)

    assert "rename" in caught.value.hint
    assert measurement.calls == []


@pytest.mark.parametrize("name", ["onnx/model.onnx", "evaluation.csv", "README.md"])
def test_a_damaged_bundle_is_refused_before_anything_is_measured(
    measurement: Measurement,
    tiny_bundle: Bundle,
    bundle_like: Callable[..., Bundle],
    in_empty_folder: Path,
    name: str,
) -> None:
    damaged = bundle_like("damaged")
    with (damaged.path / name).open("ab") as file:
        file.write(b" ")

    with pytest.raises(IntegrityError, match=f"{name} is not the file that was written"):
        bench([tiny_bundle, damaged], plan=TINY)

    assert measurement.calls == []
    assert is_empty(in_empty_folder)


def test_an_existing_record_is_kept(
    measurement: Measurement, tiny_bundle: Bundle, tmp_path: Path
) -> None:
    output = tmp_path / "record.json"
    output.write_text("precious")

    with pytest.raises(OutputExistsError, match=r"record\.json exists already") as caught:
        bench([tiny_bundle], plan=TINY, output=output)

    assert "--force" in caught.value.hint
    assert measurement.calls == []
    assert output.read_text() == "precious"


def test_an_existing_record_is_replaced_when_forced(
    measurement: Measurement, tiny_bundle: Bundle, tmp_path: Path
) -> None:
    output = tmp_path / "record.json"
    output.write_text("old")

    record, path = bench([tiny_bundle], plan=TINY, output=output, force=True)

    assert path == output
    assert Record.open(output).baseline == record.baseline


# What is written


def test_the_record_gets_a_free_name_among_the_records(
    measurement: Measurement, tiny_bundle: Bundle, in_empty_folder: Path
) -> None:
    first = bench([tiny_bundle], plan=TINY)[1]
    second = bench([tiny_bundle], plan=TINY)[1]

    assert first != second
    for path in (first, second):
        assert path.parent == Path("artifacts/records")
        assert path.name.startswith("bench-")
        assert Record.open(in_empty_folder / path).baseline == "tiny:fp32"


def test_a_bundle_is_measured_written_and_compared(
    tiny_bundle: Bundle, tmp_path: Path, in_empty_folder: Path
) -> None:
    bundle = copy_bundle(tiny_bundle, tmp_path / "two", **only(tiny_bundle, "fp32", "int8"))

    record, path = bench([bundle], plan=TINY, threads=1)
    fp32, int8 = rows_of(record)

    assert rows_of(Record.open(path)) == [fp32, int8]
    assert (fp32.variant, int8.variant) == ("fp32", "int8")
    assert fp32.is_baseline
    assert fp32.ratios.bytes == 1.0
    assert int8.accuracy is not None
    assert {name: value.n for name, value in int8.latency_ms.items()} == {
        "8": 2,
        "text": 2,
        "text-model": 2,
    }
    assert record.evaluation.texts == 6


def test_unlabelled_data_gives_everything_but_accuracy(
    tiny_bundle: Bundle, tmp_path: Path, in_empty_folder: Path
) -> None:
    bundle = copy_bundle(tiny_bundle, tmp_path / "one", **only(tiny_bundle, "fp32"))
    write_csv(tmp_path / "data.csv", {"text": ["a good room", "a bad one", "a film"]})

    record, _ = bench([bundle], plan=TINY, data=EvaluationFile(tmp_path / "data.csv"), threads=1)
    (row,) = rows_of(record)

    assert (row.accuracy, row.macro_f1) == (None, None)
    assert row.agreement == 1.0
    assert row.latency_ms["text"].n == 2
    assert row.first_label_s is not None


def test_measuring_leaves_the_bundle_as_it_is(
    tiny_bundle: Bundle, tmp_path: Path, in_empty_folder: Path
) -> None:
    bundle = copy_bundle(tiny_bundle, tmp_path / "one", **only(tiny_bundle, "fp32"))
    before = {path: path.stat().st_mtime_ns for path in bundle.path.rglob("*")}

    bench([bundle], plan=replace(TINY, texts=1), threads=1)

    assert {path: path.stat().st_mtime_ns for path in bundle.path.rglob("*")} == before
