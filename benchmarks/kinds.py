"""What each kind of adapter costs at run time: nodes and latency against the backbone alone.

    python benchmarks/accuracy.py sst2:head:0 sst2:lora:0 …    # once per kind: the runs
    python benchmarks/kinds.py                                 # on an idle machine

The backbone alone is head-only training: the same encoder and head, no adapter. What int8 costs is
on the whole test set.
"""

import sys
from dataclasses import asdict
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import onnx
import onnxruntime
from accuracy import KINDS
from common import WORK, save
from quantization import drift_on_test

from edgeadapt.bench.plan import Plan
from edgeadapt.bench.runner import Evaluation, Subject, measure
from edgeadapt.bundle import Bundle
from edgeadapt.cli.console import Terminal
from edgeadapt.graph.attention import count_attention
from edgeadapt.pipeline.export import ExportOptions, Quantization, export
from edgeadapt.run import Run

BASELINE = "head"
VARIANTS = ("fp32", "int8")
OPTIONS = ExportOptions(quantize=Quantization(), max_drop=1.0)
"""What int8 costs is reported, whatever it is."""
THREADS = 2
PLAN = Plan(
    lengths=(16, 128),
    rounds=25,
    repeats=60,
    warmup=15,
    starts=0,
    texts=0,
    timed=0,
    bulks=0,
    scaling=0,
)
"""On a shared machine some processes run at half speed for their whole life: many short ones."""


def main() -> None:
    folders = {kind: WORK / "runs" / f"sst2-{kind}-0" for kind in (BASELINE, *KINDS)}
    if missing := [kind for kind, folder in folders.items() if not folder.is_dir()]:
        print(f"left out, no run yet: {', '.join(missing)}")
    runs = {kind: Run.open(folder) for kind, folder in folders.items() if kind not in missing}
    bundles = {kind: export(run, options=OPTIONS, force=True) for kind, run in runs.items()}
    record = measure(
        [Subject(bundle, variant) for variant in VARIANTS for bundle in bundles.values()],
        plan=PLAN,
        threads=THREADS,
        evaluation=Evaluation(origin="none", sha256=None),
        baseline=Subject(bundles[BASELINE], "fp32"),
        progress=Terminal(),
    )
    graph = _graph(bundles[BASELINE])
    save(
        "kinds",
        {
            "threads": THREADS,
            "plan": asdict(PLAN),
            "process_medians_ms": {
                f"{sample.method} {sample.variant}": {
                    tokens: [median(times) / 1e6 for times in processes]
                    for tokens, processes in sample.latency_ns.items()
                }
                for sample in record.samples
            },
            "rows": [_row(kind, runs[kind], bundle, graph) for kind, bundle in bundles.items()],
        },
    )


def _row(kind: str, run: Run, bundle: Bundle, backbone: onnx.ModelProto) -> dict[str, Any]:
    model = _graph(bundle)
    merge = bundle.manifest.gates.merge
    return {
        "method": kind,
        "merges": merge.leftover.bottlenecks == 0,
        "leftover": asdict(merge.leftover),
        "merge_difference": merge.parity.max_difference,
        "extra_nodes": len(model.graph.node) - len(backbone.graph.node),
        "extra_nodes_optimized": _optimized_nodes(model) - _optimized_nodes(backbone),
        "attention_nodes": count_attention(model),
        "attention_nodes_of_the_backbone": count_attention(backbone),
        "trainable_parameters": run.info.trainable_parameters,
        "total_parameters": run.info.total_parameters,
        "bytes": {variant: bundle.variant_bytes(variant) for variant in VARIANTS},
        "test": drift_on_test(run, (bundle, "fp32"), (bundle, "int8")),
    }


def _graph(bundle: Bundle) -> onnx.ModelProto:
    return onnx.load(bundle.file(bundle.variant("fp32").file))


def _optimized_nodes(model: onnx.ModelProto) -> int:
    """Nodes of the graph that ONNX Runtime makes of it when it loads it."""
    with TemporaryDirectory() as folder:
        options = onnxruntime.SessionOptions()
        options.optimized_model_filepath = f"{folder}/optimized.onnx"
        options.log_severity_level = 3
        onnxruntime.InferenceSession(model.SerializeToString(), options)
        return len(onnx.load(options.optimized_model_filepath).graph.node)


if __name__ == "__main__":
    sys.exit(main())
