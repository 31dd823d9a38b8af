"""model2vec's classifier: static embeddings distilled from a local checkpoint, then trained.

It runs in its own Python runtime, from text to label, with its own tokenizer.
"""

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from time import perf_counter_ns
from typing import Any

import numpy as np
from source import texts_of

MODEL = "pipeline"


def prepare(source: Path, target: Path, settings: Mapping[str, Any]) -> None:
    from model2vec.distill import distill
    from model2vec.train import StaticModelForClassification

    static = distill(str(source / settings["of"]))
    train, validation = texts_of(source, "train"), texts_of(source, "validation")
    classifier = StaticModelForClassification.from_static_model(model=static)
    classifier.fit(
        train["texts"],
        train["labels"],
        X_val=validation["texts"],
        y_val=validation["labels"],
        random_seed=0,
    )
    pipeline = classifier.to_pipeline()
    pipeline.save_pretrained(str(target / MODEL))
    found = {
        split: np.asarray(pipeline.predict_proba(texts_of(source, split)["texts"])).tolist()
        for split in ("validation", "test")
    }
    found["labels"] = [int(label) for label in pipeline.classes_]
    (target / "probabilities.json").write_text(json.dumps(found))


def measure(target: Path, job: Mapping[str, Any]) -> dict[str, list[int]]:
    """Returns nanoseconds of each run of every scenario's text."""
    from model2vec.inference import StaticModelPipeline

    pipeline = StaticModelPipeline.from_pretrained(str(target / MODEL))
    found: dict[str, list[int]] = {}
    for name, text in job["texts"].items():
        for number in range(job["warmup"] + job["repeats"]):
            started = perf_counter_ns()
            pipeline.predict([text])
            if number >= job["warmup"]:
                found.setdefault(name, []).append(perf_counter_ns() - started)
    return found


if __name__ == "__main__":
    given = json.load(sys.stdin)
    if sys.argv[1] == "prepare":
        Path(sys.argv[3]).mkdir(parents=True, exist_ok=True)
        prepare(Path(sys.argv[2]), Path(sys.argv[3]), given)
    else:
        sys.stdout.write(json.dumps(measure(Path(sys.argv[2]), given)) + "\n")
        sys.stdout.flush()
        os._exit(0)
