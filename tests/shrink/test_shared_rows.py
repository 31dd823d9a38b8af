"""Which pieces share an embedding; the others keep theirs."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from edgeadapt.shrink.shared_rows import Neighbours, use_rows
from tests.models.tiny import make_model


def table_of(rows: int, width: int = 4, seed: int = 0) -> torch.Tensor:
    return torch.randn(rows, width, generator=torch.Generator().manual_seed(seed))


@given(rows=st.integers(2, 40), most=st.integers(1, 40), seed=st.integers(0, 99))
def test_so_many_rows_stay_and_each_of_them_its_own(rows: int, most: int, seed: int) -> None:
    found = Neighbours.of(table_of(rows, seed=seed), torch.ones(rows), always={0}).rows(most)

    kept = torch.unique(found)
    assert len(kept) == min(rows, most)
    assert torch.equal(found[kept], kept)
    assert 0 in kept


@given(seed=st.integers(0, 99))
def test_others_take_the_row_with_the_largest_cosine(seed: int) -> None:
    table = table_of(30, seed=seed)

    found = Neighbours.of(table, torch.ones(30), always={0}).rows(10)

    kept = torch.unique(found)
    cosines = torch.cosine_similarity(table[:, None], table[kept][None], dim=-1)
    chosen = torch.cosine_similarity(table, table[found], dim=-1)
    torch.testing.assert_close(chosen, cosines.max(dim=1).values)


def test_what_is_common_keeps_its_row_unless_a_more_common_piece_has_nearly_the_same() -> None:
    directions = {
        "film": (1, 0, 0),
        "movie": (0.99, 0.14, 0),
        "soup": (0, 1, 0),
        "xyzzy": (0, 0, 1),
    }
    table = torch.tensor(list(directions.values()))

    rows = Neighbours.of(table, torch.tensor([100.0, 90.0, 10.0, 0.1]), always=set()).rows(2)

    assert rows[:3].tolist() == [0, 0, 2]


def test_what_has_to_stay_stays_even_if_it_is_more_than_is_asked_for() -> None:
    rows = Neighbours.of(table_of(9), torch.ones(9), always={3, 5, 7}).rows(1)

    assert torch.unique(rows).tolist() == [3, 5, 7]


def test_rows_that_are_equal_stay_where_they_are() -> None:
    table = table_of(3)
    table[2] = table[1]

    assert Neighbours.of(table, torch.ones(3), always={0, 1, 2}).rows(3).tolist() == [0, 1, 2]


def test_many_rows_are_compared_part_by_part() -> None:
    table = table_of(5_000, width=3)

    rows = Neighbours.of(table, torch.arange(5_000, 0, -1.0), always={4_999}).rows(50)

    assert len(torch.unique(rows)) == 50
    assert torch.cosine_similarity(table, table[rows], dim=-1).mean() > 0.9


def test_a_model_takes_the_rows_and_taking_them_twice_changes_nothing() -> None:
    model = make_model("bert")
    table = model.get_input_embeddings().weight
    before, rows = table.detach().clone(), torch.arange(len(table)) // 2 * 2

    use_rows(model, rows)
    once = table.detach().clone()
    use_rows(model, rows)

    assert torch.equal(once, before[rows])
    assert torch.equal(table, once)
