"""What each kind of adapter costs at run time: nodes and latency against the backbone alone.

    python benchmarks/sst2.py head:0 lora:0 …    # once per kind of METHODS: runs and bundles
    python benchmarks/kinds.py                   # on an idle machine

The backbone alone is the bundle of head-only training: the same encoder and head, no adapter.
"""

import sys
from dataclasses import asdict
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import onnx
import onnxruntime
from common import WORK, save

from edgeadapt.bench.plan import Plan
from edgeadapt.bench.runner import Evaluation, Subject, measure
from edgeadapt.bundle import Bundle
from edgeadapt.cli.console import Terminal
from edgeadapt.graph.attention import count_attention

METHODS = (
    "parallel", "lora", "ia3", "bitfit", "layernorm", "sequential", "houlsby", "compacter"
)  # fmt: skip
BASELINE = "head"
VARIANTS = ("fp32", "int8")
THREADS = 2
PLAN = Plan(lengths=(16, 128), rounds=25, repeats=60, warmup=15, starts=0, texts=0, timed=0)
"""On a shared machine some processes run at half speed for their whole life: many short ones."""


def main() -> None:
    folders = {m: WORK / "bundles" / f"sst2-{m}-0" for m in (BASELINE, *METHODS)}
    if missing := [method for method, folder in folders.items() if not folder.is_dir()]:
        print(f"left out, no bundle yet: {', '.join(missing)}")
    bundles = {m: Bundle.open(folder) for m, folder in folders.items() if m not in missing}
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
            "rows": [_row(method, bundle, graph) for method, bundle in bundles.items()],
        },
    )


def _row(method: str, bundle: Bundle, backbone: onnx.ModelProto) -> dict[str, Any]:
    model = _graph(bundle)
    merge = bundle.manifest.parity["merge"]
    return {
        "method": method,
        "merges": merge["leftover"]["bottlenecks"] == 0,
        "leftover": merge["leftover"],
        "merge_difference": merge["max_difference"],
        "extra_nodes": len(model.graph.node) - len(backbone.graph.node),
        "extra_nodes_optimized": _optimized_nodes(model) - _optimized_nodes(backbone),
        "attention_nodes": count_attention(model),
        "attention_nodes_of_the_backbone": count_attention(backbone),
        "trainable_parameters": bundle.manifest.provenance["trainable_parameters"],
        "total_parameters": bundle.manifest.provenance["total_parameters"],
        "bytes": {variant: bundle.variant_bytes(variant) for variant in VARIANTS},
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
