"""Compare p50 and p90 with MLPerf's load generator, on the same samples and in separate runs.

    python benchmarks/quantization.py sst2:0:default    # once: the bundle
    python benchmarks/loadgen.py [BUNDLE]               # two minutes of an idle machine

The generator sends one text after another (single stream). The answering process times the same
queries, so that both estimators have the same samples. Processes of the generator and of
``edgeadapt bench`` are interleaved. These are not MLPerf results.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter_ns
from typing import Any

from common import WORK, Shown, asked_bundle, load, machine_name, save, table

from edgeadapt.benchmark.evaluation import evaluation_of
from edgeadapt.benchmark.jobs import Subject, measure_job
from edgeadapt.measure.child import run_job
from edgeadapt.measure.machine import usable_cores
from edgeadapt.measure.statistics import latency
from edgeadapt.runtime import load_engine
from edgeadapt.store.bundle import Bundle
from edgeadapt.store.plan import Plan

__all__ = ["SHOWN"]

PACKAGE = "mlcommons-loadgen==6.0.17"
PLACE = WORK / "peers" / "loadgen"
QUERIES, SECONDS, ROUNDS = 1_024, 5, 7
TEXTS = 1_024
PERCENTILES = (50, 90)


def main() -> None:
    bundle = asked_bundle()
    if not PLACE.is_dir():
        pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", PLACE]
        subprocess.run([*pip, PACKAGE], check=True)
    rounds = []
    for number in range(ROUNDS):
        rounds.append({"generator": asked_by_generator(bundle), "bench": asked_by_bench(bundle)})
        print(f"{number + 1}/{ROUNDS}", rounds[-1], flush=True)
    save(
        "loadgen",
        {"package": PACKAGE, "rounds": rounds, "rows": [row(rounds, p) for p in ("p50", "p90")]},
    )


def row(rounds: list[dict[str, Any]], percentile: str) -> dict[str, Any]:
    """Returns the difference of the estimators on the same samples and in separate runs."""
    own, theirs, bench = (
        [found[who][whose][percentile] for found in rounds]
        for who, whose in (("generator", "own"), ("generator", "theirs"), ("bench", "own"))
    )
    middle = median(bench)
    return {
        "percentile": percentile,
        "same_samples": max(abs(one / other - 1) for one, other in zip(own, theirs, strict=True)),
        "separate_runs": middle / median(theirs) - 1,
        "rerun_spread": max(abs(value / middle - 1) for value in bench),
    }


def asked_by_bench(bundle: Path) -> dict[str, Any]:
    """Runs one process of ``edgeadapt bench`` on the same texts."""
    opened = Bundle.open(bundle)
    plan = Plan(lengths=(), rounds=1, timed=TEXTS, seconds=SECONDS)
    texts = evaluation_of([opened], None).texts[:TEXTS]
    answer = run_job(measure_job(Subject(opened, "int8"), plan, usable_cores(), texts))
    found = latency([answer.latency_ns["text"]])
    assert found
    return {"own": {"p50": found.p50, "p90": found.p90}}


def asked_by_generator(bundle: Path) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, __file__, "--asked", bundle],
        env={**os.environ, "PYTHONPATH": f"{PLACE}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return dict(json.loads(done.stdout.splitlines()[-1]))


def answer_generator(bundle: Bundle) -> None:
    """Serves the queries of the generator in this process, and prints both estimates."""
    import mlperf_loadgen as generator

    encoder = bundle.text_encoder()
    engine = load_engine(bundle, "int8", threads=usable_cores())
    texts = evaluation_of([bundle], None).texts[:TEXTS]
    for text in texts[:20]:
        engine.run(encoder.batch([text]))
    samples: list[int] = []

    def answer(queries: list[Any]) -> None:
        for query in queries:
            started = perf_counter_ns()
            engine.run(encoder.batch([texts[query.index]]))
            response = generator.QuerySampleResponse(query.id, 0, 0)
            generator.QuerySamplesComplete([response])
            samples.append(perf_counter_ns() - started)

    settings = generator.TestSettings()
    settings.scenario = generator.TestScenario.SingleStream
    settings.mode = generator.TestMode.PerformanceOnly
    settings.min_query_count, settings.min_duration_ms = QUERIES, SECONDS * 1_000
    with TemporaryDirectory() as folder:
        log = generator.LogSettings()
        log.log_output.outdir = folder
        sut = generator.ConstructSUT(answer, lambda: None)
        library = generator.ConstructQSL(len(texts), len(texts), lambda _: None, lambda _: None)
        generator.StartTestWithLogSettings(sut, library, settings, log)
        summary = Path(folder, "mlperf_log_summary.txt").read_text()
    theirs = {
        f"p{share}": int(
            re.findall(rf"{share}\.00 percentile latency \(ns\)\s*:\s*(\d+)", summary)[0]
        )
        / 1e6
        for share in PERCENTILES
    }
    found = latency([samples])
    assert found
    own = {"p50": found.p50, "p90": found.p90}
    print(json.dumps({"queries": len(samples), "own": own, "theirs": theirs}), flush=True)
    os._exit(0)


def loadgen() -> str:
    """Comparison of the estimators of the bench and the load generator."""
    found = load("loadgen")
    lines = [
        (
            row["percentile"],
            f"{row['same_samples']:.2%}",
            f"{row['separate_runs']:+.1%}",
            f"{row['rerun_spread']:.1%}",
        )
        for row in found["rows"]
    ]
    headers = ("", "same samples", "runs of their own", "our own runs among themselves")
    return table(headers, lines) + f"\n\n{found['package']}, {machine_name(found['machine'])}."


def loadgen_p90() -> str:
    """Difference of p90 to the load generator on the same samples."""
    (row,) = (row for row in load("loadgen")["rows"] if row["percentile"] == "p90")
    return f"{row['same_samples']:.1%}"


SHOWN = Shown(
    tables={"benchmarks/notes/measuring.md": {"loadgen": loadgen}},
    figures={"loadgen-p90": loadgen_p90},
)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--asked"]:
        answer_generator(Bundle.open(Path(sys.argv[2])))
    sys.exit(main())
