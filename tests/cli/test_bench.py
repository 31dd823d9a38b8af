"""``edgeadapt bench``, with a plan of a few runs per variant."""

import json
import os
import shutil
import signal
import subprocess
from dataclasses import asdict, replace
from pathlib import Path
from time import sleep
from typing import Any

import pytest

from edgeadapt.benchmark import plan as plans
from edgeadapt.benchmark.evaluation import EvaluationFile
from edgeadapt.benchmark.plan import Effort
from edgeadapt.benchmark.rows import rows as rows_of
from edgeadapt.data import read_rows, write_csv
from edgeadapt.pipeline.bench import bench
from edgeadapt.store.bundle import Bundle, Manifest
from edgeadapt.store.plan import Plan
from edgeadapt.store.record import Record
from edgeadapt.store.sample import Pass
from tests.benchmark.handmade import make_record, make_sample
from tests.children import MAIN, open_edgeadapt, run_edgeadapt, run_limited
from tests.cli.conftest import Cli, Outcome, copy_bundle, written
from tests.store.manifests import edit_json

TINY = Plan(
    lengths=(16, 24, 64), rounds=1, repeats=3, warmup=1, starts=1, texts=6, timed=2,
    batches=(1, 2), bulks=1, bulk=4, passes=1, calls=20, scaling=0,
)  # fmt: skip
TINY_MAIN = f"""
from edgeadapt.benchmark import plan
plan.PLANS = dict.fromkeys(plan.Effort, plan.{TINY!r})
{MAIN}
"""
LONG_MAIN = TINY_MAIN.replace("repeats=3", "repeats=10_000_000")


@pytest.fixture(autouse=True)
def tiny_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plans, "PLANS", dict.fromkeys(Effort, TINY))


@pytest.fixture
def first(folder: Path, light_bundle: Path) -> Path:
    """A bundle called first, with fp32 and int8, under artifacts/."""
    return copy_bundle(light_bundle, folder / "artifacts/bundles/first")


@pytest.fixture
def second(folder: Path, light_bundle: Path) -> Path:
    """A bundle called second, with fp32 only, under artifacts/."""
    return copy_bundle(light_bundle, folder / "artifacts/bundles/second", variants=("fp32",))


def only_bundles(folder: Path) -> bool:
    return not any((folder / "artifacts").rglob("records/*"))


def rewrite(bundle: Path, **changes: Any) -> None:
    """Writes the manifest again, with hashes of the files as they are now."""
    manifest = Bundle.open(bundle).manifest
    Bundle.write(bundle, Manifest(**{**manifest.__dict__, **changes}))


def test_two_bundles_are_compared(cli: Cli, folder: Path, first: Path, second: Path) -> None:
    answer = cli("bench", "first", "second", "--threads", "1", "--json").json

    assert set(answer) >= {"record", "baseline", "rows"}
    assert answer["baseline"] == "first:fp32"
    rows = {f"{row['bundle']}:{row['variant']}": row for row in answer["rows"]}
    assert list(rows) == ["first:fp32", "first:int8", "second:fp32"]
    for row in rows.values():
        assert set(row) >= {
            *("bundle", "variant", "engine", "accuracy", "agreement"),
            *("latency_ms", "first_label_s", "peak_mb", "bytes"),
        }
        assert row["engine"].startswith("onnxruntime ")
        assert 0 <= row["accuracy"] <= 1
        assert row["latency_ms"].keys() == {"16", "24", "text", "text-model"}
        assert row["latency_ms"]["16"]["n"] == 3
        assert row["latency_ms"]["text"]["n"] == 2
        assert row["latency_ms"]["16"]["p50"] > 0
        assert row["latency_ms"]["16"]["p90"] is None
        assert row["first_label_s"] > 0
    assert [row["is_baseline"] for row in rows.values()] == [True, False, False]
    fp32, int8 = rows["first:fp32"], rows["first:int8"]
    assert int8["bytes"] == (first / "onnx/model_quantized.onnx").stat().st_size
    assert int8["ratios"]["bytes"] == fp32["bytes"] / int8["bytes"]
    assert int8["ratios"]["latency"]["16"] == pytest.approx(
        fp32["latency_ms"]["16"]["p50"] / int8["latency_ms"]["16"]["p50"]
    )
    assert fp32["ratios"]["latency"].keys() == {"16", "24", "text", "text-model"}
    assert set(fp32["ratios"]["latency"].values()) == {1.0}
    assert rows["second:fp32"]["agreement"] == 1.0
    assert rows["second:fp32"]["ratios"]["bytes"] == 1.0

    record = Record.open(folder / answer["record"])
    recomputed = [asdict(row) for row in rows_of(record)]
    assert json.loads(json.dumps(recomputed)) == answer["rows"]


def test_every_bundle_is_measured_where_none_is_named_and_a_table_is_shown(
    cli: Cli, folder: Path, second: Path
) -> None:
    done = cli("bench", "--threads", "1", "--output", "mine")

    assert done.code == 0, done.err
    words = " ".join(done.out.split())
    for expected in (
        *("second", "fp32", "accuracy", "16 24 real", "tokens tokens texts"),
        *("at batch 1", "1 thread, 6 texts", "than second:fp32"),
    ):
        assert expected in words
    assert done.out.splitlines()[-1] == "record: artifacts/records/mine.json"
    assert "benchmark 3/3" in done.err
    assert Record.open(folder / "artifacts/records/mine.json").threads == 1


def test_texts_without_labels_give_everything_but_accuracy(
    folder: Path, first: Path, tmp_path: Path
) -> None:
    write_csv(tmp_path / "texts.csv", {"body": ["good film", "bad meal", "cold soup"]})

    record, _ = bench(
        [Bundle.open(first)],
        plan=TINY,
        data=EvaluationFile(tmp_path / "texts.csv", text_column="body"),
        threads=1,
    )

    assert record.evaluation.texts == 3
    for row in rows_of(record):
        assert row.accuracy is None
        assert row.macro_f1 is None
        assert row.agreement is not None
        assert row.latency_ms["text"].n == 2
        assert row.first_label_s is not None
        assert row.peak_mb is not None


def test_missing_accuracy_is_null_in_json_and_a_dash_in_the_table(
    cli: Cli, folder: Path, second: Path, tmp_path: Path
) -> None:
    write_csv(tmp_path / "texts.csv", {"text": ["good film", "bad meal"]})
    asked = ("bench", "second", "--threads", "1", "--data", tmp_path / "texts.csv")

    (row,) = cli(*asked, "--json").json["rows"]
    shown = cli(*asked).out

    assert row["accuracy"] is None
    assert row["macro_f1"] is None
    lines = [line.split() for line in shown.splitlines()]
    assert lines[lines.index(["second"]) + 1][:3] == ["fp32", "–", "100.0%"]


def test_labelled_texts_of_ones_own_are_scored(folder: Path, second: Path, tmp_path: Path) -> None:
    bundle = Bundle.open(second)
    texts = [row["text"] for row in read_rows(bundle.file("evaluation.csv"))][:4]
    write_csv(tmp_path / "own.csv", {"review": texts, "mood": ["positive"] * 4})
    own = EvaluationFile(tmp_path / "own.csv", text_column="review", label_column="mood")

    record, _ = bench([bundle], plan=TINY, data=own, threads=1)

    (sample,) = record.samples
    assert record.evaluation.labels == [1] * 4
    assert rows_of(record)[0].accuracy == sum(row[1] > row[0] for row in sample.logits) / 4


def test_bundles_without_texts_are_measured_at_fixed_lengths(folder: Path, second: Path) -> None:
    (second / "evaluation.csv").unlink()
    rewrite(second)

    record, _ = bench([Bundle.open(second)], plan=TINY, threads=1)

    (row,) = rows_of(record)
    assert row.accuracy is None
    assert row.latency_ms.keys() == {"16", "24"}
    assert row.first_label_s is not None


def test_a_baseline_is_chosen_by_name(folder: Path, first: Path) -> None:
    record, _ = bench([Bundle.open(first)], plan=TINY, threads=1, baseline="first:int8")

    assert record.baseline == "first:int8"
    assert [row.is_baseline for row in rows_of(record)] == [False, True]
    assert rows_of(record)[1].ratios.bytes == 1.0


def test_the_full_fine_tune_is_the_baseline_where_there_is_one(
    folder: Path, first: Path, second: Path
) -> None:
    rewrite(second, provenance=replace(Bundle.open(second).manifest.provenance, method="full"))

    record, _ = bench([Bundle.open(first), Bundle.open(second)], plan=TINY, threads=1)

    assert record.baseline == "second:fp32"


def test_an_unknown_baseline_lists_the_rows(
    cli: Cli, folder: Path, first: Path, second: Path
) -> None:
    for unknown in ("third", "first:torch", "second:int8"):
        cli("bench", "first", "second", "--baseline", unknown).fails_with(
            f"no row '{unknown}'", "first:fp32, first:int8, second:fp32"
        )

    assert only_bundles(folder)


def test_different_evaluation_sets_are_refused_by_name(
    cli: Cli, folder: Path, first: Path, second: Path
) -> None:
    write_csv(second / "evaluation.csv", {"text": ["good film"], "label": ["positive"]})
    rewrite(second)
    hashes = [Bundle.open(b).manifest.files["evaluation.csv"].sha256 for b in (first, second)]

    cli("bench", "first", "second").fails_with(
        "different evaluation sets",
        f"first ({hashes[0][:8]})",
        f"second ({hashes[1][:8]})",
        hint="--data",
    )

    assert only_bundles(folder)


def test_a_bundle_without_evaluation_set_beside_one_with_it_is_refused_by_name(
    cli: Cli, folder: Path, first: Path, second: Path
) -> None:
    (second / "evaluation.csv").unlink()
    rewrite(second)

    cli("bench", "first", "second").fails_with("first (", "second (none)", hint="--data")

    assert only_bundles(folder)


def test_different_labels_are_refused_by_name(
    cli: Cli, folder: Path, first: Path, second: Path
) -> None:
    rewrite(second, labels=("bad", "good"))

    cli("bench", "first", "second").fails_with(
        "different labels", "first: negative, positive", "second: bad, good"
    )

    assert only_bundles(folder)


def test_two_bundles_of_one_name_are_refused(
    cli: Cli, folder: Path, first: Path, tmp_path: Path
) -> None:
    other = shutil.copytree(first, tmp_path / "other/first")

    cli("bench", "first", other).fails_with("same name", "first, first")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--threads", "0"), ["--threads", "at least 1", "found 0"]),
        (("--threads", "9999"), ["--threads", "at most", "found 9999"]),
        (("--quick", "--thorough"), ["--quick", "--thorough"]),
        (("--data", "nowhere.csv"), ["nowhere.csv", "does not exist"]),
        (("--data", "notes.txt"), ["notes.txt", ".csv", ".jsonl"]),
    ],
    ids=" ".join,
)
def test_a_wrong_value_is_named_and_nothing_is_written(
    cli: Cli, folder: Path, second: Path, options: tuple[str, ...], words: list[str]
) -> None:
    cli("bench", "second", *options).fails_with(*words)

    assert only_bundles(folder)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", ["holds no examples"]),
        (b"text,label\ngood,positive\n,negative\n", ["row 2", "empty"]),
        (b"text,label\ngood,fine\n", ["row 1", "unknown label 'fine'"]),
        (b"body,label\ngood,positive\n", ["no column 'text'", "body, label"]),
        (b"text,label\ngood,positive\n\xff,negative\n", ["row 2", "UTF-8"]),
    ],
    ids=["empty file", "empty text", "unknown label", "no column", "encoding"],
)
def test_data_that_cannot_be_used_is_named(
    cli: Cli, folder: Path, second: Path, tmp_path: Path, content: bytes, words: list[str]
) -> None:
    file = tmp_path / "own.csv"
    file.write_bytes(content)

    cli("bench", "second", "--data", file).fails_with(str(file), *words)

    assert only_bundles(folder)


def test_without_a_bundle_the_way_to_one_is_named(cli: Cli, folder: Path) -> None:
    cli("bench").fails_with("artifacts/bundles", hint="edgeadapt export")

    assert written(folder) == []


def test_a_missing_bundle_is_named(cli: Cli, folder: Path) -> None:
    cli("bench", "nowhere").fails_with("artifacts/bundles/nowhere", hint="edgeadapt export")


def test_an_unfinished_bundle_is_named(cli: Cli, folder: Path, first: Path) -> None:
    (first / "manifest.json").unlink()

    cli("bench", "first").fails_with("artifacts/bundles/first", "manifest.json")

    assert only_bundles(folder)


def test_a_bundle_of_a_newer_format_names_both_versions(
    cli: Cli, folder: Path, first: Path
) -> None:
    known = Bundle.FORMAT_VERSION
    edit_json(first / "manifest.json", lambda manifest: manifest.update(format_version=known + 1))

    cli("bench", "first").fails_with(
        "first/manifest.json", f"{known + 1}", f"up to {known}", hint="--upgrade"
    )

    assert only_bundles(folder)


def test_a_changed_file_is_named_with_both_hashes(cli: Cli, folder: Path, first: Path) -> None:
    name = "config.json"
    expected = Bundle.open(first).manifest.files[name].sha256
    (first / name).write_text("{}")

    cli("bench", "first").fails_with(
        f"artifacts/bundles/first/{name}", f"expected sha256 {expected}", "found "
    )

    assert only_bundles(folder)


def test_a_model_that_does_not_load_is_an_expected_failure(
    cli: Cli, folder: Path, second: Path
) -> None:
    (second / "onnx/model.onnx").write_bytes(b"no model")
    rewrite(second)

    cli("bench", "second").fails_with("artifacts/bundles/second", "model.onnx")

    assert only_bundles(folder)


def test_an_existing_record_is_replaced_only_by_force(cli: Cli, folder: Path, second: Path) -> None:
    path = folder / "artifacts/records/mine.json"
    path.parent.mkdir()
    path.write_text("mine")

    cli("bench", "second", "--output", "mine").fails_with("mine.json", "exists", hint="--force")
    assert path.read_text() == "mine"

    assert cli("bench", "second", "--threads", "1", "--output", "mine", "--force").code == 0
    assert Record.open(path).baseline == "second:fp32"


def test_a_full_disk_leaves_no_record(folder: Path, second: Path) -> None:
    done = run_limited(1_000, "bench", "second", "--threads", "1", code=TINY_MAIN, cwd=folder)

    Outcome(done.returncode, done.stdout, done.stderr).fails_with(
        "No space left", "artifacts/records", hint="another folder"
    )
    assert only_bundles(folder)


def is_alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_benchmark_leaves_neither_record_nor_process(
    folder: Path, second: Path, number: signal.Signals, code: int
) -> None:
    asked = ("bench", "second", "--threads", "1")
    with open_edgeadapt(*asked, code=LONG_MAIN, cwd=folder, start_new_session=True) as process:
        wait_until_a_worker_runs(process)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)

    assert process.returncode == code
    assert out == ""
    assert "Traceback" not in err
    assert not is_alive(process.pid)
    assert only_bundles(folder)


def wait_until_a_worker_runs(process: subprocess.Popen[str]) -> None:
    """Waits until the process has a child that has loaded the engine."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    while not any(has_loaded_engine(child) for child in children.read_text().split()):
        assert process.poll() is None
        sleep(0.02)


def has_loaded_engine(process: str) -> bool:
    try:
        return "onnxruntime" in Path(f"/proc/{process}/maps").read_text()
    except (FileNotFoundError, ProcessLookupError):  # it has just ended
        return False


@pytest.mark.slow
def test_a_quick_benchmark_in_fresh_processes_prints_json_alone(folder: Path, second: Path) -> None:
    done = run_edgeadapt("bench", "second", "--quick", "--json", cwd=folder)

    answer = Outcome(done.returncode, done.stdout, done.stderr).json
    (row,) = answer["rows"]
    assert row["latency_ms"]["16"]["n"] == 70
    assert row["latency_ms"]["16"]["p90"] >= row["latency_ms"]["16"]["p50"]
    assert json.loads((folder / answer["record"]).read_text())["plan"]["rounds"] == 2


def test_lengths_and_batch_sizes_can_be_chosen(cli: Cli, folder: Path, second: Path) -> None:
    (row,) = cli(
        "bench", "second", "--threads", "1", "--lengths", "12,8", "--batch", "4", "--json"
    ).json["rows"]

    assert list(row["latency_ms"]) == ["8", "12", "text", "text-model"]
    assert list(row["texts_per_s"]) == ["4"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--lengths", "8;16"), ("--lengths: expected whole numbers", "'8;16'")),
        (("--lengths", "2"), ("--lengths: expected at least 3 tokens", "found 2")),
        (("--lengths", "900"), ("--lengths: expected at most 32 tokens", "found 900")),
        (("--batch", "0"), ("--batch: expected at least 1, found 0",)),
        (("--engine", "tensorrt"), ("--engine: expected some of onnxruntime, openvino, torch",)),
        (("--engine", "torch"), ("No variant of these bundles runs here on torch",)),
        (("--json", "--csv"), ("--json and --csv exclude each other",)),
        (("--wide", "--json"), ("--wide and --json exclude each other",)),
        (("--quick", "--thorough"), ("--quick and --thorough exclude each other",)),
    ],
)
def test_options_that_make_no_sense_are_refused(
    cli: Cli, folder: Path, second: Path, options: tuple[str, ...], words: tuple[str, ...]
) -> None:
    cli("bench", "second", *options).fails_with(*words)
    assert only_bundles(folder)


def test_the_table_is_short_and_wide_shows_the_rest(cli: Cli, folder: Path, first: Path) -> None:
    record = make_record(
        make_sample(bundle="first", throughput={"1": [[Pass(9, 10**9, None)]]}),
        baseline="first:fp32",
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("edgeadapt.pipeline.bench.bench", lambda *_, **__: (record, Path("r.json")))
        short, wide = cli("bench", "first"), cli("bench", "first", "--wide")

    assert (short.code, wide.code) == (0, 0)
    assert "texts/s" not in short.out
    assert "p90" not in short.out
    assert "texts/s" in wide.out
    assert "p90 2.00" in wide.out
    for done in (short, wide):
        assert "Some CPU, 2 threads, 4 texts" in done.out
        assert done.out.splitlines()[-1] == "record: r.json"
    assert "edgeadapt report r.json" in short.err


def test_csv_is_alone_on_standard_output(cli: Cli, folder: Path, second: Path) -> None:
    done = cli("bench", "second", "--threads", "1", "--csv")

    assert done.code == 0
    header, line = done.out.splitlines()
    assert header.startswith("bundle,variant,engine,method,accuracy")
    assert line.startswith("second,fp32,onnxruntime")
    assert "record: artifacts/records/bench-" in done.err


def test_markdown_is_alone_on_standard_output(cli: Cli, folder: Path, second: Path) -> None:
    done = cli("bench", "second", "--threads", "1", "--markdown")

    assert done.out.startswith("| model | accuracy |")
    assert "| second:fp32 ★ |" in done.out


def test_another_engine_is_left_out_where_it_cannot_read_a_variant(
    cli: Cli, folder: Path, first: Path
) -> None:
    pytest.importorskip("openvino")

    done = cli("bench", "first", "--threads", "1", "--engine", "onnxruntime,openvino", "--json")

    assert {row["variant"] for row in done.json["rows"]} >= {"fp32", "int8"}
    for variant in ("fp32", "int8"):
        shown = {row["variant"] for row in done.json["rows"]}
        left_out = f"first:{variant}@openvino is left out: openvino cannot run it" in done.err
        assert (f"{variant}@openvino" in shown) != left_out
