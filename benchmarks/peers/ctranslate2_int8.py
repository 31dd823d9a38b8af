"""CTranslate2's int8 encoder and pooler; numpy computes the last dense layer, which it lacks."""

from collections.abc import Sequence
from pathlib import Path

import ctranslate2
import numpy as np
from harness import Answer, Ids, main


def prepare(source: Path, target: Path, texts: Sequence[Ids]) -> None:
    from ctranslate2.converters import TransformersConverter
    from transformers import AutoModelForSequenceClassification

    TransformersConverter(str(source)).convert(
        str(target / "model"), quantization="int8", force=True
    )
    head = AutoModelForSequenceClassification.from_pretrained(source).classifier
    weight, bias = (parameter.detach().numpy() for parameter in head.parameters())
    np.savez(target / "head.npz", weight=weight, bias=bias)


def load(folder: Path, threads: int) -> Answer:
    encoder = ctranslate2.Encoder(
        str(folder / "model"), device="cpu", compute_type="int8", intra_threads=threads
    )
    head = np.load(folder / "head.npz")
    weight, bias = head["weight"], head["bias"]

    def answer(ids: Ids) -> np.ndarray:
        pooled = encoder.forward_batch([list(ids)]).pooler_output
        return np.asarray(pooled) @ weight.T + bias

    return answer


if __name__ == "__main__":
    main(load=load, prepare=prepare)
