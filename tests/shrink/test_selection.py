"""Selection: what matters most for what it costs is kept."""

import math
from functools import partial

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeadapt.shrink.importance import Importance
from edgeadapt.shrink.selection import BLOCK, Prices, select, structure_with
from edgeadapt.store.structure import Structure
from tests.shrink.small import HEADS, NEURONS, costs

LAYERS = 3
FULL = Structure((HEADS,) * LAYERS, (NEURONS,) * LAYERS)
EQUAL = Prices((1.0,) * LAYERS, (0.05,) * LAYERS, (0.0,) * LAYERS, (0.0,) * LAYERS)


def importance(seed: int = 0) -> Importance:
    drawn = torch.Generator().manual_seed(seed)
    return Importance(
        tuple(torch.rand(HEADS, generator=drawn) for _ in range(LAYERS)),
        tuple(torch.rand(NEURONS, generator=drawn) / 20 for _ in range(LAYERS)),
        first_position=True,
    )


def cost(structure: Structure) -> float:
    return sum(structure.heads) + 0.05 * sum(structure.neurons)


def is_below(structure: Structure, *, most: float) -> bool:
    return cost(structure) <= most


def test_nothing_is_removed_where_everything_fits() -> None:
    kept = select(importance(), EQUAL, fits=lambda _: True)

    assert structure_with(importance(), kept) == FULL
    assert [list(widths.heads or ()) for widths in kept] == [list(range(HEADS))] * LAYERS


def test_where_nothing_fits_the_most_important_head_is_left() -> None:
    parts = importance()
    kept = select(parts, EQUAL, fits=lambda structure: cost(structure) <= 0)

    left = structure_with(parts, kept)
    assert (sum(left.heads), sum(left.neurons)) == (1, 0)
    layer = left.heads.index(1)
    assert float(parts.heads[layer][(kept[layer].heads or [0])[0]]) == max(
        float(heads.max()) for heads in parts.heads
    )


@given(seed=st.integers(0, 1_000), share=st.floats(0.05, 1.0))
@settings(max_examples=50, deadline=None)
def test_what_is_kept_fits_and_is_worth_more_than_what_goes(seed: int, share: float) -> None:
    parts, most = importance(seed), share * cost(FULL)

    kept = select(parts, EQUAL, fits=lambda structure: cost(structure) <= most)

    assert cost(structure_with(parts, kept)) <= most
    values: dict[bool, list[float]] = {True: [math.inf], False: [-math.inf]}
    for layer, widths in enumerate(kept):
        for head in range(HEADS):
            values[head in (widths.heads or ())].append(float(parts.heads[layer][head]))
    assert min(values[True]) >= max(values[False])


@given(seed=st.integers(0, 1_000), shares=st.tuples(st.floats(0.05, 1.0), st.floats(0.05, 1.0)))
@settings(max_examples=30, deadline=None)
def test_what_is_kept_of_a_smaller_model_is_kept_of_a_larger_one(
    seed: int, shares: tuple[float, float]
) -> None:
    parts = importance(seed)
    limits = [share * cost(FULL) for share in sorted(shares)]
    small, large = (select(parts, EQUAL, fits=partial(is_below, most=limit)) for limit in limits)

    for fewer, more in zip(small, large, strict=True):
        assert set(fewer.heads or ()) <= set(more.heads or ())
        assert set(fewer.neurons or ()) <= set(more.neurons or ())


def test_neurons_go_in_blocks_the_least_important_first() -> None:
    parts = importance()
    kept = select(parts, EQUAL, fits=lambda s: sum(s.neurons) <= NEURONS * LAYERS - 1, heads=False)

    assert sum(len(widths.neurons or ()) for widths in kept) == NEURONS * LAYERS - BLOCK
    layer = next(n for n, widths in enumerate(kept) if len(widths.neurons or ()) < NEURONS)
    gone = set(range(NEURONS)) - set(kept[layer].neurons or ())
    least = parts.neurons[layer].argsort()[:BLOCK].tolist()
    assert gone == set(least)


def test_where_heads_cannot_be_removed_all_stay() -> None:
    kept = select(importance(), EQUAL, fits=lambda s: sum(s.neurons) <= 40, heads=False)

    assert [widths.heads for widths in kept] == [None] * LAYERS


def test_what_costs_more_has_to_matter_more() -> None:
    dear = Prices((1.0, 100.0, 1.0), (0.05,) * 3, (0.0,) * 3, (0.0,) * 3)

    kept = select(importance(), dear, fits=lambda s: sum(s.heads) <= 2 * HEADS)

    assert not kept[1].heads


def test_a_sublayer_worth_less_than_its_fixed_cost_is_dropped_whole() -> None:
    parts = importance()
    fixed = Prices((1.0,) * 3, (0.05,) * 3, (0.0, 1_000.0, 0.0), (0.0,) * 3)

    kept = select(parts, fixed, fits=lambda s: sum(s.heads) <= 3 * HEADS - 1)

    assert kept[1].heads == []


def test_prices_of_latency_are_lines_through_the_measured_costs() -> None:
    prices = Prices.of_latency(costs(attention_ms=0.3, ffn_ms=0.2), FULL)

    torch.testing.assert_close(prices.head, (1.0, 1.0, 0.1))
    torch.testing.assert_close(prices.neuron, (0.05, 0.05, 0.005))
    torch.testing.assert_close(prices.attention[:2], (0.3, 0.3))
    torch.testing.assert_close(prices.ffn[:2], (0.2, 0.2))


def test_prices_of_size_are_numbers_of_weights() -> None:
    prices = Prices.of_weights(costs(), FULL)

    assert prices.head == (256.0,) * LAYERS
    assert prices.neuron == (32.0,) * LAYERS
