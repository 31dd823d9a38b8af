"""Masked-language modelling: masking, training, and the head."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForMaskedLM

from edgeadapt.models.classifier import AdaptedClassifier
from edgeadapt.models.seeds import seeded
from edgeadapt.models.sources import ModelSource
from edgeadapt.recipe import AdapterConfig, TrainingConfig
from edgeadapt.text import TextEncoder
from edgeadapt.training.loop import fit
from edgeadapt.training.masked_language import MaskedLanguage, WordPieces

pytestmark = pytest.mark.transformers5

MASK, SPECIAL, SIZE = 4, (0, 1, 2, 3, 4), 50
WORDS = WordPieces(size=SIZE, mask=MASK, special=SPECIAL)
TEXTS = [f"the {thing} was {how}" for thing in ("film", "meal", "room") for how in ("good", "bad")]


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 999), rows=st.integers(1, 4), width=st.integers(3, 12))
def test_special_tokens_and_padding_are_never_chosen_and_one_token_always_is(
    seed: int, rows: int, width: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(5, SIZE, (rows, width), generator=generator)
    ids[:, 0], ids[:, -1] = 2, 3
    attention = torch.ones_like(ids)
    attention[0, -2:] = 0

    masked, chosen = WORDS.choose(ids, attention, generator)

    assert not chosen[:, 0].any()
    assert not chosen[:, -1].any()
    assert not chosen[0, -2:].any()
    assert chosen.any() or not (attention[:, 1:-1]).any()
    assert torch.equal(masked[~chosen], ids[~chosen])


def test_shares_are_those_of_bert() -> None:
    ids = torch.full((400, 500), 9)
    masked, chosen = WORDS.choose(ids, torch.ones_like(ids), torch.Generator().manual_seed(0))

    of_chosen = masked[chosen]
    assert chosen.float().mean() == pytest.approx(0.15, abs=0.005)
    assert (of_chosen == MASK).float().mean() == pytest.approx(0.8, abs=0.01)
    # A random token is the old one, or the mask, now and then.
    assert (of_chosen == 9).float().mean() == pytest.approx(0.1 + 0.1 / SIZE, abs=0.01)


def objective_of(
    source: ModelSource, encoder: TextEncoder, method: str
) -> tuple[AdaptedClassifier, MaskedLanguage]:
    with seeded(0):
        classifier = AdaptedClassifier.build(
            source, ("0", "1"), AdapterConfig(method=method, dimension=4)
        )
        language = AutoModelForMaskedLM.from_pretrained(source.folder)
    words = WordPieces(size=len(encoder.tokenizer.get_vocab()), mask=MASK, special=SPECIAL)
    objective = MaskedLanguage(
        classifier.model, language, encoder, words=words, train=TEXTS * 4, validation=TEXTS
    )
    for parameter in objective.head().values():
        parameter.requires_grad_(True)
    return classifier, objective


@pytest.mark.parametrize("method", ["parallel", "full"])
def test_it_is_learned(source: ModelSource, encoder: TextEncoder, method: str) -> None:
    classifier, objective = objective_of(source, encoder, method)
    frozen, before = classifier.frozen_sha256(), objective.judge()
    trained = {**classifier.adapter_parameters(), **objective.head()}

    with seeded(0):
        outcome = fit(
            objective,
            trained,
            config=TrainingConfig(epochs=6, batch_size=8, learning_rate=1e-2),
            device=torch.device("cpu"),
        )

    assert outcome.best is not None
    assert outcome.best.validation_loss < before.loss - 0.5
    assert classifier.frozen_sha256() == frozen


def test_validation_is_masked_alike_every_time(source: ModelSource, encoder: TextEncoder) -> None:
    _, objective = objective_of(source, encoder, "parallel")

    assert objective.judge() == objective.judge()


def test_the_loss_is_that_of_the_whole_language_model(
    source: ModelSource, encoder: TextEncoder
) -> None:
    _, objective = objective_of(source, encoder, "head")
    whole = AutoModelForMaskedLM.from_pretrained(source.folder).eval()
    whole.load_state_dict(
        {
            name: tensor
            for name, tensor in objective.language_model.state_dict().items()
            if name in whole.state_dict()
        },
        strict=False,
    )
    batch = encoder.batch(TEXTS)
    generator = torch.Generator().manual_seed(0)
    ids, attention = torch.from_numpy(batch.input_ids), torch.from_numpy(batch.attention_mask)
    masked, chosen = objective.words.choose(ids, attention, generator)
    expected = whole(
        input_ids=masked,
        attention_mask=attention,
        labels=torch.where(chosen, ids, -100),
    ).loss

    assert objective.judge().loss == pytest.approx(float(expected), abs=1e-5)


def test_output_embeddings_are_the_encoders_and_not_listed_twice(
    source: ModelSource, encoder: TextEncoder
) -> None:
    classifier, objective = objective_of(source, encoder, "full")

    tied = classifier.model.get_input_embeddings().weight
    assert objective.language_model.get_output_embeddings().weight is tied
    assert not {id(p) for p in objective.head().values()} & {
        id(p) for p in classifier.adapter_parameters().values()
    }


def test_a_part_counts_by_its_tokens_and_one_without_a_token_to_guess_counts_nothing(
    source: ModelSource, encoder: TextEncoder
) -> None:
    _, objective = objective_of(source, encoder, "parallel")
    objective.tokens = [*objective.tokens, *encoder.encode(["", "好"])]
    objective.words.special = torch.tensor([*SPECIAL, encoder.tokenizer.token_to_id("[UNK]")])
    objective.lengths = [len(tokens) for tokens in objective.tokens]
    count = len(objective.tokens)
    few, rest = np.arange(count - 2, count), np.arange(count - 2)

    assert float(objective.loss(few).minimized) == 0
    assert objective.share(few, np.arange(count)) == sum(objective.lengths[-2:]) / sum(
        objective.lengths
    )
    whole = objective.share(few, np.arange(count)) + objective.share(rest, np.arange(count))
    assert whole == pytest.approx(1)
