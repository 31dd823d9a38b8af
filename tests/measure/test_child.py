"""Starting a measured process, timing it and reporting its failure."""

import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from edgeadapt.errors import MeasurementError
from edgeadapt.measure import child
from edgeadapt.measure.child import run_job, time_job
from edgeadapt.measure.jobs import FirstLabelAnswer, FirstLabelJob, read_job
from edgeadapt.store.bundle import Bundle

JOB = FirstLabelJob(bundle="some/bundle", variant="int8", threads=1, text="a room")
ANSWER = '{"label": "good", "imported_ns": 1, "loaded_ns": 2}'


@pytest.fixture
def child_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Puts a shell script in the place of the measured process."""

    def put(script: str) -> None:
        program = tmp_path / "program"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(program))

    return put


def job_of(bundle: Path, variant: str = "fp32") -> FirstLabelJob:
    return replace(JOB, bundle=str(bundle), variant=variant)


def test_the_answer_of_the_process_is_returned(child_does: Callable[[str], None]) -> None:
    child_does(f"cat > /dev/null; echo '{ANSWER}'")

    assert run_job(JOB) == FirstLabelAnswer("good", imported_ns=1, loaded_ns=2)


def test_the_process_reads_the_whole_job(child_does: Callable[[str], None], tmp_path: Path) -> None:
    job = replace(JOB, text="é漢" * 200_000)
    child_does(f"cat > {tmp_path / 'job'}; echo '{ANSWER}'")

    run_job(job)

    found = read_job((tmp_path / "job").read_text())
    assert found.started_ns > 0
    assert replace(found, started_ns=0) == job


def test_a_missing_bundle_is_reported_in_the_childs_words(tmp_path: Path) -> None:
    bundle = tmp_path / "nowhere"

    with pytest.raises(MeasurementError) as caught:
        run_job(job_of(bundle))

    assert str(bundle) in caught.value.message.partition("ended with code 1: ")[0]
    assert f"There is no bundle at {bundle}" in caught.value.message
    assert caught.value.message.endswith("write one with: edgeadapt export --quantize")


def test_an_unknown_variant_is_reported_in_the_childs_words(tiny_bundle: Bundle) -> None:
    with pytest.raises(MeasurementError) as caught:
        run_job(job_of(tiny_bundle.path, "int4"))

    assert f"{tiny_bundle.path} (int4) ended with code 1" in caught.value.message
    assert "has no variant 'int4': found fp32, int8, torch." in caught.value.message


def test_an_expected_failure_is_reported_without_a_traceback(tiny_bundle: Bundle) -> None:
    with pytest.raises(MeasurementError) as caught:
        run_job(job_of(tiny_bundle.path, "int4"))

    assert 'File "' not in caught.value.message


def test_only_the_last_words_are_reported(child_does: Callable[[str], None]) -> None:
    child_does("for n in 1 2 3 4 5 6 7; do echo word-$n >&2; done; exit 1")

    with pytest.raises(MeasurementError) as caught:
        run_job(JOB)

    assert caught.value.message.endswith("\n".join(f"word-{n}" for n in range(3, 8)))
    assert "word-2" not in caught.value.message


def test_a_process_that_exits_is_reported(child_does: Callable[[str], None]) -> None:
    child_does("echo no memory left >&2; exit 3")

    with pytest.raises(
        MeasurementError, match=r"(?m)some/bundle \(int8\) ended with code 3: no memory left$"
    ):
        run_job(JOB)


def test_a_process_that_exits_before_reading_a_large_job_is_reported(
    child_does: Callable[[str], None],
) -> None:
    child_does("echo no memory left >&2; exit 3")

    with pytest.raises(MeasurementError, match="ended with code 3: no memory left"):
        run_job(replace(JOB, text="word " * 200_000))


def test_a_killed_process_is_reported(child_does: Callable[[str], None]) -> None:
    child_does("kill -KILL $$")

    with pytest.raises(MeasurementError, match=r"(?m)ended with code -9: it printed no message\.$"):
        run_job(JOB)


def test_a_process_without_an_answer_is_reported(child_does: Callable[[str], None]) -> None:
    child_does("cat > /dev/null; echo done >&2")

    with pytest.raises(MeasurementError, match="ended with code 0: done"):
        run_job(JOB)


def test_a_process_that_fails_after_its_answer_is_reported(
    child_does: Callable[[str], None],
) -> None:
    child_does(f"cat > /dev/null; echo '{ANSWER}'; echo crashed at exit >&2; exit 4")

    with pytest.raises(MeasurementError, match="ended with code 4: crashed at exit"):
        run_job(JOB)


def test_an_answer_that_is_not_json_is_reported(child_does: Callable[[str], None]) -> None:
    child_does("cat > /dev/null; echo 'a library prints something'")

    with pytest.raises(MeasurementError, match=r"some/bundle.*a library prints something"):
        run_job(JOB)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("[]", "expected an object, found a list of 0"),
        ('{"label": "good", "imported_ns": 1}', "the key 'loaded_ns' is missing"),
        ('{"label": 3, "imported_ns": 1, "loaded_ns": 2}', "label: expected a string, found 3"),
    ],
)
def test_an_answer_of_another_form_is_reported(
    child_does: Callable[[str], None], answer: str, expected: str
) -> None:
    child_does(f"cat > /dev/null; echo '{answer}'")

    with pytest.raises(MeasurementError, match=r"some/bundle \(int8\) gave no answer") as caught:
        run_job(JOB)
    assert expected in caught.value.message


def test_last_words_in_another_encoding_are_still_reported(
    child_does: Callable[[str], None],
) -> None:
    child_does("printf 'd\\351j\\340 vu\\n' >&2; exit 1")

    with pytest.raises(MeasurementError, match=r"(?m)ended with code 1: d.j. vu$"):
        run_job(JOB)


def test_a_process_is_killed_when_the_measurement_is_given_up(
    child_does: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[subprocess.Popen[str]] = []

    class Recorded(subprocess.Popen[str]):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            started.append(self)

    monkeypatch.setattr(subprocess, "Popen", Recorded)
    child_does("exec sleep 60")

    with pytest.raises(TypeError, match="not JSON serializable"):
        run_job(replace(JOB, text=cast("str", object())))

    assert [process.returncode for process in started] == [-signal.SIGKILL]


def test_the_clock_covers_the_start_of_the_process_and_not_its_end(
    child_does: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []

    class Recorded(subprocess.Popen[str]):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            events.append("start")
            super().__init__(*arguments, **options)

        def wait(self, timeout: float | None = None) -> int:
            events.append("end")
            return super().wait(timeout)

    def clock() -> int:
        events.append("clock")
        return 1000 * len(events) ** 2

    monkeypatch.setattr(subprocess, "Popen", Recorded)
    monkeypatch.setattr(child, "perf_counter_ns", clock)
    child_does(f"cat > /dev/null; echo '{ANSWER}'")

    _, elapsed = time_job(JOB)

    assert events[:4] == ["clock", "start", "clock", "end"]
    assert events.count("clock") == 2
    assert elapsed == 9000 - 1000


def test_the_clock_stops_when_the_answer_is_there(
    child_does: Callable[[str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered = tmp_path / "answered"
    seen: list[bool] = []

    def clock() -> int:
        seen.append(answered.exists())
        return 0

    monkeypatch.setattr(child, "perf_counter_ns", clock)
    child_does(f"cat > /dev/null; touch {answered}; echo '{ANSWER}'")

    time_job(JOB)

    assert seen == [False, True]


def test_time_job_answers_like_run_job(tiny_bundle: Bundle) -> None:
    answer, elapsed = time_job(job_of(tiny_bundle.path))

    assert answer.label == run_job(job_of(tiny_bundle.path)).label
    assert 0 < answer.imported_ns < answer.loaded_ns < elapsed
