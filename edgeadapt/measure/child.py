"""Start a measured process and wait for it without using CPU time."""

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
    """Runs one job of ``edgeadapt.measure.worker`` in a fresh process and returns the result.

    Raises:
        MeasurementError: The process failed; the message ends with the last line of its stderr.
    """
    answer, _ = time_job(job)
    return answer


def time_job(job: Job[Answer]) -> tuple[Answer, int]:
    """Like ``run_job``, and also returns the nanoseconds from process start to the result.

    The exit of the process (closing files, joining threads) is not counted. ``started_ns`` of the
    job is set to the time just before the process starts.

    Raises:
        MeasurementError: The process failed.
    """
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as errors:
        started = perf_counter_ns()
        with subprocess.Popen(
            # -P: a file in the working folder must not shadow a library.
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
                with contextlib.suppress(BrokenPipeError):  # it exited early, see stderr
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
            f"{last_words or 'it printed no message.'}"
        )
    return read_answer(job, line), elapsed
