"""Tiny checkpoints, one per backbone, a fixed seed and one thread."""

from collections.abc import Iterator

import pytest
import torch

from edgeadapt.models.sources import ModelSource
from tests.models.tiny import make_sources


@pytest.fixture(scope="session")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ModelSource]:
    """Model type -> a tiny random checkpoint. Do not change it: copy it first."""
    return make_sources(tmp_path_factory.mktemp("checkpoints"))


@pytest.fixture(autouse=True)
def fixed_seed() -> Iterator[None]:
    """Every test draws the same random values, in whatever order they run."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield
