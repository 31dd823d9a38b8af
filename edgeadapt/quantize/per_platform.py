"""What the ladder tries, by scheme and platform."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType

from edgeadapt.quantize.candidate import Candidate
from edgeadapt.recipe import Calibration, Objective, Platform, Scheme

__all__ = ["candidates"]

_SEVEN_BITS = frozenset({Platform.X86_AVX2, Platform.PORTABLE})
"""Platforms whose int8 products may overflow 16 bits, and the one that may be any of them."""


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
    """Returns what to try, each scheme's usual way first.

    Embeddings in 4 bits make no product faster: they are tried where size is what counts.

    To be portable, schemes that round weights alone compute in float32: what rounds activations
    lets the last digits of float32, which differ between CPUs, decide now and then on a level.

    Args:
        schemes: In the order of preference.
        platform: What for; never ``auto``.
        objective: What the best is best at.
    """
    seven, portable = platform in _SEVEN_BITS, platform is Platform.PORTABLE
    tried = [each for scheme in schemes for each in _BY_SCHEME[scheme](scheme)]
    if objective is Objective.SIZE:
        tried += [replace(each, embedding_bits=4) for each in tried if each.embedding_bits == 8]
    found = [
        replace(
            candidate,
            reduce_range=seven,
            int8_compute=candidate.int8_compute and not (portable and candidate.weights_alone),
        )
        for candidate in tried
    ]
    return list(dict.fromkeys(found))
