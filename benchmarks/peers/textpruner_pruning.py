"""TextPruner's iterative pruning: heads and neurons by the gradient of the loss, no refit."""

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from harness import pruned, save_widths
from source import batches, chosen, padded
from textpruner import GeneralConfig, TransformerPruner, TransformerPruningConfig
from transformers import AutoModelForSequenceClassification

ROUNDS = 4
"""Rounds of scoring and pruning."""
MULTIPLE = 32
"""Neurons of a layer are a multiple of this."""


def prepare(source: Path, target: Path, settings: Mapping[str, Any]) -> None:
    torch.set_num_threads(1)
    model = AutoModelForSequenceClassification.from_pretrained(source / "checkpoint")
    texts = chosen(source, settings["texts"])
    loader = [
        padded([texts["ids"][row] for row in rows])
        | {"labels": torch.tensor([texts["labels"][row] for row in rows])}
        for rows in batches(texts["ids"], 32)
    ]
    kept, config = 1 - settings["removed"], model.config
    with TemporaryDirectory() as folder:
        pruner = TransformerPruner(
            model,
            transformer_pruning_config=TransformerPruningConfig(
                target_ffn_size=MULTIPLE * round(kept * config.intermediate_size / MULTIPLE),
                target_num_of_heads=round(kept * config.num_attention_heads),
                pruning_method="iterative",
                head_even_masking=False,
                ffn_even_masking=False,
                n_iters=ROUNDS,
                multiple_of=MULTIPLE,
            ),
            general_config=GeneralConfig(use_device="cpu", output_dir=folder),
        )
        pruner.prune(dataloader=loader, save_model=False)
    save_widths(model, target)


if __name__ == "__main__":
    pruned(prepare)
