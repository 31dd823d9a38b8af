"""Remove rows of a model's word embeddings."""

from collections.abc import Sequence

import torch
from torch import nn
from transformers import PreTrainedModel

from edgeadapt.errors import ExportError

__all__ = ["trim_embeddings"]

_IDS = ("pad", "unk", "bos", "eos", "cls", "sep", "mask")


def trim_embeddings(model: PreTrainedModel, rows: Sequence[int]) -> None:
    """Keeps only the given rows of the word embeddings, in place, and renumbers ids in the config.

    Args:
        model: A classifier.
        rows: The old id of each new id.

    Raises:
        ExportError: The model counts positions from the padding id, and that would change.
    """
    table = model.get_input_embeddings()
    assert isinstance(table, nn.Embedding)
    renumbered = {old: new for new, old in enumerate(rows)}
    positions = next(
        (m for name, m in model.named_modules() if name.endswith("position_embeddings")), None
    )
    pad = model.config.pad_token_id
    if getattr(positions, "padding_idx", None) is not None and renumbered.get(pad) != pad:
        raise ExportError(
            f"--trim-vocab: this model counts positions from its padding id, {pad}, which would "
            f"become {renumbered.get(pad)}.",
            hint="Leave --trim-vocab out.",
        )
    padding = None if table.padding_idx is None else renumbered[table.padding_idx]
    kept = nn.Embedding(len(rows), table.embedding_dim, padding_idx=padding)
    with torch.no_grad():
        kept.weight.copy_(table.weight[list(rows)])
    model.set_input_embeddings(kept.to(table.weight.dtype).requires_grad_(False))
    model.config.vocab_size = len(rows)
    for name in _IDS:
        key = f"{name}_token_id"
        old = getattr(model.config, key, None)
        if isinstance(old, int):
            setattr(model.config, key, renumbered.get(old))
