"""Fewer rows of word embeddings: the same logits under the new ids."""

import pytest
import torch

from edgeadapt.errors import ExportError
from edgeadapt.shrink.embeddings import trim_embeddings
from tests.models.tiny import make_model

ROWS = [0, 1, 2, 3, 5, 8, 13, 21, 34]


@pytest.mark.parametrize("model_type", ["bert", "roberta", "albert", "distilbert", "deberta-v2"])
def test_the_answers_are_those_of_the_former_ids(model_type: str) -> None:
    model = make_model(model_type).eval()
    new = torch.tensor([[2, 5, 8, 4, 3], [2, 7, 6, 6, 3]])
    with torch.no_grad():
        before = model(torch.tensor(ROWS)[new], attention_mask=torch.ones_like(new)).logits

        trim_embeddings(model, ROWS)

        torch.testing.assert_close(
            model(new, attention_mask=torch.ones_like(new)).logits, before, rtol=0, atol=0
        )
    assert model.config.vocab_size == len(ROWS) == model.get_input_embeddings().num_embeddings


def test_ids_in_the_settings_are_renumbered() -> None:
    model = make_model("bert")
    model.config.cls_token_id, model.config.pad_token_id = 5, 3

    trim_embeddings(model, ROWS)

    assert (model.config.cls_token_id, model.config.pad_token_id) == (4, 3)


def test_a_model_that_counts_positions_from_its_padding_needs_the_same_id_for_it() -> None:
    model = make_model("roberta")

    with pytest.raises(ExportError, match="counts positions from its padding id"):
        trim_embeddings(model, ROWS[1:])
