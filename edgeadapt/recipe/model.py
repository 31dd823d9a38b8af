"""``[model]``: the backbone."""

from dataclasses import dataclass

from edgeadapt.recipe.fields import at_least, option

__all__ = ["ModelConfig"]


@dataclass(frozen=True)
class ModelConfig:
    """The backbone."""

    id: str = option(
        "sentence-transformers/all-MiniLM-L6-v2",
        "Backbone: hub id or folder; with --adapter, what that was trained on.",
        flag="--model",
        metavar="ID|DIR",
    )
    revision: str | None = option(None, "Commit, tag or branch of the model.", metavar="REV")
    max_length: int = option(
        128,
        "Longest input in tokens, {default}; the rest is cut.",
        details="Special tokens are counted.",
        rule=at_least(3, "tokens"),
        metavar="N",
    )
    layers: int | None = option(
        None,
        "Keep only the backbone's first N layers; all if left out.",
        rule=at_least(1),
        flag="--backbone-layers",
        metavar="N",
    )
