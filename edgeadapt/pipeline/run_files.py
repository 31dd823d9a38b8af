"""What every run holds, trained or imported: the model, and its answers on held-out text."""

import json
from dataclasses import replace
from pathlib import Path

from edgeadapt.data import Dataset, join_labels, write_csv
from edgeadapt.documents.mistakes import write_mistakes
from edgeadapt.metrics import Score, check_finite, confidence, decide, score
from edgeadapt.models.classifier import AdaptedClassifier
from edgeadapt.models.inference import torch_logits
from edgeadapt.models.sources import ModelSource
from edgeadapt.models.tokenizer import TokenizerFiles
from edgeadapt.progress import SILENT, Progress
from edgeadapt.recipe import DataConfig, ModelConfig, Task
from edgeadapt.store.files import write_json
from edgeadapt.store.run import (
    CALIBRATION_FILE,
    PREDICTIONS_FILE,
    VALIDATION_FILE,
    VOCABULARY_FILE,
)
from edgeadapt.text import TextEncoder
from edgeadapt.training.objectives import EVALUATION_BATCH
from edgeadapt.vocabulary import count_pieces

__all__ = [
    "KEPT_EXAMPLES",
    "pinned_data",
    "pinned_model",
    "write_examples",
    "write_model",
]

KEPT_EXAMPLES = 2_000
"""Validation examples that a run keeps, for the gates of the export."""
CALIBRATION_EXAMPLES = 256
"""Training examples that a run keeps, for quantization with fixed scales."""


def pinned_model(
    model: ModelConfig, source: ModelSource, *, progress: Progress = SILENT
) -> ModelConfig:
    """Returns the model with all that depended on this machine's view of it spelled out.

    Says so where the model takes shorter inputs than asked for.
    """
    longest = source.max_length()
    if longest < model.max_length:
        progress.say(
            f"Inputs are cut to {longest} tokens in place of {model.max_length}: the longest that "
            f"{source.id} takes."
        )
    return replace(
        model,
        id=source.id,
        revision=source.commit or model.revision,
        max_length=min(model.max_length, longest),
    )


def pinned_data(data: DataConfig) -> DataConfig:
    """Returns local data by its absolute path: the run may be used from elsewhere."""
    local = Path(data.dataset).expanduser()
    if data.dataset == DataConfig.dataset or not local.exists():
        return data
    return replace(data, dataset=str(local.resolve()))


def write_model(folder: Path, classifier: AdaptedClassifier, tokenizer: TokenizerFiles) -> None:
    """Writes the trained tensors and the tokenizer."""
    classifier.save(folder / "weights")
    tokenizer.encoder.tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps(dict(tokenizer.config), indent=2))


def write_examples(
    folder: Path,
    classifier: AdaptedClassifier,
    encoder: TextEncoder,
    dataset: Dataset,
    *,
    task: Task,
    title: str,
) -> Score:
    """Writes the held-out text with the answers on test text, and returns their score.

    Beside it go some training examples, evenly over all of them, and the word pieces of all.
    """
    names, train = dataset.label_names, dataset.train
    step = max(1, len(train) // CALIBRATION_EXAMPLES)
    for file, kept in (
        (VALIDATION_FILE, dataset.validation.first(KEPT_EXAMPLES)),
        (CALIBRATION_FILE, train.take(range(0, len(train), step)).first(CALIBRATION_EXAMPLES)),
    ):
        write_csv(folder / file, kept.columns(names))
    write_json(folder / VOCABULARY_FILE, count_pieces(encoder, train.texts))
    logits = torch_logits(
        classifier.model, encoder, dataset.test.texts, batch_size=EVALUATION_BATCH
    )
    check_finite(logits, where=f"{title}, test texts")
    write_csv(
        folder / PREDICTIONS_FILE,
        {
            **dataset.test.columns(names),
            "prediction": join_labels(decide(logits, task), names),
            "confidence": [f"{value:.6f}" for value in confidence(logits, task)],
        },
    )
    write_mistakes(folder / "mistakes.html", logits, dataset.test, names, task=task, title=title)
    return score(logits, dataset.test.known_labels(), task=task)
