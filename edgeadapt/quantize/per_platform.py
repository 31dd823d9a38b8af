"""The candidates to try, by scheme and platform."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType

from edgeadapt.quantize.candidate import Candidate
from edgeadapt.recipe import Calibration, Objective, Platform, Scheme

__all__ = ["candidates", "default_weight_bits"]

_SEVEN_BITS = frozenset({Platform.X86_AVX2, Platform.PORTABLE})
"""Platforms whose int8 products may overflow 16 bits, and ``portable``, which includes these."""


def _dynamic(scheme: Scheme) -> Iterable[Candidate]:
    usual = Candidate(scheme)
    yield usual
    yield replace(usual, fused=False)
    yield replace(usual, per_channel=False)
    yield replace(usual, embedding_bits=32)


def _static(scheme: Scheme) -> Iterable[Candidate]:
    for calibration in Calibration:
        yield Candidate(scheme, fused=False, calibration=calibration)


def _int8_weights(scheme: Scheme) -> Iterable[Candidate]:
    usual = Candidate(scheme, fused=False)
    yield usual
    yield replace(usual, block_size=128)
    yield replace(usual, int8_compute=False)


def _int4_weights(scheme: Scheme) -> Iterable[Candidate]:
    usual = Candidate(scheme, fused=False)
    yield usual
    yield replace(usual, int8_compute=False)
    yield replace(usual, embedding_bits=4)
    yield replace(usual, embedding_bits=4, block_size=128)


_BY_SCHEME: Mapping[Scheme, Callable[[Scheme], Iterable[Candidate]]] = MappingProxyType(
    {
        Scheme.DYNAMIC_INT8: _dynamic,
        Scheme.STATIC_INT8: _static,
        Scheme.INT8_WEIGHTS: _int8_weights,
        Scheme.INT4_WEIGHTS: _int4_weights,
    }
)


def candidates(
    schemes: Iterable[Scheme], platform: Platform, objective: Objective = Objective.LATENCY
) -> list[Candidate]:
    """Returns the candidates to try, each scheme's default first.

    4-bit embeddings reduce size only, not latency. For most schemes they are tried only if size is
    the objective.

    For the portable platform, weight-only schemes compute in float32. Rounding activations would
    occasionally turn differences in the last digits of float32, which vary between CPUs, into
    another quantized value.

    Args:
        schemes: The schemes, in order of preference.
        platform: The platform that will run the model; never ``auto``.
        objective: What to optimize.
    """
    seven, portable = platform in _SEVEN_BITS, platform is Platform.PORTABLE
    tried = [candidate for scheme in schemes for candidate in _BY_SCHEME[scheme](scheme)]
    if objective is Objective.SIZE:
        tried += [replace(way, embedding_bits=4) for way in tried if way.embedding_bits == 8]
    adapted = [
        replace(
            candidate,
            reduce_range=seven,
            int8_compute=candidate.int8_compute and not (portable and candidate.weights_alone),
        )
        for candidate in tried
    ]
    return list(dict.fromkeys(adapted))


def default_weight_bits(platform: Platform) -> int:
    """Returns the bits of the weights in the default candidate, which training simulates."""
    usual, *_ = candidates([Scheme.DYNAMIC_INT8], platform)
    return 7 if usual.reduce_range else 8
