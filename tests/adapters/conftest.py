"""Tiny checkpoints, one per backbone."""

import pytest

from edgeadapt.models.sources import ModelSource
from tests.models.tiny import make_sources


@pytest.fixture(scope="session")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ModelSource]:
    """Model type -> a tiny random checkpoint. Do not change it: copy it first."""
    return make_sources(tmp_path_factory.mktemp("checkpoints"))
