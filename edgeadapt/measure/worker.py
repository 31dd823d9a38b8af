"""The measured process: one engine, one variant, then gone.

``python -m edgeadapt.measure.worker`` reads one JSON job from standard input and writes one JSON
answer. Numbers are nanoseconds of ``time.perf_counter_ns`` and bytes.
"""

import json
import os
import sys
from dataclasses import asdict
from itertools import cycle, islice
from pathlib import Path
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

from edgeadapt.errors import EdgeAdaptError

if TYPE_CHECKING:
    from edgeadapt.runtime.base import LoadedModel
    from edgeadapt.store.bundle import Bundle
    from edgeadapt.text import Text, TextEncoder, Tokens

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
    """Answers one text the way an application would.

    The parent holds the clock, and tells in ``started_ns`` what it showed when this process began:
    on every supported system all processes read the same one.
    """
    from edgeadapt.runtime import engine_class
    from edgeadapt.runtime.classifier import load
    from edgeadapt.store.bundle import Bundle

    engine_class(Bundle.open(Path(job["bundle"])), job["variant"], job.get("engine"))
    imported = perf_counter_ns()
    classifier = load(
        job["bundle"], variant=job["variant"], threads=job["threads"], engine=job.get("engine")
    )
    loaded = perf_counter_ns()
    label = classifier.predict([_text(job["text"])])[0].label
    started = job["started_ns"]
    return {"label": label, "imported_ns": imported - started, "loaded_ns": loaded - started}


def _measure(job: dict[str, Any]) -> dict[str, Any]:
    """Loads the model once and times it at batch 1, at fixed lengths and on real texts."""
    from edgeadapt.measure.cores import signal_ns

    signal = signal_ns()  # while this process has a single thread

    from edgeadapt.measure.conditions import pace_ns
    from edgeadapt.measure.memory import memory, peak_bytes
    from edgeadapt.runtime import engine_class
    from edgeadapt.runtime.base import text_logits
    from edgeadapt.text import Tokens

    bundle, encoder = _opened(job)
    engine_class(bundle, job["variant"], job.get("engine"))  # imports before the clock starts
    import_bytes = peak_bytes()
    started = perf_counter_ns()
    engine = _engine(bundle, job)
    load_ns = perf_counter_ns() - started

    latency_ns, held = {}, {"loaded": asdict(memory())}
    for tokens in (Tokens(**fields) for fields in job["fixed"]):
        name = str(len(tokens))
        latency_ns[name] = _timed(engine, tokens, job)
        held[name] = asdict(memory())

    texts = [_text(value) for value in job["texts"]]
    if job["timed"]:
        latency_ns |= _timed_texts(engine, encoder, texts[: job["timed"]], job)
        held["text"] = asdict(memory())
    return {
        "engine": engine.describe(),
        "load_ns": load_ns,
        "latency_ns": latency_ns,
        "logits": text_logits(engine, encoder, texts).tolist() if texts else [],
        "import_bytes": import_bytes,
        "peak_bytes": peak_bytes(),
        "memory": held,
        "pace_ns": pace_ns(),
        "signal_ns": signal,
    }


def _timed_texts(
    engine: "LoadedModel", encoder: "TextEncoder", texts: list["Text"], job: dict[str, Any]
) -> dict[str, list[int]]:
    """Answers texts one by one, all over again until the time is over: in all, and in the model."""
    for text in texts[: job["warmup"]]:
        engine.run(encoder.batch([text]))
    whole: list[int] = []
    model: list[int] = []
    ends = perf_counter_ns() + int(job["seconds"] * 1e9)
    while not whole or perf_counter_ns() < ends:
        for text in texts:
            started = perf_counter_ns()
            batch = encoder.batch([text])
            encoded = perf_counter_ns()
            engine.run(batch)
            done = perf_counter_ns()
            whole.append(done - started)
            model.append(done - encoded)
    return {"text": whole, "text-model": model}


def _bulk(job: dict[str, Any]) -> dict[str, Any]:
    """Answers many texts at growing batch sizes, then one by one to see whether memory leaks."""
    from edgeadapt.measure.energy import find_gauge
    from edgeadapt.measure.memory import memory
    from edgeadapt.runtime.base import text_logits

    bundle, encoder = _opened(job)
    engine, gauge = _engine(bundle, job), find_gauge()
    texts = [_text(value) for value in job["texts"]]

    def answer_all(batch: int) -> dict[str, Any]:
        before, started = gauge.read() if gauge else [], perf_counter_ns()
        text_logits(engine, encoder, texts, batch_size=batch)
        elapsed = perf_counter_ns() - started
        joules = gauge.spent(before, gauge.read()) if gauge else None
        return {"texts": len(texts), "ns": elapsed, "joules": joules}

    passes, held = {}, {"loaded": asdict(memory())}
    for batch in job["batches"]:
        text_logits(engine, encoder, texts[: 2 * batch], batch_size=batch)  # warm-up
        passes[batch] = [answer_all(batch) for _ in range(job["passes"])]
        held[str(batch)] = asdict(memory())
    best = min(passes, key=lambda batch: min(one["ns"] for one in passes[batch]))
    while sum(one["ns"] for one in passes[best]) < job["seconds"] * 1e9:
        passes[best].append(answer_all(best))
    return {
        "passes": passes,
        "memory": held,
        "gauge": gauge.name if gauge else None,
        "leak": _leak(engine, encoder, texts, job),
    }


def _leak(
    engine: "LoadedModel", encoder: "TextEncoder", texts: list["Text"], job: dict[str, Any]
) -> list[list[int | None]]:
    """Answers texts one after another, and reads now and then what memory the process holds."""
    from edgeadapt.measure.memory import resident_bytes

    step = max(1, job["calls"] // job["readings"])
    readings = []
    for number, text in enumerate(islice(cycle(texts), job["calls"]), 1):
        engine.run(encoder.batch([text]))
        if number % step == 0:
            readings.append([number, resident_bytes()])
    return readings


def _graph(job: dict[str, Any]) -> dict[str, Any]:
    """Loads an ONNX file that is in no bundle yet and times it on texts' tokens, batch 1."""
    from edgeadapt.measure.memory import peak_bytes
    from edgeadapt.recipe import EngineName
    from edgeadapt.runtime import ENGINES
    from edgeadapt.text import Tokens

    engine = ENGINES[EngineName(job["engine"])]()(Path(job["model"]), threads=job["threads"])
    texts = [Tokens(**fields) for fields in job["fixed"]]
    return {
        "latency_ns": [_timed(engine, tokens, job) for tokens in texts],
        "peak_bytes": peak_bytes(),
    }


def _opened(job: dict[str, Any]) -> tuple["Bundle", "TextEncoder"]:
    from edgeadapt.store.bundle import Bundle

    bundle = Bundle.open(Path(job["bundle"]))
    return bundle, bundle.text_encoder()


def _engine(bundle: "Bundle", job: dict[str, Any]) -> "LoadedModel":
    from edgeadapt.runtime import load_engine

    return load_engine(bundle, job["variant"], threads=job["threads"], engine=job.get("engine"))


def _timed(engine: "LoadedModel", tokens: "Tokens", job: dict[str, Any]) -> list[int]:
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


_TASKS = {
    "first_label": _first_label,
    "measure": _measure,
    "bulk": _bulk,
    "graph": _graph,
}

if __name__ == "__main__":
    main()
    os._exit(0)  # the answer is out; tearing libraries down would only keep the parent waiting
