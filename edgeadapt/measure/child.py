"""Starting a measured process and waiting for it without using the processor."""

import contextlib
import subprocess
import sys
import tempfile
from dataclasses import replace
from time import perf_counter_ns
from typing import TypeVar

from edgeadapt.errors import MeasurementError
from edgeadapt.measure.jobs import Job, job_line, read_answer

__all__ = ["run_job", "time_job"]

Answer = TypeVar("Answer")


def run_job(job: Job[Answer]) -> Answer:
    """Runs one job of ``edgeadapt.measure.worker`` in a fresh process and returns its answer.

    Raises:
        MeasurementError: The process failed; the message ends with its last words.
    """
    answer, _ = time_job(job)
    return answer


def time_job(job: Job[Answer]) -> tuple[Answer, int]:
    """Like ``run_job``, with the nanoseconds from process start to the answer's arrival.

    The end of the process (closing files, joining threads) is not counted. The job says as
    ``started_ns`` what the clock showed before the process began.

    Raises:
        MeasurementError: The process failed.
    """
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as errors:
        started = perf_counter_ns()
        with subprocess.Popen(
            # -P: a file in the working folder must not take a library's place.
            [sys.executable, "-P", "-m", "edgeadapt.measure.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            encoding="utf-8",
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                with contextlib.suppress(BrokenPipeError):  # it died early; stderr says why
                    process.stdin.write(job_line(replace(job, started_ns=started)))
                    process.stdin.close()
                line = process.stdout.readline()
                elapsed = perf_counter_ns() - started
                code = process.wait()
            except BaseException:
                process.kill()
                raise
        errors.seek(0)
        last_words = "\n".join(errors.read().strip().splitlines()[-5:])
    if code or not line:
        raise MeasurementError(
            f"The process that measures {job.subject} ended with code {code}: "
            f"{last_words or 'it said nothing.'}"
        )
    return read_answer(job, line), elapsed
