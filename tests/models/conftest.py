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
def one_thread() -> Iterator[None]:
    """Matrices this small are multiplied faster by one thread than by several."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def fixed_seed() -> Iterator[None]:
    """Every test draws the same random values, in whatever order they run."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield
