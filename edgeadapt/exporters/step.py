"""Lowering to ONNX as a step of the chain: exact, and proven by a parity gate."""

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
    """What they were made of."""
    exporter: Exporter
    """The one that was used; never ``auto``."""
    passes: tuple[GraphPass, ...]
    """Exact rewritings of the fused form."""
    parity: Parity
    """The fused form against torch."""


@dataclass(frozen=True, kw_only=True)
class Lower:
    """The step: one proposal, which costs nothing."""

    gate: ParityGate
    """Real texts; it takes the tokenizer of the model at hand."""
    exporter: Exporter
    passes: tuple[GraphPass, ...]
    pairs: bool
    """Whether the model takes pairs of texts."""
    with_products: bool
    """Write the form with attention as products too, which quantization may want."""
    judging: Sequence[Text] = ()
    """Texts that later steps are judged by."""
    calibration: Sequence[Text] = ()
    """Texts that later steps take fixed scales from."""

    name: ClassVar[str] = "onnx"
    candidates: ClassVar[str] = "graphs"
    remedy: ClassVar[str] = ""

    def rounds(self, model: TextModel) -> Iterator[Sequence[Proposal]]:
        """Yields the one graph there is."""
        yield [Proposal("ONNX fp32", lambda folder: self.lowered(model, folder))]

    def fallbacks(self, model: TextModel) -> Sequence[Sequence[Proposal]]:
        """Returns nothing."""
        return ()

    def ordered(self, model: TextModel, allowed: Sequence[Trial]) -> Sequence[Trial]:
        """Returns the one there is."""
        return allowed

    def baseline(self, model: TextModel) -> Baseline:
        """Returns nothing: what is exact is not compared."""
        return Baseline()

    def lowered(self, model: TextModel, folder: Path) -> Lowered:
        """Writes the graphs of a model into a folder.

        Raises:
            GateError: ONNX Runtime answers otherwise than torch.
            MissingExtraError: The exporter is not installed.
            ExportError: The model cannot be expressed.
        """
        passes, fused = self._passes(model), folder / "model.onnx"
        gate = replace(self.gate, encoder=model.encoder)
        before = gate.of_model(model.merged.model)  # nothing that exports it can change it now
        used = lower(model.merged, fused, exporter=self.exporter, passes=passes, pairs=self.pairs)
        after = gate.of_engine(OnnxRuntimeEngine(fused))
        parity = gate.compare("ONNX fp32 against torch", before, after, limit=ONNX_LIMIT)
        parity.check()
        products = fused
        if self.with_products and count_attention(onnx.load(fused)):
            products = folder / "products.onnx"
            others = tuple(each for each in passes if each is not GraphPass.ATTENTION)
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
        """Those asked for; rows that are shared are held once, whatever was asked for."""
        shared = [GraphPass.SHARED_ROWS] if model.shares_rows else []
        return tuple(dict.fromkeys([*self.passes, *shared]))
