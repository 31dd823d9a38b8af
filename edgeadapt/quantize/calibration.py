"""Calibrate ranges of activations on real texts, for static quantization.

Two passes over the texts, one text at a time: the first finds the smallest and largest values, the
second counts histograms between them. Memory does not grow with the number of texts.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from types import MappingProxyType

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from edgeadapt.recipe import Calibration

__all__ = ["Ranges", "activation_ranges"]

Ranges = Mapping[str, tuple[float, float]]
"""Tensor -> the smallest and largest value that can be represented; the range contains 0."""
Inputs = Mapping[str, NDArray[np.int64]]

_BINS = 2048
_LEVELS = 256
_PERCENTILE = 99.99
"""Percentage of all values that percentile calibration keeps within the range."""
_SHARES = np.linspace(0.05, 1, 96)
"""Shares of the observed range, on either side of 0, that entropy calibration tries."""


def activation_ranges(
    model: onnx.ModelProto,
    tensors: Collection[str],
    texts: Sequence[Inputs],
    *,
    method: Calibration,
) -> Ranges:
    """Returns a range for each float tensor.

    Args:
        model: The fp32 graph.
        tensors: Names of the tensors.
        texts: The calibration set: the graph's inputs for each text.
        method: How to compute ranges from the observed values.

    Raises:
        ValueError: There are no texts.
    """
    if not texts:
        raise ValueError("expected at least one text to calibrate with, found none")
    session = _session_with(model, tensors)
    names = sorted(tensors)
    low, high = np.zeros(len(names)), np.zeros(len(names))
    for text in texts:
        activations = session.run(names, dict(text))
        low = np.minimum(low, [values.min() for values in activations])
        high = np.maximum(high, [values.max() for values in activations])
    high = np.where(high > low, high, low + 1)
    ends = [(float(first), float(last)) for first, last in zip(low, high, strict=True)]
    clip = _CLIPS[method]
    if clip is not None:
        counts = np.zeros((len(names), _BINS), np.int64)
        for text in texts:
            for row, values in enumerate(session.run(names, dict(text))):
                counts[row] += np.histogram(values, _BINS, ends[row])[0]
        ends = [clip(count, *seen) for count, seen in zip(counts, ends, strict=True)]
    return dict(zip(names, ends, strict=True))


def _session_with(model: onnx.ModelProto, tensors: Collection[str]) -> onnxruntime.InferenceSession:
    """Returns a session that has the given inner tensors as additional outputs."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    given = {value.name for value in copy.graph.output}
    copy.graph.output.extend(
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
        for name in sorted(set(tensors) - given)
    )
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(
        copy.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def _percentile(counts: NDArray[np.int64], low: float, high: float) -> tuple[float, float]:
    """Clips the same share of all values at either end."""
    edges = np.linspace(low, high, _BINS + 1)
    below = np.cumsum(counts) / counts.sum()
    tail = (1 - _PERCENTILE / 100) / 2
    first, last = np.searchsorted(below, [tail, 1 - tail])
    return min(0.0, float(edges[first])), max(0.0, float(edges[min(last + 1, _BINS)]))


def _entropy(counts: NDArray[np.int64], low: float, high: float) -> tuple[float, float]:
    """Clips each end where 256 levels represent the distribution of values best.

    Source: Migacz 2017, 8-bit Inference with TensorRT (GTC 2017), extended to asymmetric ranges.
    """
    edges = np.linspace(low, high, _BINS + 1)
    centres = (edges[:-1] + edges[1:]) / 2
    high = min(high * _SHARES, key=lambda end: _divergence(counts, centres, low, end))
    low = min(low * _SHARES, key=lambda end: _divergence(counts, centres, end, high))
    return float(low), float(high)


def _divergence(
    counts: NDArray[np.int64], centres: NDArray[np.float64], low: float, high: float
) -> float:
    """Returns the Kullback-Leibler divergence of the quantized from the clipped distribution."""
    inside = (centres >= low) & (centres <= high)
    cut = counts[inside].astype(np.float64)
    if not cut.any():
        return np.inf
    occupied = cut > 0
    # Values beyond an end are counted at that end, where quantization clips them to.
    cut[0] += counts[centres < low].sum()
    cut[-1] += counts[centres > high].sum()
    level = ((centres[inside] - low) / (high - low) * (_LEVELS - 1)).round().astype(int)
    within = np.bincount(level, weights=np.where(occupied, counts[inside], 0), minlength=_LEVELS)
    bins = np.bincount(level, weights=occupied, minlength=_LEVELS)
    quantized = np.where(occupied, within[level] / np.maximum(bins[level], 1), 0)
    p, q = cut / cut.sum(), quantized / quantized.sum()
    both = (p > 0) & (q > 0)
    lost = p[(p > 0) & (q == 0)].sum()  # clipped values in a bin that is otherwise empty
    return float((p[both] * np.log(p[both] / q[both])).sum() + lost * np.log(_BINS))


_CLIPS: Mapping[
    Calibration, Callable[[NDArray[np.int64], float, float], tuple[float, float]] | None
] = MappingProxyType(
    {
        Calibration.MIN_MAX: None,
        Calibration.PERCENTILE: _percentile,
        Calibration.ENTROPY: _entropy,
    }
)
