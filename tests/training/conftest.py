"""A tiny checkpoint to train, with its tokenizer, a fixed seed and one thread."""

from collections.abc import Iterator

import pytest
import torch

from edgeadapt.models.sources import ModelSource, find_model
from edgeadapt.models.tokenizer import load_tokenizer
from edgeadapt.recipe import ModelConfig
from edgeadapt.text import TextEncoder
from tests.conftest import make_checkpoint
from tests.models.tiny import make_model


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> ModelSource:
    """A tiny BERT without dropout, its weights so large that it can learn. Do not change it."""
    folder = make_checkpoint(tmp_path_factory.mktemp("trainable"))
    # The range is that of the head, which is drawn anew.
    model = make_model(
        "bert", initializer_range=0.3, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0
    )
    model.base_model.save_pretrained(folder)
    return find_model(ModelConfig(id=str(folder)))


@pytest.fixture(scope="session")
def encoder(source: ModelSource) -> TextEncoder:
    """The tokenizer of the tiny BERT."""
    return load_tokenizer(source, max_length=32).encoder


@pytest.fixture(autouse=True)
def fixed_seed() -> Iterator[None]:
    """Every test draws the same random values, in whatever order they run."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield
