"""Ranges of activations over real texts, for scales that are fixed ahead.

Two passes over the texts, one text at a time: the first finds smallest and largest values, the
second counts histograms within them. So memory does not grow with the number of texts.
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
"""Tensor -> smallest and largest value that its levels reach, with 0 between them."""
Inputs = Mapping[str, NDArray[np.int64]]

_BINS = 2048
_LEVELS = 256
_PERCENTILE = 99.99
"""Share of all values, in percent, that percentile calibration keeps."""
_SHARES = np.linspace(0.05, 1, 96)
"""Shares of the whole range, to either side, that entropy calibration tries."""


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
        tensors: Their names.
        texts: The graph's inputs for each text.
        method: How ranges follow from what was seen.

    Raises:
        ValueError: There are no texts.
    """
    if not texts:
        raise ValueError("expected at least one text to calibrate with, found none")
    session = _session_with(model, tensors)
    names = sorted(tensors)
    low, high = np.zeros(len(names)), np.zeros(len(names))
    for text in texts:
        found = session.run(names, dict(text))
        low = np.minimum(low, [values.min() for values in found])
        high = np.maximum(high, [values.max() for values in found])
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
    """A session that gives inner tensors too."""
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
    """Cuts the same share of all values off at either end."""
    edges = np.linspace(low, high, _BINS + 1)
    below = np.cumsum(counts) / counts.sum()
    tail = (1 - _PERCENTILE / 100) / 2
    first, last = np.searchsorted(below, [tail, 1 - tail])
    return min(0.0, float(edges[first])), max(0.0, float(edges[min(last + 1, _BINS)]))


def _entropy(counts: NDArray[np.int64], low: float, high: float) -> tuple[float, float]:
    """Cuts each end to where 256 levels tell most of the values' distribution.

    Source: Migacz 2017, 8-bit Inference with TensorRT (GTC 2017), for ranges on both sides of 0.
    """
    edges = np.linspace(low, high, _BINS + 1)
    centres = (edges[:-1] + edges[1:]) / 2
    high = min(high * _SHARES, key=lambda end: _divergence(counts, centres, low, end))
    low = min(low * _SHARES, key=lambda end: _divergence(counts, centres, end, high))
    return float(low), float(high)


def _divergence(
    counts: NDArray[np.int64], centres: NDArray[np.float64], low: float, high: float
) -> float:
    """Kullback-Leibler divergence of the levels' distribution from the cut values' own."""
    inside = (centres >= low) & (centres <= high)
    cut = counts[inside].astype(np.float64)
    if not cut.any():
        return np.inf
    known = cut > 0
    # What is beyond an end is counted there, as quantization moves it there.
    cut[0] += counts[centres < low].sum()
    cut[-1] += counts[centres > high].sum()
    level = ((centres[inside] - low) / (high - low) * (_LEVELS - 1)).round().astype(int)
    within = np.bincount(level, weights=np.where(known, counts[inside], 0), minlength=_LEVELS)
    bins = np.bincount(level, weights=known, minlength=_LEVELS)
    told = np.where(known, within[level] / np.maximum(bins[level], 1), 0)
    p, q = cut / cut.sum(), told / told.sum()
    both = (p > 0) & (q > 0)
    lost = p[(p > 0) & (q == 0)].sum()  # values at an end that no level stands for
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
