"""model2vec: a static embedding per word piece, distilled from the checkpoint, and their mean.

No transformer is left. The head is a logistic regression on the same training text, trained as in
model2vec's documentation.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from harness import Answer, Ids, main

FILE = "static.npz"
_SPECIAL = 2
"""Tokens at the ends of a text, [CLS] and [SEP], which model2vec leaves out."""


def prepare(source: Path, target: Path, texts: Sequence[Ids]) -> None:
    from model2vec.distill import distill
    from sklearn.linear_model import LogisticRegression
    from tokenizers import Tokenizer

    static = distill(str(source))
    vocabulary = Tokenizer.from_file(str(source / "tokenizer.json")).get_vocab()
    embeddings = np.zeros((len(vocabulary), static.dim), dtype=np.float32)
    for token, number in vocabulary.items():
        known = static.tokenizer.token_to_id(token)
        if known is not None:
            embeddings[number] = static.embedding[known]
    train = json.loads((source / "train.json").read_text())
    means = np.stack([_mean(embeddings, ids) for ids in train["ids"]])
    head = LogisticRegression(max_iter=1_000).fit(means, train["labels"])
    np.savez(
        target / FILE,
        embeddings=embeddings.astype(np.float16),
        weights=head.coef_.astype(np.float32),
        bias=head.intercept_.astype(np.float32),
    )


def load(folder: Path, threads: int) -> Answer:
    found = np.load(folder / FILE)
    embeddings = found["embeddings"].astype(np.float32)
    weights, bias = found["weights"], found["bias"]

    def answer(ids: Ids) -> object:
        (score,) = weights @ _mean(embeddings, ids) + bias  # of two labels, the second's
        return np.asarray([0.0, score])

    return answer


def _mean(embeddings: np.ndarray, ids: Ids) -> np.ndarray:
    inner = ids[1:-1] if len(ids) > _SPECIAL else ids
    mean = embeddings[inner].mean(axis=0)
    return mean / (np.linalg.norm(mean) + 1e-32)


if __name__ == "__main__":
    main(load=load, prepare=prepare)
