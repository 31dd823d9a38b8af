"""Quantization candidates: the settings of one, and writing the graph that it describes."""

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
    """Settings of one quantized model. Settings that the scheme does not use keep their default."""

    scheme: Scheme
    fused: bool = True
    """Whether attention is one node; only ``dynamic-int8`` supports that."""
    per_channel: bool = True
    """Whether each output channel of a weight has its own scale."""
    reduce_range: bool = False
    """Whether weights have 7 bits, with which int8 products do not overflow on any CPU."""
    calibration: Calibration = Calibration.MIN_MAX
    """Method by which ``static-int8`` computes ranges."""
    block_size: int = 32
    """Number of weights that share a scale in ``int8-weights`` and ``int4-weights``."""
    int8_compute: bool = True
    """Whether these two schemes multiply in int8."""
    embedding_bits: int = 8
    """Bits per value of the embeddings: 32, 8 or 4."""
    keep: tuple[str, ...] = ()
    """Names of nodes that stay float32."""

    @property
    def weights_alone(self) -> bool:
        """Whether the scheme is weight-only: activations need not be quantized."""
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
        candidate: The settings.
        source: The fp32 graph, with attention fused or not, as ``candidate.fused`` says.
        target: The file to write.
        texts: The calibration set, as inputs of the graph; only ``static-int8`` needs one.
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
