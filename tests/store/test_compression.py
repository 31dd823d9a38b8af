"""The values of a compression report."""

import re

import pytest

from edgeadapt.errors import LayoutError
from edgeadapt.store.compression import Shrunk
from edgeadapt.store.structure import Structure
from edgeadapt.typed import from_json
from tests.store.handmade import as_json, make_compression, make_search, make_shrunk, make_step


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"after": {"heads": [1] * 4, "neurons": [1] * 4}}, "expected at most 3 layers"),
        ({"layers": [0]}, "layers: expected the numbers of 2 layers, ascending"),
        ({"layers": [1, 1]}, "layers: expected the numbers of 2 layers, ascending"),
        ({"layers": [0, 3]}, "from 0 to below 3, found [0, 3]"),
        ({"head_importance": [0.5]}, "head_importance: expected 2 values"),
        ({"neuron_importance": [0.5] * 3}, "neuron_importance: expected 2 values"),
    ],
)
def test_what_was_removed_of_other_layers_than_there_were_is_refused(
    changes: dict[str, object], message: str
) -> None:
    with pytest.raises(LayoutError, match=re.escape(message)):
        from_json(Shrunk, as_json(make_shrunk()) | changes, where="manifest.json")


def test_a_speed_that_was_not_measured_is_read_again() -> None:
    shrunk = make_shrunk(after=Structure((7, 3), (5, 0)), measured=None)

    assert from_json(Shrunk, as_json(shrunk), where="manifest.json") == shrunk


def test_the_part_about_the_structure_has_no_other_step() -> None:
    report = make_compression(make_search(), make_step(), shrunk=make_shrunk())

    part = report.of_structure

    assert part is not None
    assert part.steps == (make_search(),)
    assert part.shrunk == report.shrunk


def test_a_report_without_removal_has_no_part_about_the_structure() -> None:
    assert make_compression(make_step()).of_structure is None
