"""What the peers of ``compression_peers.py`` read: texts of a run, as text and as token ids.

Standard library only: it runs in environments without edgeadapt.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

__all__ = ["chosen", "texts_of"]


def texts_of(source: Path, split: str) -> dict[str, list[Any]]:
    """Returns ``texts``, ``ids`` and ``labels`` of a split."""
    return dict(json.loads((source / f"{split}.json").read_text(encoding="utf-8")))


def chosen(source: Path, count: int) -> dict[str, list[Any]]:
    """Returns the same for the first ``count`` training texts, whose order is random."""
    return {name: values[:count] for name, values in texts_of(source, "train").items()}


def batches(ids: Sequence[Sequence[int]], size: int, *, generator: Any = None) -> list[list[int]]:
    """Returns row numbers, batches of texts of about the same length, in random order.

    Args:
        ids: The texts.
        size: Texts per batch.
        generator: numpy's; in order of the length without one.
    """
    rows = list(range(len(ids)))
    if generator is None:
        rows.sort(key=lambda row: len(ids[row]))
        return [rows[at : at + size] for at in range(0, len(rows), size)]
    generator.shuffle(rows)
    found: list[list[int]] = []
    pool = 50 * size
    for start in range(0, len(rows), pool):
        part = sorted(rows[start : start + pool], key=lambda row: len(ids[row]))
        found += [part[at : at + size] for at in range(0, len(part), size)]
    generator.shuffle(found)
    return found


def padded(ids: Sequence[Sequence[int]]) -> dict[str, Any]:
    """Returns a batch as torch tensors, padded with 0."""
    import torch

    width = max(len(row) for row in ids)
    shape = (len(ids), width)
    batch = {
        name: torch.zeros(shape, dtype=torch.int64) for name in ("input_ids", "attention_mask")
    }
    for number, row in enumerate(ids):
        batch["input_ids"][number, : len(row)] = torch.tensor(row)
        batch["attention_mask"][number, : len(row)] = 1
    return {**batch, "token_type_ids": torch.zeros(shape, dtype=torch.int64)}
