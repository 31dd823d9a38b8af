"""The ladder: quantize in several ways, measure each, keep the best that is accurate enough.

Accuracy is judged on held-out text, one text at a time; latency and memory are those of fresh
processes that take turns. Where no way is good enough, the products that cost most accuracy go back
to fp32, one after another.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Any

import numpy as np
import onnx

from edgeadapt.config import Objective, Task
from edgeadapt.errors import GateError
from edgeadapt.measure.child import run_job
from edgeadapt.metrics import Drift, Labels, Logits, drift, rms_shift
from edgeadapt.progress import SILENT, Bar, Progress
from edgeadapt.quantize.candidate import Candidate, write
from edgeadapt.quantize.products import products
from edgeadapt.runtime.onnxruntime_engine import OnnxRuntimeEngine
from edgeadapt.text import Tokens

__all__ = ["Budget", "HeldOut", "Ladder", "Trial", "climb"]

ROUNDS = 3
"""Fresh processes per candidate."""
TIMED_TEXTS = 32
"""Held-out texts that a process is timed on, spread over their lengths."""
REPEATS, WARMUP = 5, 2
DECIDING_TEXTS = 1_000
"""Held-out texts from which on the interval of the drop has to meet the budget too."""
SLACK = 0.01
"""How far beyond the budget the interval may reach."""
SENSITIVITY_TEXTS = 128


@dataclass(frozen=True)
class HeldOut:
    """What candidates are judged on."""

    texts: Sequence[Tokens]
    labels: Labels
    task: Task

    def logits(self, model: Path) -> Logits:
        """Returns logits of shape ``(texts, labels)``, one text at a time."""
        engine = OnnxRuntimeEngine(model)
        return np.concatenate([engine.run(tokens.as_batch()) for tokens in self.texts])


@dataclass(frozen=True)
class Budget:
    """What a candidate may cost, and what it should be good at."""

    max_drop: float
    """Largest accuracy drop, 0 to 1."""
    objective: Objective

    def met_by(self, drift: Drift) -> bool:
        """Says whether a drop is allowed; written so that NaN is not."""
        if not np.isfinite(drift.largest_shift):
            return False
        likely = drift.texts < DECIDING_TEXTS or drift.drop_interval[1] <= self.max_drop + SLACK
        return bool(drift.accuracy_drop <= self.max_drop and likely)


@dataclass(frozen=True)
class Trial:
    """A candidate and what was measured of it."""

    candidate: Candidate
    drift: Drift
    bytes: int
    """Size of the file."""
    allowed: bool
    """Whether it meets the budget."""
    latency_ms: float | None = None
    """Mean over real texts at batch 1; of candidates that are not allowed, not measured."""
    peak_bytes: int | None = None
    """Peak memory of a process that loads and runs it; ``None`` also without /proc."""

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values for JSON."""
        return {
            **{name: getattr(self, name) for name in ("bytes", "allowed", "latency_ms")},
            "name": str(self.candidate),
            "candidate": self.candidate.to_dict(),
            "drift": self.drift.to_dict(),
            "peak_bytes": self.peak_bytes,
        }


@dataclass(frozen=True)
class Ladder:
    """Everything that was tried, and what was chosen."""

    trials: tuple[Trial, ...]
    chosen: Trial
    fp32_ms: float
    """Latency of the fp32 graph, measured alike."""
    sensitivity: Mapping[str, float]
    """Product -> root of the mean squared logit shift where it alone is quantized; empty where
    nobody had to know."""

    @property
    def is_slower(self) -> bool:
        """Whether the chosen one is slower than fp32 on this machine."""
        assert self.chosen.latency_ms is not None
        return self.chosen.latency_ms > self.fp32_ms

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values for JSON."""
        return {
            "trials": [trial.to_dict() for trial in self.trials],
            "chosen": str(self.chosen.candidate),
            "fp32_ms": self.fp32_ms,
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
            raise GateError(_refusal(trials, budget), hint=_REFUSED)
        fp32_ms, timed = ladder.timed(allowed, threads, progress)
        chosen = _best(timed, budget.objective)
        ladder.file(chosen.candidate).replace(target)
    known = {trial.candidate: trial for trial in timed}
    return Ladder(
        tuple(known.get(trial.candidate, trial) for trial in trials), chosen, fp32_ms, sensitivity
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
        found = drift(self.before, held_out.logits(file), held_out.labels, task=held_out.task)
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
                after = few.logits(self.write(alone))
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
    ) -> tuple[float, list[Trial]]:
        """Returns the fp32 graph's latency and the trials with theirs, by turns."""
        rows = _spread(self.held_out.texts, TIMED_TEXTS)
        job = {
            "task": "graph",
            "fixed": [asdict(self.held_out.texts[row]) for row in rows],
            "threads": threads,
            "warmup": WARMUP,
            "repeats": REPEATS,
        }
        files = [self.files[True], *(self.file(trial.candidate) for trial in trials)]
        answers: list[list[dict[str, Any]]] = [[] for _ in files]
        with progress.task("latency", ROUNDS * len(files)) as bar:
            for _ in range(ROUNDS):
                for file, collected in zip(files, answers, strict=True):
                    collected.append(run_job({**job, "model": str(file)}))
                    bar.advance()
        fp32, *found = [_milliseconds(collected) for collected in answers]
        peaks = [collected[0]["peak_bytes"] for collected in answers[1:]]
        return fp32, [
            replace(trial, latency_ms=latency, peak_bytes=peak)
            for trial, latency, peak in zip(trials, found, peaks, strict=True)
        ]


def _spread(texts: Sequence[Tokens], count: int) -> list[int]:
    """Rows of so many texts, evenly over their lengths."""
    order = np.argsort([len(tokens) for tokens in texts], kind="stable")
    places = np.linspace(0, len(order) - 1, min(count, len(order))).round().astype(int)
    return [int(order[place]) for place in places]


def _milliseconds(answers: Sequence[Mapping[str, Any]]) -> float:
    """The mean over texts of each text's median, in the fastest process.

    On a shared machine some processes are slow for all their life, and none is too fast.
    """
    means = [np.mean([np.median(text) for text in answer["latency_ns"]]) for answer in answers]
    return float(np.min(means)) / 1e6


def _best(trials: Sequence[Trial], objective: Objective) -> Trial:
    """The best by the objective; of those alike, the one whose logits are closest to fp32's.

    Labels would tell less: among few texts all of them keep all labels.
    """
    measure, noise = _MEASURES[objective]
    least = min(measure(trial) for trial in trials)
    alike = [trial for trial in trials if measure(trial) <= least * (1 + noise)]
    return min(alike, key=lambda trial: trial.drift.rms_shift)


def _latency(trial: Trial) -> float:
    assert trial.latency_ms is not None
    return trial.latency_ms


_MEASURES: Mapping[Objective, tuple[Callable[[Trial], float], float]] = MappingProxyType(
    {
        Objective.LATENCY: (_latency, 0.1),
        Objective.SIZE: (lambda trial: trial.bytes, 0.0),
        # Without /proc the file's size has to do: it is most of what differs.
        Objective.MEMORY: (lambda trial: trial.peak_bytes or trial.bytes, 0.02),
    }
)
"""What is least for the best, and up to which share of it figures are alike: on a shared machine
one scale for a whole weight, a few percent faster and several times as coarse, is not the better.
"""


_REFUSED = (
    "No bundle was written. Allow more with --max-drop, try more with --scheme auto, train longer, "
    "or export without --quantize."
)


def _refusal(trials: Sequence[Trial], budget: Budget) -> str:
    """Says how far the best candidate is from what is allowed."""
    numbers = [trial for trial in trials if np.isfinite(trial.drift.largest_shift)]
    if not numbers:
        return f"{trials[0].candidate}: some logits are not numbers on held-out texts."
    best = min(numbers, key=lambda trial: trial.drift.accuracy_drop)
    found = best.drift
    low, high = found.drop_interval
    likely = f" and an interval below {100 * (budget.max_drop + SLACK):.2f}"
    likely = likely if found.texts >= DECIDING_TEXTS else ""
    return (
        f"None of {len(trials)} quantized models is good enough. The best, {best.candidate}: "
        f"accuracy {found.accuracy_before:.2%} -> {found.accuracy_after:.2%} on {found.texts:,} "
        f"held-out texts, a drop of {100 * found.accuracy_drop:.2f} points (95 % interval "
        f"{100 * low:.2f} to {100 * high:.2f}); allowed are {100 * budget.max_drop:.2f}"
        f"{likely}. {found.label_agreement:.2%} of the labels are the same."
    )
