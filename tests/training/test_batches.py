"""Batches of texts of similar length: every row once, little padding, shuffled by the seed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgeadapt.training.batches import bucketed, in_parts

pytestmark = pytest.mark.transformers5

LENGTHS = st.lists(st.integers(1, 128), max_size=300)
BATCH_SIZE = st.integers(1, 40)
SEED = st.integers(0, 2**32 - 1)


def batches_of(lengths: list[int], batch_size: int, seed: int = 0) -> list[NDArray[np.int64]]:
    return bucketed(lengths, batch_size, np.random.default_rng(seed))


def padding(lengths: list[int], batches: list[NDArray[np.int64]]) -> int:
    """Tokens that only fill a batch up to its longest text."""
    return sum(max(lengths[row] for row in rows) - lengths[own] for rows in batches for own in rows)


def in_order(lengths: list[int], batch_size: int) -> list[NDArray[np.int64]]:
    rows = np.arange(len(lengths))
    return [rows[start : start + batch_size] for start in range(0, len(rows), batch_size)]


@given(lengths=LENGTHS, batch_size=BATCH_SIZE, seed=SEED)
@settings(max_examples=50, deadline=None)
def test_every_row_comes_exactly_once(lengths: list[int], batch_size: int, seed: int) -> None:
    rows = [int(row) for batch in batches_of(lengths, batch_size, seed) for row in batch]

    assert sorted(rows) == list(range(len(lengths)))


@given(lengths=LENGTHS, batch_size=BATCH_SIZE, seed=SEED)
@settings(max_examples=50, deadline=None)
def test_only_one_batch_is_smaller_than_asked_for(
    lengths: list[int], batch_size: int, seed: int
) -> None:
    sizes = sorted(len(batch) for batch in batches_of(lengths, batch_size, seed))

    assert len(sizes) == -(-len(lengths) // batch_size)
    assert all(size == batch_size for size in sizes[1:])
    assert all(1 <= size <= batch_size for size in sizes[:1])


@given(lengths=LENGTHS, batch_size=BATCH_SIZE, seed=SEED)
@settings(max_examples=50, deadline=None)
def test_the_same_seed_gives_the_same_batches(
    lengths: list[int], batch_size: int, seed: int
) -> None:
    one, same = (batches_of(lengths, batch_size, seed) for _ in range(2))

    assert [batch.tolist() for batch in one] == [batch.tolist() for batch in same]


def test_every_epoch_and_every_seed_is_shuffled_anew() -> None:
    lengths, generator = [10] * 64, np.random.default_rng(0)

    epochs = [bucketed(lengths, 8, generator) for _ in range(2)]

    orders = [np.concatenate(b).tolist() for b in (*epochs, batches_of(lengths, 8, seed=1))]
    assert len({tuple(order) for order in orders}) == 3


@given(
    batch_size=st.integers(1, 12),
    count=st.integers(1, 32),
    seed=SEED,
    data=st.data(),
)
@settings(max_examples=50, deadline=None)
def test_within_a_pool_no_order_needs_less_padding(
    batch_size: int, count: int, seed: int, data: st.DataObject
) -> None:
    rows = batch_size * count
    lengths = data.draw(st.lists(st.integers(1, 128), min_size=rows, max_size=rows))

    found = padding(lengths, batches_of(lengths, batch_size, seed))

    assert found <= padding(lengths, in_order(lengths, batch_size))


def test_over_many_pools_most_padding_is_saved() -> None:
    lengths = np.random.default_rng(0).integers(3, 128, 3_001).tolist()

    found = padding(lengths, batches_of(lengths, 16))

    assert found < 0.1 * padding(lengths, in_order(lengths, 16))


def test_batches_do_not_run_from_short_to_long() -> None:
    lengths = list(range(1, 321))

    longest = [max(lengths[row] for row in batch) for batch in batches_of(lengths, 16)]

    assert longest != sorted(longest)
    assert longest != sorted(longest, reverse=True)


def test_no_rows_make_no_batches() -> None:
    assert batches_of([], 4) == []


@given(
    lengths=st.lists(st.integers(1, 128), min_size=1, max_size=60),
    tokens=st.integers(1, 600),
    data=st.data(),
)
@settings(max_examples=50, deadline=None)
def test_parts_hold_every_row_once_and_no_more_tokens_than_allowed(
    lengths: list[int], tokens: int, data: st.DataObject
) -> None:
    rows = np.asarray(data.draw(st.permutations(range(len(lengths)))))

    parts = in_parts(rows, lengths, tokens)

    assert sorted(np.concatenate(parts)) == sorted(rows)
    for part in parts:
        assert len(part) == 1 or len(part) * max(lengths[row] for row in part) <= tokens
