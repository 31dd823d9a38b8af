"""``[model]``: the backbone."""

from dataclasses import dataclass

__all__ = ["ModelConfig"]


@dataclass(frozen=True)
class ModelConfig:
    """The backbone."""

    id: str = "sentence-transformers/all-MiniLM-L6-v2"
    """A hub id or a folder with a Hugging Face checkpoint."""
    revision: str | None = None
    """Commit, tag or branch of a hub id."""
    max_length: int = 128
    """Longest input in tokens, special tokens counted; longer texts are cut."""
    layers: int | None = None
    """Keep only the first so many transformer layers; all of them where none is given."""
