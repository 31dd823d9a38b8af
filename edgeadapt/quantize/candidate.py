"""One way to quantize a graph, as a value; and writing it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType

import onnx

from edgeadapt.quantize.blocks import quantize_blocks
from edgeadapt.quantize.calibration import Inputs
from edgeadapt.quantize.dynamic_int8 import quantize_dynamic_int8
from edgeadapt.quantize.embeddings import quantize_embeddings
from edgeadapt.quantize.static_int8 import quantize_static
from edgeadapt.recipe import Calibration, Scheme

__all__ = ["Candidate", "write"]


@dataclass(frozen=True)
class Candidate:
    """How to quantize; what a scheme has no use for is left at its default."""

    scheme: Scheme
    fused: bool = True
    """Attention as one node; schemes that know no such node take it as products."""
    per_channel: bool = True
    """A scale for each output channel of a weight."""
    reduce_range: bool = False
    """Seven bits for weights, which no CPU's int8 products overflow with."""
    calibration: Calibration = Calibration.MIN_MAX
    """How ``static-int8`` fixes ranges."""
    block_size: int = 32
    """Weights that share a scale in ``int8-weights`` and ``int4-weights``."""
    int8_compute: bool = True
    """Whether these multiply in int8."""
    embedding_bits: int = 8
    """Of each embedding: 32, 8 or 4."""
    keep: tuple[str, ...] = ()
    """Nodes that stay float32."""

    @property
    def weights_alone(self) -> bool:
        """Whether nothing but weights has to be rounded."""
        return self.scheme in _WEIGHTS_ALONE

    def __str__(self) -> str:
        if self.weights_alone:
            compute = "int8" if self.int8_compute else "fp32"
            words = {f"blocks of {self.block_size}": True, f"{compute} compute": True}
        else:
            words = {
                "per channel" if self.per_channel else "per tensor": True,
                "7-bit weights": self.reduce_range,
                str(self.calibration): self.scheme is Scheme.STATIC_INT8,
                "attention as products": self.scheme is Scheme.DYNAMIC_INT8 and not self.fused,
            }
        words[f"{self.embedding_bits}-bit embeddings"] = self.embedding_bits != 8
        words[f"{len(self.keep)} products in fp32"] = bool(self.keep)
        return ", ".join([str(self.scheme), *(word for word, holds in words.items() if holds)])

    def to_dict(self) -> dict[str, object]:
        """Returns plain values for JSON."""
        return asdict(self)


def write(
    candidate: Candidate, source: onnx.ModelProto, target: Path, *, texts: Sequence[Inputs]
) -> None:
    """Writes a quantized copy of a graph.

    Args:
        candidate: How.
        source: The fp32 graph, with attention as the candidate wants it.
        target: The file to write.
        texts: Inputs of the graph to calibrate with; only ``static-int8`` needs any.
    """
    model = _SCHEMES[candidate.scheme](candidate, source, texts)
    if candidate.embedding_bits < 32:
        model = quantize_embeddings(model, bits=candidate.embedding_bits)
    onnx.save(model, target)


def _dynamic(how: Candidate, model: onnx.ModelProto, _: Sequence[Inputs]) -> onnx.ModelProto:
    return quantize_dynamic_int8(
        model, per_channel=how.per_channel, reduce_range=how.reduce_range, keep=how.keep
    )


def _static(how: Candidate, model: onnx.ModelProto, texts: Sequence[Inputs]) -> onnx.ModelProto:
    return quantize_static(
        model,
        texts,
        calibration=how.calibration,
        per_channel=how.per_channel,
        reduce_range=how.reduce_range,
        keep=how.keep,
    )


def _blocks(bits: int) -> Callable[..., onnx.ModelProto]:
    def quantize(how: Candidate, model: onnx.ModelProto, _: Sequence[Inputs]) -> onnx.ModelProto:
        return quantize_blocks(
            model,
            bits=bits,
            block_size=how.block_size,
            int8_compute=how.int8_compute,
            keep=how.keep,
        )

    return quantize


_WEIGHTS_ALONE = frozenset({Scheme.INT8_WEIGHTS, Scheme.INT4_WEIGHTS})
_SCHEMES: Mapping[Scheme, Callable[..., onnx.ModelProto]] = MappingProxyType(
    {
        Scheme.DYNAMIC_INT8: _dynamic,
        Scheme.STATIC_INT8: _static,
        Scheme.INT8_WEIGHTS: _blocks(8),
        Scheme.INT4_WEIGHTS: _blocks(4),
    }
)
