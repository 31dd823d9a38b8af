"""What is said of removed layers, heads and neurons."""

import pytest

from edgeadapt.documents.structure import (
    LAYER,
    LAYERS,
    layers_of,
    removed,
    removed_note,
    speed_note,
)
from edgeadapt.store.structure import Structure
from tests.store.handmade import make_shrunk


def test_every_layer_of_the_uncompressed_model_has_a_row() -> None:
    rows = [
        [column.cell(layer).text for column in (LAYER, *LAYERS)]
        for layer in layers_of(make_shrunk())
    ]

    assert rows == [
        ["1", "7 of 12", "1,088 of 1,600", "75.0%", "40.0%"],
        ["2", "0 of 12", "224 of 1,600", "25.0%", "60.0%"],
        ["3", "removed", "removed", "–", "–"],
    ]


def test_a_layer_in_the_middle_that_was_removed_is_named_by_its_number() -> None:
    layers = layers_of(make_shrunk(layers=(0, 2)))

    assert [layer.heads for layer in layers] == [7, None, 0]
    assert [layer.number for layer in layers] == [1, 2, 3]


def test_layers_without_any_importance_have_a_share_of_none() -> None:
    layers = layers_of(make_shrunk(head_importance=(0.0, 0.0)))

    assert [layer.head_importance for layer in layers] == [0.0, 0.0, None]


def test_layers_that_share_weights_have_no_importance_of_their_own() -> None:
    shrunk = make_shrunk(
        after=Structure((12, 12), (1600, 1600)), head_importance=(), neuron_importance=()
    )

    rows = [[column.cell(layer).text for column in LAYERS] for layer in layers_of(shrunk)]

    assert rows == [["12 of 12", "1,600 of 1,600", "–", "–"]] * 2 + [
        ["removed", "removed", "–", "–"]
    ]


@pytest.mark.parametrize(
    ("heads", "neurons", "words"),
    [
        ((7, 0), (1088, 224), "1 of 3 layers, 29 of 36 attention heads and 3,488 of 4,800 FFN"),
        ((12, 12, 12), (1600, 1600, 1568), "32 of 4,800 FFN neurons"),
        ((12, 12, 11), (1600, 1600, 1568), "1 of 36 attention heads and 32 of 4,800 FFN neurons"),
        ((12, 12, 12), (1600, 1600, 1600), "nothing"),
    ],
)
def test_a_sentence_names_the_parts_that_were_removed_and_no_others(
    heads: tuple[int, ...], neurons: tuple[int, ...], words: str
) -> None:
    equal = (1.0,) * len(heads)
    shrunk = make_shrunk(
        after=Structure(heads, neurons), head_importance=equal, neuron_importance=equal
    )

    assert removed(shrunk).startswith(words)
    assert removed_note(shrunk) == f"Removed: {removed(shrunk)}."


def test_measured_and_predicted_speed_are_told_apart() -> None:
    note = speed_note(make_shrunk(predicted=2.91, measured=2.64))

    assert note == (
        "At 64 tokens, it is 2.64 times as fast as the same bundle with nothing removed "
        "(measured); 2.91 times was predicted."
    )


def test_a_bundle_that_was_quantized_again_has_no_measured_speed() -> None:
    note = speed_note(make_shrunk(predicted=2.91, measured=None))

    assert "2.91 times as fast as the same bundle with nothing removed was predicted" in note
    assert "not measured" in note
    assert "None" not in note
