"""Lowering to ONNX as a step of the compression chain: exact, and checked by a parity gate."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import onnx

from edgeadapt.compress.step import Proposal, Trial
from edgeadapt.exporters.lowering import lower
from edgeadapt.graph.attention import count_attention
from edgeadapt.graph.lowered import Graphs
from edgeadapt.metrics import Parity
from edgeadapt.models.parity import ONNX_LIMIT, ParityGate
from edgeadapt.models.text_model import TextModel
from edgeadapt.recipe import Exporter, GraphPass
from edgeadapt.runtime.onnxruntime_engine import OnnxRuntimeEngine
from edgeadapt.store.compression import Baseline
from edgeadapt.text import Text

__all__ = ["Lower", "Lowered"]


@dataclass(frozen=True, kw_only=True)
class Lowered(Graphs):
    """The graphs of a model, and how they were made."""

    model: TextModel
    """The model that was lowered."""
    exporter: Exporter
    """The exporter that was used; never ``auto``."""
    passes: tuple[GraphPass, ...]
    """The exact passes that were applied to the fused form."""
    parity: Parity
    """The fused form compared with torch."""


@dataclass(frozen=True, kw_only=True)
class Lower:
    """The step. It has one proposal, which is exact and so uses none of the accuracy budget."""

    gate: ParityGate
    """The parity gate's texts; its tokenizer is replaced by that of the model to lower."""
    exporter: Exporter
    passes: tuple[GraphPass, ...]
    pairs: bool
    """Whether the model's input is pairs of texts."""
    with_products: bool
    """Whether to write the form with unfused attention too, which some schemes need."""
    judging: Sequence[Text] = ()
    """Validation texts, by which later steps are judged."""
    calibration: Sequence[Text] = ()
    """The calibration set of later steps."""

    name: ClassVar[str] = "onnx"
    candidates: ClassVar[str] = "graphs"
    remedy: ClassVar[str] = ""

    def rounds(self, model: TextModel) -> Iterator[Sequence[Proposal]]:
        """Yields the only proposal."""
        yield [Proposal("ONNX fp32", lambda folder: self.lowered(model, folder))]

    def fallbacks(self, model: TextModel) -> Sequence[Sequence[Proposal]]:
        """Returns no proposals."""
        return ()

    def ordered(self, model: TextModel, allowed: Sequence[Trial]) -> Sequence[Trial]:
        """Returns the only trial."""
        return allowed

    def baseline(self, model: TextModel) -> Baseline:
        """Returns an empty baseline: an exact step is not compared."""
        return Baseline()

    def lowered(self, model: TextModel, folder: Path) -> Lowered:
        """Writes the graphs of a model into a folder.

        Raises:
            GateError: The logits of ONNX Runtime differ from those of torch.
            MissingExtraError: The exporter is not installed.
            ExportError: The model cannot be exported.
        """
        passes, fused = self._passes(model), folder / "model.onnx"
        gate = replace(self.gate, encoder=model.encoder)
        # Computed before the export, which might change the model.
        before = gate.of_model(model.merged.model)
        used = lower(model.merged, fused, exporter=self.exporter, passes=passes, pairs=self.pairs)
        after = gate.of_engine(OnnxRuntimeEngine(fused))
        parity = gate.compare("ONNX fp32 against torch", before, after, limit=ONNX_LIMIT)
        parity.check()
        products = fused
        if self.with_products and count_attention(onnx.load(fused)):
            products = folder / "products.onnx"
            others = tuple(name for name in passes if name is not GraphPass.ATTENTION)
            lower(model.merged, products, exporter=used, passes=others, pairs=self.pairs)
        return Lowered(
            fused,
            products,
            model.encoder.encode(self.judging),
            model.encoder.encode(self.calibration),
            model=model,
            exporter=used,
            passes=passes,
            parity=parity,
        )

    def _passes(self, model: TextModel) -> tuple[GraphPass, ...]:
        """Returns the configured passes, and the one that stores shared rows once, if needed."""
        shared = [GraphPass.SHARED_ROWS] if model.shares_rows else []
        return tuple(dict.fromkeys([*self.passes, *shared]))
