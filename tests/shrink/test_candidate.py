"""Smaller models: what is asked for is made, and comes back from disk as it was."""

from pathlib import Path

import numpy as np
import pytest
import torch

from edgeadapt.errors import ExportError, ModelError
from edgeadapt.shrink.candidate import Workshop
from edgeadapt.shrink.selection import Prices
from edgeadapt.store.structure import Structure
from tests.shrink.small import HEADS, NEURONS, costs, examples, text_model

TEXTS = examples(60)
FULL = Structure((HEADS,) * 3, (NEURONS,) * 3)


def workshop(folder: Path, model_type: str = "bert") -> Workshop:
    return Workshop(text_model(model_type), TEXTS, folder=folder / model_type)


def weights(structure: Structure) -> int:
    return costs().weights(structure)


def prices(structure: Structure) -> Prices:
    return Prices.of_latency(costs(), structure)


@pytest.mark.parametrize("share", [0.7, 0.3])
def test_a_smaller_model_fits_and_is_read_from_disk_as_it_was_made(
    tmp_path: Path, share: float
) -> None:
    made = workshop(tmp_path)
    small = made.small(3, prices(FULL), lambda s: weights(s) <= share * weights(FULL))

    opened = made.opened(small)

    assert weights(small.structure) <= share * weights(FULL)
    assert made.structure == FULL
    again = workshop(tmp_path / "again")
    same = again.opened(again.small(3, prices(FULL), lambda s: weights(s) <= share * weights(FULL)))
    assert np.array_equal(opened.logits(TEXTS.texts), same.logits(TEXTS.texts))
    assert any(fit.strength is not None for fit in small.fitted)


def test_the_first_layers_and_the_last_one_stay(tmp_path: Path) -> None:
    made = workshop(tmp_path)
    small = made.only_shallow(2)

    assert small.structure == Structure((HEADS,) * 2, (NEURONS,) * 2)
    opened = made.opened(small).merged
    assert opened.is_stock
    assert opened.model.config.num_hidden_layers == 2
    kept, original = (m.bert.encoder.layer for m in (opened.model, made.model.merged.model))
    assert torch.equal(kept[0].output.dense.weight, original[0].output.dense.weight)
    assert torch.equal(kept[1].output.LayerNorm.weight, original[2].output.LayerNorm.weight)


def test_layers_that_are_not_alike_stay_where_they_were(tmp_path: Path) -> None:
    made = workshop(tmp_path, "modernbert")

    assert made.sources(2) == (0, 1)
    assert made.only_shallow(2).structure == Structure((HEADS,) * 2, (NEURONS,) * 2)


def test_the_original_model_answers_as_before(tmp_path: Path) -> None:
    made = workshop(tmp_path)
    before = made.model.logits(TEXTS.texts)

    made.small(2, prices(FULL), lambda s: weights(s) <= 0.2 * weights(FULL))

    assert np.array_equal(made.model.logits(TEXTS.texts), before)


def test_refitting_brings_the_answers_closer(tmp_path: Path) -> None:
    made = workshop(tmp_path)
    small = made.small(3, prices(FULL), lambda s: weights(s) <= 0.5 * weights(FULL))

    assert all(fit.error <= fit.error_before for fit in small.fitted)
    assert sum(fit.error for fit in small.fitted) < 0.9 * sum(
        fit.error_before for fit in small.fitted
    )


@pytest.mark.parametrize("model_type", ["mpnet", "deberta-v2"])
def test_where_heads_cannot_be_removed_neurons_are(tmp_path: Path, model_type: str) -> None:
    made = workshop(tmp_path, model_type)
    small = made.small(3, prices(FULL), lambda s: weights(s) <= 0.7 * weights(FULL))

    assert small.structure.heads == (HEADS,) * 3
    assert sum(small.structure.neurons) < 3 * NEURONS


def test_layers_that_share_weights_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="albert models cannot have different widths"):
        workshop(tmp_path, "albert").small(
            3, prices(FULL), lambda s: weights(s) <= 0.5 * weights(FULL)
        )


def test_layers_that_share_weights_can_be_removed_whole(tmp_path: Path) -> None:
    made = workshop(tmp_path, "albert")

    small = made.only_shallow(2)

    assert small.structure == Structure((HEADS,) * 2, (NEURONS,) * 2)
    shallow = made.shallow(2).model
    assert np.array_equal(made.opened(small).logits(TEXTS.texts), shallow.logits(TEXTS.texts))


@pytest.mark.parametrize("depth", [0, 4])
def test_a_depth_that_the_model_does_not_have_is_refused(tmp_path: Path, depth: int) -> None:
    with pytest.raises(ModelError, match=f"{depth} layers: expected 1 to 3"):
        workshop(tmp_path).only_shallow(depth)


def test_models_with_parts_beside_their_layers_are_refused(tmp_path: Path) -> None:
    from dataclasses import replace

    from edgeadapt.adapters import Kept

    model = text_model()
    kept: tuple[Kept, ...] = (object(),)  # type: ignore[assignment]
    beside = replace(model, merged=replace(model.merged, kept=kept))
    with pytest.raises(ExportError, match="1 bottlenecks stay beside"):
        Workshop(beside, TEXTS, folder=tmp_path).only_shallow(2)
