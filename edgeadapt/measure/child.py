"""Starting a measured process and waiting for it without using the processor."""

import contextlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from time import perf_counter_ns
from typing import Any

from edgeadapt.errors import MeasurementError

__all__ = ["run_job", "time_job"]


def run_job(job: Mapping[str, Any]) -> dict[str, Any]:
    """Runs one job of ``edgeadapt.measure.worker`` in a fresh process and returns its answer.

    Raises:
        MeasurementError: The process failed; the message ends with its last words.
    """
    answer, _ = time_job(job)
    return answer


def time_job(job: Mapping[str, Any]) -> tuple[dict[str, Any], int]:
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
                    process.stdin.write(json.dumps({**job, "started_ns": started}))
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
            f"The process that measures {_subject(job)} ended with code {code}: "
            f"{last_words or 'it said nothing.'}"
        )
    try:
        return json.loads(line), elapsed
    except json.JSONDecodeError:
        raise MeasurementError(
            f"The process that measures {_subject(job)} gave no answer: "
            f"expected a line of JSON, found {line.strip()!r}."
        ) from None


def _subject(job: Mapping[str, Any]) -> str:
    return job.get("model") or f"{job['bundle']} ({job['variant']})"
