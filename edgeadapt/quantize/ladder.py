"""The ladder: quantize in several ways, measure each, keep the best that is accurate enough.

Accuracy is judged on held-out text, one text at a time; latency and memory are those of fresh
processes that take turns. Where no way is good enough, the products that cost most accuracy go back
to fp32, one after another.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx

from edgeadapt.config import EngineName
from edgeadapt.measure.child import run_job
from edgeadapt.metrics import Logits, drift, rms_shift
from edgeadapt.progress import SILENT, Bar, Progress
from edgeadapt.quantize.candidate import Candidate, write
from edgeadapt.quantize.products import products
from edgeadapt.quantize.trial import Budget, HeldOut, Trial, best, refusal
from edgeadapt.text import Tokens

__all__ = ["Ladder", "climb"]

ROUNDS = 3
"""Fresh processes per candidate."""
TIMED_TEXTS = 32
"""Held-out texts that a process is timed on, spread over their lengths."""
REPEATS, WARMUP = 5, 2
SENSITIVITY_TEXTS = 128


@dataclass(frozen=True)
class Ladder:
    """Everything that was tried, and what was chosen."""

    trials: tuple[Trial, ...]
    chosen: Trial
    fp32_ms: float
    """Latency of the fp32 graph, measured alike."""
    noise: float
    """How much slower, as a share, a second process was than the fastest of the same graph."""
    sensitivity: Mapping[str, float]
    """Product -> root of the mean squared logit shift where it alone is quantized; empty where
    nobody had to know."""

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values for JSON."""
        return {
            "trials": [trial.to_dict() for trial in self.trials],
            "chosen": str(self.chosen.candidate),
            "fp32_ms": self.fp32_ms,
            "noise": self.noise,
            "sensitivity": dict(self.sensitivity),
        }


def climb(
    sources: Mapping[bool, Path],
    target: Path,
    candidates: Sequence[Candidate],
    *,
    held_out: HeldOut,
    calibration: Sequence[Tokens],
    budget: Budget,
    threads: int,
    engine: EngineName = EngineName.ONNXRUNTIME,
    progress: Progress = SILENT,
) -> Ladder:
    """Tries every candidate and writes the best one that meets the budget.

    Args:
        sources: The fp32 graph with attention as one node (``True``) and as products.
        target: The file to write.
        candidates: What to try; the first is what products go back to fp32 of.
        held_out: Labelled texts to judge by.
        calibration: Training texts, for schemes with fixed scales.
        budget: What it may cost.
        threads: CPU threads while latency is measured.
        engine: What runs the candidates; the fp32 graph is ONNX Runtime's.
        progress: Where to report.

    Raises:
        GateError: None meets the budget, even with half of its products in fp32.
    """
    with TemporaryDirectory(dir=target.parent) as folder:
        ladder = _Climb(
            sources={fused: onnx.load(path) for fused, path in sources.items()},
            files=sources,
            folder=Path(folder),
            held_out=held_out,
            calibration=calibration,
            budget=budget,
            engine=engine,
            before=held_out.logits(sources[True]),
        )
        with progress.task("candidates", len(candidates)) as bar:
            trials = [ladder.tried(candidate, bar) for candidate in candidates]
        sensitivity: Mapping[str, float] = {}
        if not any(trial.allowed for trial in trials):
            sensitivity = ladder.sensitivity(candidates[0], progress)
            trials += ladder.relaxed(candidates[0], sensitivity, progress)
        allowed = [trial for trial in trials if trial.allowed]
        if not allowed:
            raise refusal(trials, budget)
        fp32_ms, timed, noise = ladder.timed(allowed, threads, progress)
        chosen = best(timed, budget.objective, noise=noise)
        ladder.file(chosen.candidate).replace(target)
    known = {trial.candidate: trial for trial in timed}
    return Ladder(
        tuple(known.get(trial.candidate, trial) for trial in trials),
        chosen,
        fp32_ms,
        noise,
        sensitivity,
    )


@dataclass
class _Climb:
    """One climb's graphs, texts and written files."""

    sources: Mapping[bool, onnx.ModelProto]
    files: Mapping[bool, Path]
    folder: Path
    held_out: HeldOut
    calibration: Sequence[Tokens]
    budget: Budget
    engine: EngineName
    before: Logits

    def file(self, candidate: Candidate) -> Path:
        """Where a candidate is written."""
        return self.folder / f"{abs(hash(candidate)):x}.onnx"

    def write(self, candidate: Candidate) -> Path:
        source = self.sources[candidate.fused]
        inputs = [value.name for value in source.graph.input]
        texts = [tokens.as_batch().select(inputs) for tokens in self.calibration]
        write(candidate, source, self.file(candidate), texts=texts)
        return self.file(candidate)

    def tried(self, candidate: Candidate, bar: Bar) -> Trial:
        """Writes a candidate and judges its answers."""
        bar.advance(note=str(candidate))
        file = self.write(candidate)
        held_out = self.held_out
        after = held_out.logits(file, self.engine)
        found = drift(self.before, after, held_out.labels, task=held_out.task)
        return Trial(candidate, found, file.stat().st_size, self.budget.met_by(found))

    def sensitivity(self, candidate: Candidate, progress: Progress) -> dict[str, float]:
        """Returns each product's logit shift where it alone is quantized, largest first."""
        names = [each.node for each in products(self.sources[candidate.fused])]
        rows = _spread(self.held_out.texts, SENSITIVITY_TEXTS)
        few = replace(self.held_out, texts=[self.held_out.texts[row] for row in rows])
        found = {}
        with progress.task("sensitivity", len(names)) as bar:
            for name in names:
                bar.advance(note=name)
                others = tuple(other for other in names if other != name)
                alone = replace(candidate, keep=others, embedding_bits=32)
                after = few.logits(self.write(alone), self.engine)
                self.file(alone).unlink()
                found[name] = rms_shift(self.before[rows], after)
        return dict(sorted(found.items(), key=lambda pair: -pair[1]))

    def relaxed(
        self, candidate: Candidate, sensitivity: Mapping[str, float], progress: Progress
    ) -> Iterator[Trial]:
        """Tries with ever more of the most sensitive products in fp32, until it is good enough."""
        most = len(sensitivity) // 2
        with progress.task("products in fp32", most) as bar:
            for count in range(1, most + 1):
                kept = tuple(sensitivity)[:count]
                trial = self.tried(replace(candidate, keep=kept), bar)
                yield trial
                if trial.allowed:
                    return

    def timed(
        self, trials: Sequence[Trial], threads: int, progress: Progress
    ) -> tuple[float, list[Trial], float]:
        """Returns the fp32 graph's latency, the trials with theirs, by turns, and the noise."""
        rows = _spread(self.held_out.texts, TIMED_TEXTS)
        job = {
            "task": "graph",
            "fixed": [asdict(self.held_out.texts[row]) for row in rows],
            "threads": threads,
            "warmup": WARMUP,
            "repeats": REPEATS,
        }
        files = [(self.files[True], EngineName.ONNXRUNTIME)]
        files += [(self.file(trial.candidate), self.engine) for trial in trials]
        answers: list[list[dict[str, Any]]] = [[] for _ in files]
        with progress.task("latency", ROUNDS * len(files)) as bar:
            for _ in range(ROUNDS):
                for (file, engine), collected in zip(files, answers, strict=True):
                    collected.append(run_job({**job, "model": str(file), "engine": engine}))
                    bar.advance()
        processes = [_milliseconds(collected) for collected in answers]
        fp32, *found = (fastest for fastest, *_ in processes)
        noise = max(second / fastest - 1 for fastest, second, *_ in processes)
        peaks = [collected[0]["peak_bytes"] for collected in answers[1:]]
        timed = [
            replace(trial, latency_ms=latency, peak_bytes=peak)
            for trial, latency, peak in zip(trials, found, peaks, strict=True)
        ]
        return fp32, timed, noise


def _spread(texts: Sequence[Tokens], count: int) -> list[int]:
    """Rows of so many texts, evenly over their lengths."""
    order = np.argsort([len(tokens) for tokens in texts], kind="stable")
    places = np.linspace(0, len(order) - 1, min(count, len(order))).round().astype(int)
    return [int(order[place]) for place in places]


def _milliseconds(answers: Sequence[Mapping[str, Any]]) -> list[float]:
    """The mean over texts of each text's median, of every process, the fastest first.

    On a shared machine some processes are slow for all their life, and none is too fast.
    """
    means = [np.mean([np.median(text) for text in answer["latency_ns"]]) for answer in answers]
    return sorted(float(mean) / 1e6 for mean in means)
