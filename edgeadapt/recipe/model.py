"""``[model]``: the backbone."""

from dataclasses import dataclass

from edgeadapt.recipe.fields import at_least, option

__all__ = ["ModelConfig"]


@dataclass(frozen=True)
class ModelConfig:
    """The backbone."""

    id: str = option(
        "sentence-transformers/all-MiniLM-L6-v2",
        "Backbone: hub id or folder (default with --adapter: the one that it was trained on).",
        flag="--model",
        metavar="ID|DIR",
    )
    revision: str | None = option(None, "Commit, tag or branch of the model.", metavar="REV")
    max_length: int = option(
        128,
        "Longest input in tokens (default: {default}); longer texts are truncated.",
        details="Special tokens are included.",
        rule=at_least(3, "tokens"),
        metavar="N",
    )
    layers: int | None = option(
        None,
        "Keep only the first N layers of the backbone (default: all).",
        rule=at_least(1),
        flag="--backbone-layers",
        metavar="N",
    )
