"""neural-compressor's pruning of heads and neurons during a fine-tune, then its model slimming.

3.7.1 is the last version with ``neural_compressor.compression.pruner``; its pruning of heads needs
an optimizer, so there is no way without training.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from harness import pruned, save_widths
from neural_compressor.compression.pruner import (
    model_slim,
    parse_auto_slim_config,
    prepare_pruning,
)
from neural_compressor.config import WeightPruningConfig
from source import batches, padded, texts_of
from transformers import AutoModelForSequenceClassification, get_linear_schedule_with_warmup

BATCH, RATE = 32, 5e-5


def prepare(source: Path, target: Path, settings: Mapping[str, Any]) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_pretrained(source / "checkpoint")
    texts, epochs = texts_of(source, "train"), settings["epochs"]
    steps = epochs * -(-len(texts["ids"]) // BATCH)
    example = padded(texts["ids"][:2])
    config = parse_auto_slim_config(
        model,
        dataloader=[example],
        ffn2_sparsity=settings["removed"],
        mha_sparsity=settings["removed"],
        pruning_scope="global",
        pruning_type="snip_momentum",
        start_step=0,
        end_step=steps // 2,
        pruning_frequency=max(1, steps // 40),
        max_sparsity_ratio_per_op=0.95,
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.01)
    rate = get_linear_schedule_with_warmup(optimizer, steps // 10, steps)
    prepare_pruning(model, WeightPruningConfig(config), optimizer=optimizer)
    generator = np.random.default_rng(0)
    model.train()
    for _ in range(epochs):
        for rows in batches(texts["ids"], BATCH, generator=generator):
            labels = torch.tensor([texts["labels"][row] for row in rows])
            with torch.autocast("cpu", torch.bfloat16):
                loss = model(**padded([texts["ids"][row] for row in rows]), labels=labels).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            rate.step()
            optimizer.zero_grad()
    model.eval()
    slim = model_slim(model, dataloader=[example], round_multiplier=32)
    save_widths(slim, target)


if __name__ == "__main__":
    pruned(prepare)
