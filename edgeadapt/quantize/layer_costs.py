"""What encoder layers cost in the form in which the exported model will run."""

from pathlib import Path

import onnx

from edgeadapt.compress.costs import LayerCosts, measure_costs
from edgeadapt.graph.layer_stack import EncoderShape
from edgeadapt.progress import SILENT, Progress
from edgeadapt.quantize.candidate import write
from edgeadapt.quantize.options import Quantization
from edgeadapt.recipe import Scheme
from edgeadapt.store.structure import Structure

__all__ = ["SPEED_TOKENS", "layer_costs"]

SPEED_TOKENS = 64
"""Length of text at which speeds are predicted and compared."""


def layer_costs(
    asked: Quantization | None,
    shape: EncoderShape,
    full: Structure,
    *,
    max_length: int,
    threads: int,
    progress: Progress = SILENT,
) -> LayerCosts:
    """Measures what layers cost; see ``measure_costs``.

    Static quantization is measured as dynamic one, since it would need inputs of every layer: the
    costs of the parts relative to each other, which matter, are similar.

    Args:
        asked: How the model will be quantized; ``None`` if it stays fp32.
        shape: The widths that all layers share.
        full: The structure of the unpruned model.
        max_length: The longest input in tokens; where it is below ``SPEED_TOKENS``, it is measured.
        threads: CPU threads.
        progress: Receives the progress bar.
    """

    def save(model: onnx.ModelProto, file: Path) -> None:
        if asked is None:
            onnx.save(model, file)
            return
        ways = [way for way in asked.ways() if way.scheme is not Scheme.STATIC_INT8 and way.fused]
        way = next(iter(ways), Quantization(platform=asked.platform).ways()[0])
        write(way, model, file, texts=())

    return measure_costs(
        shape, full, save, tokens=min(SPEED_TOKENS, max_length), threads=threads, progress=progress
    )
