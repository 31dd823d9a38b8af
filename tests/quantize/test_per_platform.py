"""Candidates: every scheme and platform, and their names."""

import pytest

from edgeadapt.quantize.candidate import Candidate
from edgeadapt.quantize.per_platform import candidates
from edgeadapt.recipe import Calibration, Objective, Platform, Scheme

PLATFORMS = [platform for platform in Platform if platform is not Platform.AUTO]


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("scheme", Scheme)
def test_every_scheme_is_tried_in_several_ways_on_every_platform(
    scheme: Scheme, platform: Platform
) -> None:
    found = candidates([scheme], platform)

    assert len(set(found)) == len(found) >= 2
    assert {each.scheme for each in found} == {scheme}
    assert len({str(each) for each in found}) == len(found)


@pytest.mark.parametrize("platform", PLATFORMS)
def test_seven_bits_are_for_where_eight_may_overflow(platform: Platform) -> None:
    found = {each.reduce_range for each in candidates(Scheme, platform)}

    assert found == {platform in (Platform.X86_AVX2, Platform.PORTABLE)}


@pytest.mark.parametrize("scheme", [Scheme.INT8_WEIGHTS, Scheme.INT4_WEIGHTS])
def test_portable_weights_are_multiplied_in_float32(scheme: Scheme) -> None:
    compute = {
        platform: {each.int8_compute for each in candidates([scheme], platform)}
        for platform in (Platform.PORTABLE, Platform.X86_VNNI)
    }

    assert compute == {Platform.PORTABLE: {False}, Platform.X86_VNNI: {True, False}}


@pytest.mark.parametrize("scheme", Scheme)
def test_embeddings_in_4_bits_are_for_size(scheme: Scheme) -> None:
    usual, smallest = (
        candidates([scheme], Platform.X86_VNNI, objective)
        for objective in (Objective.LATENCY, Objective.SIZE)
    )

    more = set(smallest) - set(usual)
    assert usual[0] == smallest[0]
    assert {each.embedding_bits for each in more} == {4}
    assert len(set(map(str, smallest))) == len(smallest)


def test_each_schemes_usual_way_comes_first_in_the_order_of_the_schemes() -> None:
    found = candidates([Scheme.STATIC_INT8, Scheme.DYNAMIC_INT8], Platform.X86_VNNI)

    assert [str(each) for each in found][:1] == ["static-int8, per channel, min-max"]
    assert Candidate(Scheme.DYNAMIC_INT8) in found


@pytest.mark.parametrize(
    ("candidate", "name"),
    [
        (Candidate(Scheme.DYNAMIC_INT8), "dynamic-int8, per channel"),
        (
            Candidate(Scheme.DYNAMIC_INT8, fused=False, per_channel=False, reduce_range=True),
            "dynamic-int8, per tensor, 7-bit weights, attention as products",
        ),
        (
            Candidate(Scheme.STATIC_INT8, fused=False, calibration=Calibration.ENTROPY),
            "static-int8, per channel, entropy",
        ),
        (
            Candidate(Scheme.INT4_WEIGHTS, fused=False, int8_compute=False, embedding_bits=4),
            "int4-weights, blocks of 32, fp32 compute, 4-bit embeddings",
        ),
        (
            Candidate(Scheme.DYNAMIC_INT8, keep=("a", "b")),
            "dynamic-int8, per channel, 2 products in fp32",
        ),
    ],
)
def test_a_candidates_name_says_how_it_differs(candidate: Candidate, name: str) -> None:
    assert str(candidate) == name
