"""The measured process: it runs one job with one variant on one engine, and exits.

``python -m edgeadapt.measure.worker`` reads one JSON job from standard input and writes one JSON
answer. Numbers are nanoseconds of ``time.perf_counter_ns`` and bytes.
"""

import os
import sys
from collections.abc import Sequence
from itertools import cycle, islice
from pathlib import Path
from time import perf_counter_ns
from typing import TYPE_CHECKING

from edgeadapt.errors import EdgeAdaptError
from edgeadapt.measure.jobs import FirstLabelAnswer, FirstLabelJob, answer_line, read_job

if TYPE_CHECKING:
    from edgeadapt.measure.jobs import AnyAnswer, AnyJob
    from edgeadapt.measure.timed_jobs import (
        BulkAnswer,
        BulkJob,
        GraphAnswer,
        GraphJob,
        GraphsAnswer,
        GraphsJob,
        MeasureAnswer,
        MeasureJob,
    )
    from edgeadapt.runtime.base import LoadedModel
    from edgeadapt.store.bundle import Bundle
    from edgeadapt.store.sample import LeakReading
    from edgeadapt.text import Text, TextEncoder, Tokens

__all__ = ["main"]


def main() -> None:
    """Runs the job on standard input."""
    job = read_job(sys.stdin.read())
    try:
        answer = _answer(job)
    except EdgeAdaptError as error:
        sys.exit(str(error))
    sys.stdout.write(answer_line(answer) + "\n")
    sys.stdout.flush()


def _answer(job: "AnyJob") -> "AnyAnswer":
    if isinstance(job, FirstLabelJob):
        return _first_label(job)
    from edgeadapt.measure.timed_jobs import BulkJob, GraphsJob, MeasureJob

    match job:
        case MeasureJob():
            return _measure(job)
        case BulkJob():
            return _bulk(job)
        case GraphsJob():
            return _graphs(job)
        case _:
            return _graph(job)


def _first_label(job: FirstLabelJob) -> FirstLabelAnswer:
    """Classifies one text the way an application would.

    The parent passes its clock at the start of this process as ``started_ns``. On all supported
    systems ``time.perf_counter_ns`` is the same clock in all processes.
    """
    from edgeadapt.runtime import engine_class
    from edgeadapt.runtime.classifier import load
    from edgeadapt.store.bundle import Bundle

    engine_class(Bundle.open(Path(job.bundle)), job.variant, job.engine)
    imported = perf_counter_ns()
    classifier = load(job.bundle, variant=job.variant, threads=job.threads, engine=job.engine)
    loaded = perf_counter_ns()
    label = classifier.predict([job.text])[0].label
    return FirstLabelAnswer(
        label, imported_ns=imported - job.started_ns, loaded_ns=loaded - job.started_ns
    )


def _measure(job: "MeasureJob") -> "MeasureAnswer":
    """Loads the model once and times it at batch 1, at fixed lengths and on real texts."""
    from edgeadapt.measure.cores import signal_ns

    signal = signal_ns()  # while this process has a single thread

    from edgeadapt.measure.conditions import pace_ns
    from edgeadapt.measure.memory import memory, peak_bytes
    from edgeadapt.measure.timed_jobs import MeasureAnswer
    from edgeadapt.runtime import engine_class
    from edgeadapt.runtime.base import text_logits
    from edgeadapt.text import Tokens

    bundle, encoder = _opened(job)
    engine_class(bundle, job.variant, job.engine)  # imports before the clock starts
    import_bytes = peak_bytes()
    started = perf_counter_ns()
    engine = _engine(bundle, job)
    load_ns = perf_counter_ns() - started

    latency_ns, held = {}, {"loaded": memory()}
    for tokens in (Tokens(fixed.ids, fixed.type_ids) for fixed in job.fixed):
        name = str(len(tokens))
        latency_ns[name] = _timed(engine, tokens, job)
        held[name] = memory()

    if job.timed:
        latency_ns |= _timed_texts(engine, encoder, job.texts[: job.timed], job)
        held["text"] = memory()
    return MeasureAnswer(
        engine=engine.describe(),
        load_ns=load_ns,
        latency_ns=latency_ns,
        logits=text_logits(engine, encoder, job.texts).tolist() if job.texts else [],
        import_bytes=import_bytes,
        peak_bytes=peak_bytes(),
        memory=held,
        pace_ns=pace_ns(),
        signal_ns=signal,
    )


def _timed_texts(
    engine: "LoadedModel", encoder: "TextEncoder", texts: Sequence["Text"], job: "MeasureJob"
) -> dict[str, list[int]]:
    """Classifies texts one by one until the time is over; returns total and model-only times."""
    for text in texts[: job.warmup]:
        engine.run(encoder.batch([text]))
    whole: list[int] = []
    model: list[int] = []
    ends = perf_counter_ns() + int(job.seconds * 1e9)
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


def _bulk(job: "BulkJob") -> "BulkAnswer":
    """Classifies many texts at growing batch sizes, then one by one to check for memory leaks."""
    from edgeadapt.measure.energy import find_gauge
    from edgeadapt.measure.memory import memory
    from edgeadapt.measure.timed_jobs import BulkAnswer
    from edgeadapt.runtime.base import text_logits
    from edgeadapt.store.sample import Pass

    bundle, encoder = _opened(job)
    engine, gauge = _engine(bundle, job), find_gauge()
    texts = job.texts

    def answer_all(batch: int) -> Pass:
        before, started = gauge.read() if gauge else [], perf_counter_ns()
        text_logits(engine, encoder, texts, batch_size=batch)
        elapsed = perf_counter_ns() - started
        joules = gauge.spent(before, gauge.read()) if gauge else None
        return Pass(len(texts), elapsed, joules)

    passes: dict[str, list[Pass]] = {}
    held = {"loaded": memory()}
    for batch in job.batches:
        text_logits(engine, encoder, texts[: 2 * batch], batch_size=batch)  # warm-up
        passes[str(batch)] = [answer_all(batch) for _ in range(job.passes)]
        held[str(batch)] = memory()
    best = min(passes, key=lambda batch: min(one.ns for one in passes[batch]))
    while sum(one.ns for one in passes[best]) < job.seconds * 1e9:
        passes[best].append(answer_all(int(best)))
    return BulkAnswer(
        passes=passes,
        memory=held,
        gauge=gauge.name if gauge else None,
        leak=_leak(engine, encoder, job),
    )


def _leak(engine: "LoadedModel", encoder: "TextEncoder", job: "BulkJob") -> list["LeakReading"]:
    """Classifies texts one after another, and reads the memory of the process at intervals."""
    from edgeadapt.measure.memory import resident_bytes

    step = max(1, job.calls // job.readings)
    readings = []
    for number, text in enumerate(islice(cycle(job.texts), job.calls), 1):
        engine.run(encoder.batch([text]))
        if number % step == 0:
            readings.append((number, resident_bytes()))
    return readings


def _graph(job: "GraphJob") -> "GraphAnswer":
    """Loads an ONNX file outside of a bundle and times it on tokenized texts at batch size 1."""
    from edgeadapt.measure.memory import peak_bytes
    from edgeadapt.measure.timed_jobs import GraphAnswer
    from edgeadapt.recipe import EngineName
    from edgeadapt.runtime import ENGINES
    from edgeadapt.text import Tokens

    engine = ENGINES[EngineName(job.engine)]()(Path(job.model), threads=job.threads)
    texts = [Tokens(fixed.ids, fixed.type_ids) for fixed in job.fixed]
    return GraphAnswer([_timed(engine, tokens, job) for tokens in texts], peak_bytes())


def _graphs(job: "GraphsJob") -> "GraphsAnswer":
    """Loads ONNX files one after another and times each at batch size 1.

    Each is closed before the next is loaded: the threads of an idle session spin for some
    milliseconds and would slow down its neighbour.
    """
    from edgeadapt.measure.timed_jobs import GraphsAnswer
    from edgeadapt.recipe import EngineName
    from edgeadapt.runtime import ENGINES
    from edgeadapt.text import Tokens

    load = ENGINES[EngineName(job.engine)]()
    tokens = Tokens(job.fixed.ids, job.fixed.type_ids)
    return GraphsAnswer(
        [_timed(load(Path(model), threads=job.threads), tokens, job) for model in job.models]
    )


def _opened(job: "MeasureJob | BulkJob") -> tuple["Bundle", "TextEncoder"]:
    from edgeadapt.store.bundle import Bundle

    bundle = Bundle.open(Path(job.bundle))
    return bundle, bundle.text_encoder()


def _engine(bundle: "Bundle", job: "MeasureJob | BulkJob") -> "LoadedModel":
    from edgeadapt.runtime import load_engine

    return load_engine(bundle, job.variant, threads=job.threads, engine=job.engine)


def _timed(
    engine: "LoadedModel", tokens: "Tokens", job: "MeasureJob | GraphJob | GraphsJob"
) -> list[int]:
    batch = tokens.as_batch()
    for _ in range(job.warmup):
        engine.run(batch)
    samples = []
    for _ in range(job.repeats):
        started = perf_counter_ns()
        engine.run(batch)
        samples.append(perf_counter_ns() - started)
    return samples


if __name__ == "__main__":
    main()
    os._exit(0)  # the answer is written; unloading libraries would only delay the parent
