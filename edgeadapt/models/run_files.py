"""Write the files of a run, trained or imported: the model, and predictions on held-out text."""

import json
from pathlib import Path

from edgeadapt.data import Dataset, join_labels, write_csv
from edgeadapt.metrics import Logits, check_finite, confidence, decide
from edgeadapt.models.classifier import AdaptedClassifier
from edgeadapt.models.inference import EVALUATION_BATCH, torch_logits
from edgeadapt.models.tokenizer import TokenizerFiles
from edgeadapt.recipe import Task
from edgeadapt.store.files import write_json
from edgeadapt.store.run import (
    CALIBRATION_FILE,
    PREDICTIONS_FILE,
    VALIDATION_FILE,
    VOCABULARY_FILE,
)
from edgeadapt.text import TextEncoder

__all__ = [
    "KEPT_EXAMPLES",
    "write_examples",
    "write_model",
]

KEPT_EXAMPLES = 2_000
"""Most validation examples that a run holds, for the gates of the export."""
CALIBRATION_EXAMPLES = 256
"""Most training examples that a run holds, as the calibration set of static quantization."""


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
) -> Logits:
    """Writes validation and calibration examples, word-piece counts and test predictions.

    Calibration examples are spread evenly over the training examples; word pieces are counted in
    all of them.

    Returns:
        Logits of the test texts, shape ``(texts, labels)``.

    Raises:
        ModelError: A logit is not finite.
    """
    names, train = dataset.label_names, dataset.train
    step = max(1, len(train) // CALIBRATION_EXAMPLES)
    for file, kept in (
        (VALIDATION_FILE, dataset.validation.first(KEPT_EXAMPLES)),
        (CALIBRATION_FILE, train.take(range(0, len(train), step)).first(CALIBRATION_EXAMPLES)),
    ):
        write_csv(folder / file, kept.columns(names))
    write_json(folder / VOCABULARY_FILE, encoder.count_pieces(train.texts))
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
    return logits
