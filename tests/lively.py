"""Tiny models whose answers depend on the text.

With the usual initial weights a tiny model gives nearly the same logits to everything: a
comparison of logits could hardly fail. Here the matrices are larger, and so are the differences.
"""

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedModel,
)

from edgeadapt.backbones import BACKBONES, STOCK_HEADS
from edgeadapt.pipeline.export import ExportOptions, Quantization, export
from edgeadapt.pipeline.train import train
from edgeadapt.recipe import Exporter, Recipe
from edgeadapt.store.bundle import Bundle
from edgeadapt.store.run import Run
from tests.conftest import TINY_CONFIGS, make_checkpoint, make_tokenizer, review, write_dataset
from tests.steady import steady_latencies

SIGMA = 0.3
"""Standard deviation of every matrix."""


def lively_model(model_type: str, *, labels: int = 3) -> PreTrainedModel:
    """Makes a random classifier in evaluation mode."""
    torch.manual_seed(5)
    config = AutoConfig.for_model(
        model_type,
        vocab_size=make_tokenizer().get_vocab_size(),
        num_labels=labels,
        initializer_range=SIGMA,
        **TINY_CONFIGS[model_type],
    )
    return AutoModelForSequenceClassification.from_config(config).eval()


def lively_checkpoint(folder: Path, model_type: str = "bert") -> Path:
    """Saves a random encoder with its tokenizer; heads drawn on top of it are lively too."""
    make_checkpoint(folder, model_type)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"initializer_range": SIGMA}))
    tensors = load_file(folder / "model.safetensors")
    # A real checkpoint's tokenizer knows whether its model takes segments.
    names = ["input_ids", "token_type_ids", "attention_mask"]
    if not BACKBONES[model_type].token_type_ids:
        names.remove("token_type_ids")
    tokenizer = json.loads((folder / "tokenizer_config.json").read_text())
    tokenizer["model_input_names"] = names
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer))
    scaled = {name: t * (SIGMA / 0.02 if t.ndim == 2 else 1) for name, t in tensors.items()}
    save_file(scaled, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def finished_checkpoint(
    folder: Path, names: Sequence[str], model_type: str = "bert", **config: object
) -> Path:
    """Saves a random classifier with its tokenizer, as plain transformers does.

    Args:
        folder: To be made.
        names: What its outputs are called.
        model_type: Of the backbone.
        config: Further settings for config.json; ``None`` removes one.
    """
    lively_checkpoint(folder, model_type)
    model = lively_model(model_type, labels=len(names))
    texts = [review(number)[0] for number in range(100)]
    tokens = AutoTokenizer.from_pretrained(folder)(texts, padding=True, return_tensors="pt")
    with torch.no_grad():  # every label is somebody's, and a row's bias has to move with it
        model.get_parameter(f"{STOCK_HEADS[model_type].out}.bias").sub_(
            model(**tokens).logits.mean(axis=0)
        )
    model.config.id2label = dict(enumerate(names))
    model.config.label2id = {name: number for number, name in enumerate(names)}
    model.save_pretrained(folder)
    settings = json.loads((folder / "config.json").read_text()) | config
    settings = {key: value for key, value in settings.items() if value is not None}
    (folder / "config.json").write_text(json.dumps(settings))
    return folder


def lively_recipe(
    folder: Path, *, method: str = "parallel", model_type: str = "bert", **training: object
) -> Recipe:
    """Writes a checkpoint and data below ``folder`` and returns a recipe that trains on them."""
    return Recipe.from_dict(
        {
            "model": {
                "id": str(lively_checkpoint(folder / "checkpoint", model_type)),
                "max_length": 32,
            },
            "data": {"dataset": str(write_dataset(folder / "data"))},
            "adapter": {"method": method, "dimension": 4},
            "training": {
                "epochs": 2,
                "batch_size": 16,
                "device": "cpu",
                "learning_rate": 5e-3,
                **training,
            },
        },
        origin="test",
    )


def lively_run(factory: pytest.TempPathFactory, model_type: str = "bert") -> Run:
    """Trains a parallel adapter once per test session. Do not change the run: copy it first."""
    return _run(factory.getbasetemp() / f"lively-{model_type}", model_type)


def lively_bundle(factory: pytest.TempPathFactory, model_type: str = "bert") -> Bundle:
    """Exports that run with fp32, int8 and torch. Do not change the bundle: copy it first."""
    return _bundle(factory.getbasetemp() / f"lively-{model_type}", model_type)


@cache
def _run(folder: Path, model_type: str) -> Run:
    return train(lively_recipe(folder, model_type=model_type), output=folder / "run")


@cache
def _bundle(folder: Path, model_type: str) -> Bundle:
    options = ExportOptions(
        quantize=Quantization(), max_drop=1.0, with_torch=True, exporter=Exporter.TORCH
    )
    run = _run(folder, model_type)
    with steady_latencies():
        return export(run, options=options, output=folder / "bundle")
