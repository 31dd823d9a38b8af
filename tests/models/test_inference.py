"""Logits from torch: in the order of the texts, independent of the batches."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeadapt.models.inference import to_inputs, torch_logits
from edgeadapt.text import TextEncoder
from tests.conftest import TINY_CONFIGS, WORDS, make_tokenizer, review
from tests.models.tiny import make_model

TEXTS = [review(number)[0] for number in (3, 450, 8, 220, 61, 399, 14)]


def make_encoder() -> TextEncoder:
    return TextEncoder(make_tokenizer(), max_length=32, pad_id=0)


@pytest.mark.parametrize("model_type", TINY_CONFIGS)
def test_every_row_is_its_own_texts(model_type: str) -> None:
    model, encoder = make_model(model_type), make_encoder()

    found = torch_logits(model, encoder, TEXTS, batch_size=3)

    with torch.no_grad():
        alone = [
            model(torch.tensor([encoder.encode([text])[0].ids])).logits.numpy()[0] for text in TEXTS
        ]
    assert found.shape == (len(TEXTS), 2)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, np.stack(alone), rtol=0, atol=1e-5)
    assert np.abs(np.diff(found, axis=0)).max(axis=1).min() > 1e-3


@given(
    texts=st.lists(
        st.lists(st.sampled_from(WORDS), min_size=1, max_size=40).map(" ".join),
        min_size=1,
        max_size=9,
    ),
    batch_size=st.integers(1, 10),
)
@settings(max_examples=25, deadline=None)
def test_logits_do_not_depend_on_the_batch_size(texts: list[str], batch_size: int) -> None:
    model, encoder = make_model("bert"), make_encoder()

    one_by_one = torch_logits(model, encoder, texts, batch_size=1)

    batched = torch_logits(model, encoder, texts, batch_size=batch_size)
    np.testing.assert_allclose(batched, one_by_one, rtol=0, atol=1e-5)


@pytest.mark.parametrize("training", [True, False])
def test_dropout_is_off_and_the_models_mode_comes_back(training: bool) -> None:
    model, encoder = make_model("bert"), make_encoder()
    expected = torch_logits(model, encoder, TEXTS, batch_size=4)
    model.train(training)

    found = torch_logits(model, encoder, TEXTS, batch_size=4)

    np.testing.assert_array_equal(found, expected)
    assert all(module.training is training for module in model.modules())


def test_there_is_a_column_per_label() -> None:
    model = make_model("bert", num_labels=5)

    assert torch_logits(model, make_encoder(), TEXTS, batch_size=4).shape == (len(TEXTS), 5)


def test_no_texts_are_refused() -> None:
    with pytest.raises(ValueError, match="expected at least one text"):
        torch_logits(make_model("bert"), make_encoder(), [], batch_size=4)


@pytest.mark.parametrize(
    ("model_type", "segments"),
    [("bert", True), ("electra", True), ("roberta", False), ("distilbert", False)],
)
def test_a_model_gets_the_inputs_that_it_takes(model_type: str, segments: bool) -> None:
    batch = make_encoder().batch(TEXTS)

    inputs = to_inputs(batch, make_model(model_type))

    expected = {"input_ids", "attention_mask"} | ({"token_type_ids"} if segments else set())
    assert inputs.keys() == expected
    for name, tensor in inputs.items():
        assert tensor.dtype == torch.int64
        np.testing.assert_array_equal(tensor.numpy(), getattr(batch, name))
