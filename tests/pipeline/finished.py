"""Fine-tuned classifiers with their own labels, and their logits in plain transformers."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from edgeadapt.data import write_csv
from edgeadapt.progress import Bar
from tests.conftest import review

TEXTS = [review(number)[0] for number in range(112)]


class Said:
    """Keeps what was said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, message: str) -> None:
        self.lines.append(message)

    warn = say

    @contextmanager
    def bar(self, title: str, total: int) -> Iterator[Bar]:
        yield self

    def advance(self, amount: int = 1, *, note: str = "") -> None:
        pass

    def about_heads(self) -> list[str]:
        return [line for line in self.lines if line.startswith("The head of ")]


def answers(folder: Path, texts: list[str] = TEXTS) -> np.ndarray:
    """Logits of a finished classifier as plain transformers gives them."""
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokens = AutoTokenizer.from_pretrained(folder)(texts, padding=True, return_tensors="pt")
    return np.asarray(model(**tokens).logits.detach())


def write_data(
    folder: Path, model: Path, names: Sequence[str], listed: Sequence[str] | None
) -> Path:
    """Writes texts with the labels that the model gives them and, where ``listed``, labels.json."""
    folder.mkdir()
    labels = [names[number] for number in answers(model).argmax(axis=1)]
    assert set(labels) == set(names)
    for name, part in (
        ("train", slice(64)),
        ("validation", slice(64, 88)),
        ("test", slice(88, 112)),
    ):
        write_csv(folder / f"{name}.csv", {"text": TEXTS[part], "label": labels[part]})
    if listed is not None:
        (folder / "labels.json").write_text(json.dumps(listed))
    return folder
