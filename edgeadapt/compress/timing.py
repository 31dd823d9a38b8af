"""Measure latency and memory of ONNX files, each in fresh processes, interleaved."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgeadapt.measure.child import run_job
from edgeadapt.measure.timed_jobs import FixedInput, GraphAnswer, GraphJob
from edgeadapt.progress import SILENT, Progress
from edgeadapt.recipe import EngineName
from edgeadapt.text import Tokens

__all__ = ["Timing", "noise_of", "spread", "take_turns"]

ROUNDS = 3
"""Fresh processes per file."""
TIMED_TEXTS = 32
"""Texts on which a process is timed, spread evenly over the lengths."""
REPEATS, WARMUP = 5, 2
"""Timed and untimed passes over each text."""


@dataclass(frozen=True)
class Timing:
    """The measurements of one file."""

    processes_ms: tuple[float, ...]
    """Latency of each process, the fastest first: the mean over texts of each text's median at
    batch size 1."""
    peak_bytes: int | None
    """Peak memory of the first process; ``None`` without /proc."""

    @property
    def latency_ms(self) -> float:
        """Latency of the fastest process.

        On a shared machine a process can be slow throughout, but not faster than the machine
        allows.
        """
        return self.processes_ms[0]


def take_turns(
    files: Sequence[tuple[Path, EngineName]],
    texts: Sequence[Tokens],
    *,
    threads: int,
    progress: Progress = SILENT,
) -> list[Timing]:
    """Measures all files in several rounds, so that disturbances affect all files alike.

    Args:
        files: ONNX files and their engines.
        texts: Tokenized texts, of which 32 are timed.
        threads: CPU threads.
        progress: Receives the progress bar.
    """
    chosen = [texts[row] for row in spread(texts, TIMED_TEXTS)]
    fixed = [FixedInput(tokens.ids, tokens.type_ids) for tokens in chosen]
    answers: list[list[GraphAnswer]] = [[] for _ in files]
    with progress.bar("latency", ROUNDS * len(files)) as bar:
        for _ in range(ROUNDS):
            for (file, engine), collected in zip(files, answers, strict=True):
                job = GraphJob(
                    model=str(file),
                    engine=engine,
                    threads=threads,
                    fixed=fixed,
                    warmup=WARMUP,
                    repeats=REPEATS,
                )
                collected.append(run_job(job))
                bar.advance()
    return [
        Timing(tuple(sorted(map(_milliseconds, collected))), collected[0].peak_bytes)
        for collected in answers
    ]


def noise_of(timings: Sequence[Timing]) -> float:
    """Returns the noise: the largest share by which a file's second process was slower."""
    return max(timing.processes_ms[1] / timing.processes_ms[0] - 1 for timing in timings)


def spread(texts: Sequence[Tokens], count: int) -> list[int]:
    """Returns the row numbers of ``count`` texts, spread evenly over the lengths."""
    order = np.argsort([len(tokens) for tokens in texts], kind="stable")
    places = np.linspace(0, len(order) - 1, min(count, len(order))).round().astype(int)
    return [int(order[place]) for place in places]


def _milliseconds(answer: GraphAnswer) -> float:
    return float(np.mean([np.median(text) for text in answer.latency_ns])) / 1e6
