"""The measured process: one engine, one variant, then gone.

``python -m edgeadapt.measure.worker`` reads one JSON job from standard input and writes one JSON
answer. Numbers are nanoseconds of ``time.perf_counter_ns`` and bytes.
"""

import json
import os
import sys
from pathlib import Path
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

from edgeadapt.errors import EdgeAdaptError

if TYPE_CHECKING:
    from edgeadapt.runtime.base import Engine
    from edgeadapt.text import Text, Tokens

__all__ = ["main"]


def main() -> None:
    """Answers the job on standard input."""
    job = json.load(sys.stdin)
    try:
        answer = _TASKS[job["task"]](job)
    except EdgeAdaptError as error:
        sys.exit(str(error))
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def _first_label(job: dict[str, Any]) -> dict[str, Any]:
    """Answers one text the way an application would; the parent holds the clock."""
    from edgeadapt.runtime.classifier import load

    classifier = load(job["bundle"], variant=job["variant"], threads=job["threads"])
    return {"label": classifier.predict([_text(job["text"])])[0].label}


def _measure(job: dict[str, Any]) -> dict[str, Any]:
    """Loads the model once and times it at batch 1, at fixed lengths and on real texts."""
    from edgeadapt.bundle import Bundle
    from edgeadapt.measure.memory import peak_bytes
    from edgeadapt.runtime import engine_class, load_engine
    from edgeadapt.text import Tokens

    bundle = Bundle.open(Path(job["bundle"]))
    encoder = bundle.text_encoder()
    engine_class(bundle, job["variant"])  # imports the library before the clock starts
    import_bytes = peak_bytes()
    started = perf_counter_ns()
    engine = load_engine(bundle, job["variant"], threads=job["threads"])
    load_ns = perf_counter_ns() - started

    fixed = [Tokens(**fields) for fields in job["fixed"]]
    latency_ns = {str(len(tokens)): _timed(engine, tokens, job) for tokens in fixed}

    texts = [_text(value) for value in job["texts"]]
    for text in texts[: job["warmup"]]:
        engine.run(encoder.batch([text]))
    logits, samples = [], []
    for text in texts:
        started = perf_counter_ns()
        row = engine.run(encoder.batch([text]))[0]
        samples.append(perf_counter_ns() - started)
        logits.append(row.tolist())
    if samples:
        latency_ns["text"] = samples
    return {
        "engine": engine.describe(),
        "load_ns": load_ns,
        "latency_ns": latency_ns,
        "logits": logits,
        "import_bytes": import_bytes,
        "peak_bytes": peak_bytes(),
    }


def _graph(job: dict[str, Any]) -> dict[str, Any]:
    """Loads an ONNX file that is in no bundle yet and times it on texts' tokens, batch 1."""
    from edgeadapt.config import EngineName
    from edgeadapt.measure.memory import peak_bytes
    from edgeadapt.runtime import ENGINES
    from edgeadapt.text import Tokens

    engine = ENGINES[EngineName(job["engine"])]()(Path(job["model"]), threads=job["threads"])
    texts = [Tokens(**fields) for fields in job["fixed"]]
    return {
        "latency_ns": [_timed(engine, tokens, job) for tokens in texts],
        "peak_bytes": peak_bytes(),
    }


def _timed(engine: "Engine", tokens: "Tokens", job: dict[str, Any]) -> list[int]:
    batch = tokens.as_batch()
    for _ in range(job["warmup"]):
        engine.run(batch)
    samples = []
    for _ in range(job["repeats"]):
        started = perf_counter_ns()
        engine.run(batch)
        samples.append(perf_counter_ns() - started)
    return samples


def _text(value: str | list[str]) -> "Text":
    """A text as JSON carries it: a pair is a list there."""
    return value if isinstance(value, str) else (value[0], value[1])


_TASKS = {"first_label": _first_label, "measure": _measure, "graph": _graph}

if __name__ == "__main__":
    main()
    os._exit(0)  # the answer is out; tearing libraries down would only keep the parent waiting
