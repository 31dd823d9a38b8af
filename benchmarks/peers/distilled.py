"""A small model distilled from the run's: the encoder's first layers, all weights trained.

The loss is the divergence from the run's softened predictions on the training text, nothing else.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from harness import pruned
from source import batches, padded, texts_of
from transformers import AutoModelForSequenceClassification, get_linear_schedule_with_warmup

TEMPERATURE, EPOCHS, BATCH, RATE = 2.0, 8, 32, 1e-4


def prepare(source: Path, target: Path, settings: Mapping[str, Any]) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    ids = texts_of(source, "train")["ids"]
    teacher = AutoModelForSequenceClassification.from_pretrained(source / "checkpoint").eval()
    wanted = torch.empty(len(ids), teacher.config.num_labels)
    with torch.inference_mode():
        for rows in batches(ids, BATCH):
            wanted[rows] = teacher(**padded([ids[row] for row in rows])).logits
    soft = torch.log_softmax(wanted.clone() / TEMPERATURE, dim=1)
    model = AutoModelForSequenceClassification.from_pretrained(
        source / "encoder",
        num_hidden_layers=settings["layers"],
        num_labels=teacher.config.num_labels,
        id2label=teacher.config.id2label,
        label2id=teacher.config.label2id,
        torch_dtype=torch.float32,
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.01)
    steps = EPOCHS * -(-len(ids) // BATCH)
    rate = get_linear_schedule_with_warmup(optimizer, steps // 10, steps)
    generator = np.random.default_rng(0)
    model.train()
    for _ in range(EPOCHS):
        for rows in batches(ids, BATCH, generator=generator):
            with torch.autocast("cpu", torch.bfloat16):
                logits = model(**padded([ids[row] for row in rows])).logits
            given = torch.log_softmax(logits.float() / TEMPERATURE, dim=1)
            loss = torch.nn.functional.kl_div(
                given, soft[rows], reduction="batchmean", log_target=True
            )
            (TEMPERATURE**2 * loss).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            rate.step()
            optimizer.zero_grad()
    model.eval().save_pretrained(target / "checkpoint")


if __name__ == "__main__":
    pruned(prepare)
