"""Formats of figures, for all documents."""

import pytest

from edgeadapt.documents.cells import (
    NOT_MEASURED,
    Cell,
    Column,
    count,
    fixed,
    growth,
    milliseconds,
    points,
    share,
    text,
    times,
    used,
)
from edgeadapt.measure.statistics import Latency
from edgeadapt.metrics import Difference


@pytest.mark.parametrize(
    ("cell", "shown"),
    [
        (share(0.8852), "88.5%"),
        (share(0.8852, (0.87, 0.9)), "88.5% ±1.5"),
        (share(1.0), "100.0%"),
        (times(3.126), "3.13×"),
        (growth(0.5), "+50.0%"),
        (growth(-0.004), "-0.4%"),
        (fixed(1)(1234.56), "1,234.6"),
        (fixed(0)(214.9), "215"),
        (count(1821.4), "1,821"),
        (text("int8"), "int8"),
    ],
)
def test_a_figure_is_written_in_one_way(cell: Cell, shown: str) -> None:
    assert cell.text == shown


def test_a_difference_is_written_in_points_with_its_p_value() -> None:
    found = points(Difference(points=-0.013, interval=(-0.02, 0.0), won=1, lost=6, p_value=0.12))

    assert (found.text, found.details) == ("-1.3", ("p 0.12",))


@pytest.mark.parametrize(
    ("latency", "ratio", "details"),
    [
        (Latency(2.0, None, 10), None, ("p90 insufficient",)),
        (Latency(2.0, 2.5, 70, p50_interval=(1.9, 2.1)), 3.0, ("±5%", "p90 2.50", "3.00×")),
        (Latency(2.0, 2.5, 700, p99=4.0), None, ("p90 2.50", "p99 4.00")),
    ],
)
def test_a_latency_is_its_p50_and_the_rest_are_details(
    latency: Latency, ratio: float | None, details: tuple[str, ...]
) -> None:
    found = milliseconds(latency, ratio)

    assert (found.text, found.details, found.value) == ("2.00", details, 2.0)


def test_a_row_without_a_figure_shows_that_it_has_none() -> None:
    column = Column[float | None].of("load", "s", fixed(2), lambda row: row)

    assert column.cell(None) == NOT_MEASURED
    assert column.cell(0.0) == Cell("0.00", value=0.0)
    assert column.heading == "load, s"


def test_columns_that_no_row_has_a_figure_for_are_left_out() -> None:
    column = Column[float | None].of("load", "s", fixed(2), lambda row: row)

    assert used([column], [None, 1.0]) == [column]
    assert used([column], [None, None]) == []
