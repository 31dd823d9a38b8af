"""Quantization as a compression step: measures several candidates and keeps the best.

Latency and memory are measured in fresh processes, interleaved between candidates. If no candidate
is accurate enough, the products that cost most accuracy are kept in fp32, one after another.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import onnx

from edgeadapt.compress.choice import by_objective
from edgeadapt.compress.step import Answers, Proposal, Trial
from edgeadapt.compress.timing import noise_of, spread, take_turns
from edgeadapt.errors import ExportError
from edgeadapt.graph.lowered import Graphs
from edgeadapt.metrics import Logits, rms_shift
from edgeadapt.progress import SILENT, Bar, Progress
from edgeadapt.quantize.candidate import Candidate, write
from edgeadapt.quantize.products import products
from edgeadapt.recipe import EngineName, Objective
from edgeadapt.runtime import ENGINES
from edgeadapt.store.compression import Baseline
from edgeadapt.text import Tokens

__all__ = ["Quantize", "answers_of"]

SENSITIVITY_TEXTS = 128
"""Validation texts on which the sensitivity of products is measured."""


class Quantize:
    """The compression step.

    Args:
        ways: The candidates; the fallbacks, with some products in fp32, are variants of the first.
        folder: Folder for the candidates' files.
        objective: What to optimize.
        threads: CPU threads for measuring latency.
        engine: The engine of the candidates; the fp32 graph is measured in ONNX Runtime.
        progress: Receives messages and progress bars.
    """

    name = "quantize"
    candidates = "quantized models"
    remedy = "try another --scheme, or export without --quantize"

    def __init__(
        self,
        ways: Sequence[Candidate],
        *,
        folder: Path,
        objective: Objective = Objective.LATENCY,
        threads: int,
        engine: EngineName = EngineName.ONNXRUNTIME,
        progress: Progress = SILENT,
    ) -> None:
        self.ways, self.folder, self.objective = ways, folder, objective
        self.threads, self.engine, self.progress = threads, engine, progress
        self.fp32_ms: float | None = None
        """Latency of the fp32 graph, measured together with the latest trials."""
        self.noise = 0.0
        """Noise of these measurements: by which share the second fastest process of a graph was
        slower than the fastest."""
        self.sensitivity: Mapping[str, float] = {}
        """Product -> root mean square of the logit shift if only this product is quantized; empty
        unless fallbacks were needed."""

    def rounds(self, model: Graphs) -> Iterator[Sequence[Proposal]]:
        """Yields all candidates in one round."""
        ways = self.ways
        if model.products == model.fused:  # no attention was fused: candidates may become equal
            ways = list(dict.fromkeys(replace(way, fused=False) for way in ways))
        with self.progress.bar("candidates", len(ways)) as bar:
            yield [self._proposal(way, model, bar) for way in ways]

    def fallbacks(self, model: Graphs) -> Iterator[Sequence[Proposal]]:
        """Yields variants of the first candidate, with more and more sensitive products in fp32."""
        usual = replace(self.ways[0], fused=self.ways[0].fused and model.products != model.fused)
        self.sensitivity = self._sensitivity(usual, model)
        most = len(self.sensitivity) // 2
        with self.progress.bar("products in fp32", most) as bar:
            for count in range(1, most + 1):
                kept = tuple(self.sensitivity)[:count]
                yield [self._proposal(replace(usual, keep=kept), model, bar)]

    def ordered(self, model: Graphs, allowed: Sequence[Trial]) -> Sequence[Trial]:
        """Measures the trials and returns them, best first."""
        files = [(model.fused, EngineName.ONNXRUNTIME)]
        files += [(self._file(trial.proposal.name), self.engine) for trial in allowed]
        timings = take_turns(files, model.texts, threads=self.threads, progress=self.progress)
        self.fp32_ms, self.noise = timings[0].latency_ms, noise_of(timings)
        timed = [
            replace(trial, latency_ms=timing.latency_ms, peak_bytes=timing.peak_bytes)
            for trial, timing in zip(allowed, timings[1:], strict=True)
        ]
        return by_objective(timed, self.objective, noise=self.noise)

    def baseline(self, model: Graphs) -> Baseline:
        """Returns the measurements of the fp32 graph."""
        size = model.fused.stat().st_size
        return Baseline(size, self.fp32_ms, self.noise, dict(self.sensitivity))

    def first(self, model: Graphs) -> Path:
        """Writes a model as the first candidate describes it, to compare others with it."""
        way = self.ways[0]
        return self._write(replace(way, fused=way.fused and model.products != model.fused), model)

    def _proposal(self, way: Candidate, model: Graphs, bar: Bar) -> Proposal:
        file = self._file(str(way))

        def judge() -> Answers:
            bar.advance(note=str(way))
            self._write(way, model)
            return Answers(answers_of(file, model.texts, self.engine), file.stat().st_size)

        def make(folder: Path) -> Path:
            return file.replace(folder / file.name)

        title = f"quantized ({way.scheme}) against fp32"
        return Proposal(str(way), make, judge, settings=asdict(way), title=title)

    def _file(self, name: str) -> Path:
        return self.folder / f"{re.sub(r'[^a-z0-9]+', '-', name)}.onnx"

    def _write(self, way: Candidate, model: Graphs) -> Path:
        source = onnx.load(model.form(fused=way.fused))
        inputs = [value.name for value in source.graph.input]
        texts = [tokens.as_batch().select(inputs) for tokens in model.calibration]
        try:
            write(way, source, self._file(str(way)), texts=texts)
        except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
            raise ExportError(
                f"The graph runs, but onnx {onnx.__version__} cannot quantize it ({way}): {error}",
                hint="It is not as edgeadapt writes it. Export the model again.",
            ) from None
        return self._file(str(way))

    def _sensitivity(self, way: Candidate, model: Graphs) -> dict[str, float]:
        """Returns each product's logit shift if only that product is quantized, largest first."""
        names = [product.node for product in products(onnx.load(model.form(fused=way.fused)))]
        texts = [model.texts[row] for row in spread(model.texts, SENSITIVITY_TEXTS)]
        before = answers_of(model.form(fused=way.fused), texts)
        shifts = {}
        with self.progress.bar("sensitivity", len(names)) as bar:
            for name in names:
                bar.advance(note=name)
                others = tuple(other for other in names if other != name)
                file = self._write(replace(way, keep=others, embedding_bits=32), model)
                shifts[name] = rms_shift(before, answers_of(file, texts, self.engine))
                file.unlink()
        return dict(sorted(shifts.items(), key=lambda pair: -pair[1]))


def answers_of(
    model: Path, texts: Sequence[Tokens], engine: EngineName = EngineName.ONNXRUNTIME
) -> Logits:
    """Runs an ONNX file, one text at a time, and returns logits of shape ``(texts, labels)``."""
    runs = ENGINES[engine]()(model)
    return np.concatenate([runs.run(tokens.as_batch()) for tokens in texts])
