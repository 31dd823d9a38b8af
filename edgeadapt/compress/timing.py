"""Latency and memory of ONNX files, each in fresh processes that take turns."""

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
"""Texts that a process is timed on, spread over their lengths."""
REPEATS, WARMUP = 5, 2


@dataclass(frozen=True)
class Timing:
    """What was measured of one file."""

    processes_ms: tuple[float, ...]
    """Of each process the mean over texts of a text's median latency at batch 1, the fastest first.

    On a shared machine some processes are slow for all their life, and none is too fast.
    """
    peak_bytes: int | None
    """Peak memory of its first process; ``None`` without /proc."""

    @property
    def latency_ms(self) -> float:
        """Of the fastest process."""
        return self.processes_ms[0]


def take_turns(
    files: Sequence[tuple[Path, EngineName]],
    texts: Sequence[Tokens],
    *,
    threads: int,
    progress: Progress = SILENT,
) -> list[Timing]:
    """Measures every file in several rounds, so that what disturbs one disturbs all.

    Args:
        files: ONNX files and what runs them.
        texts: Some of these are what a process answers.
        threads: CPU threads.
        progress: Where to report.
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
    """Returns how much slower, as a share, a second process was than the fastest of a file."""
    return max(timing.processes_ms[1] / timing.processes_ms[0] - 1 for timing in timings)


def spread(texts: Sequence[Tokens], count: int) -> list[int]:
    """Returns rows of so many texts, evenly over their lengths."""
    order = np.argsort([len(tokens) for tokens in texts], kind="stable")
    places = np.linspace(0, len(order) - 1, min(count, len(order))).round().astype(int)
    return [int(order[place]) for place in places]


def _milliseconds(answer: GraphAnswer) -> float:
    return float(np.mean([np.median(text) for text in answer.latency_ns])) / 1e6
