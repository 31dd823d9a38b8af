"""Adapters as the real libraries write them, on a tiny checkpoint."""

from pathlib import Path

import numpy as np
import torch
from adapters import AutoAdapterModel
from peft import LoraConfig, get_peft_model
from torch import nn
from transformers import AutoModelForSequenceClassification, AutoTokenizer

LABELS = {0: "negative", 1: "positive"}


def write_adapterhub(
    checkpoint: Path, folder: Path, options: str, *, head: bool = True, **changes: object
) -> nn.Module:
    """Saves a random adapter with a classification head, and returns the model that has both."""
    from adapters import AdapterConfig

    torch.manual_seed(3)
    model = AutoAdapterModel.from_pretrained(checkpoint)
    model.add_adapter("task", config=AdapterConfig.load(options, reduction_factor=4, **changes))
    model.add_classification_head("task", num_labels=2, layers=2, id2label=LABELS)
    model.set_active_adapters("task")
    _shake(model, "adapters", "heads")
    model.save_adapter(folder, "task", with_head=head)
    return model.eval()


def write_lora(checkpoint: Path, folder: Path) -> nn.Module:
    """Saves a random LoRA with its classifier, and returns the model that has both."""
    torch.manual_seed(3)
    base = AutoModelForSequenceClassification.from_pretrained(checkpoint)
    model = get_peft_model(base, LoraConfig(task_type="SEQ_CLS", r=4, lora_alpha=8))
    _shake(model, "lora_", "classifier")
    model.save_pretrained(folder)
    return model.eval()


@torch.inference_mode()
def library_logits(model: nn.Module, checkpoint: Path, texts: list[str]) -> np.ndarray:
    """What the library's own model answers, with transformers' tokenizer."""
    tokens = AutoTokenizer.from_pretrained(checkpoint)(texts, padding=True, return_tensors="pt")
    return np.asarray(model(**tokens).logits)


@torch.no_grad()
def _shake(model: nn.Module, *parts: str) -> None:
    for name, parameter in model.named_parameters():
        if any(part in name for part in parts):
            parameter.copy_(0.3 * torch.randn(parameter.shape))
