"""Measure the cost of each kind of adapter: nodes and latency against the backbone.

    python benchmarks/accuracy.py sst2:head:0 sst2:lora:0 …    # once per kind: the runs
    python benchmarks/kinds.py                                 # on an idle machine

The backbone alone is a run of head-only training: the same encoder and head, without an adapter.
The accuracy that int8 costs is measured on the whole test set.
"""

import sys
from dataclasses import asdict
from statistics import median
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from accuracy import KINDS, SST2
from common import WORK, Shown, load, rows_of, save, table
from latency import fastest
from quantization import drift_on_test

from edgeadapt.benchmark.runner import Evaluation, Subject, measure
from edgeadapt.cli.console import Terminal
from edgeadapt.store.bundle import Bundle
from edgeadapt.store.plan import Plan
from edgeadapt.store.run import Run

if TYPE_CHECKING:
    from onnx import ModelProto

__all__ = ["SHOWN"]

BASELINE = "head"
VARIANTS = ("fp32", "int8")
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
"""Many short processes, because on a shared machine some run at half speed throughout."""


def main() -> None:
    from edgeadapt.pipeline.export import ExportOptions, Quantization, export

    # Every drop is allowed, because it is the result.
    options = ExportOptions(quantize=Quantization(), max_drop=1.0)
    folders = {kind: WORK / "runs" / f"sst2-{kind}-0" for kind in (BASELINE, *KINDS)}
    if missing := [kind for kind, folder in folders.items() if not folder.is_dir()]:
        print(f"skipped, without a run: {', '.join(missing)}")
    runs = {kind: Run.open(folder) for kind, folder in folders.items() if kind not in missing}
    bundles = {kind: export(run, options=options, force=True) for kind, run in runs.items()}
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


def _row(kind: str, run: Run, bundle: Bundle, backbone: "ModelProto") -> dict[str, Any]:
    from edgeadapt.graph.attention import count_attention

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


def _graph(bundle: Bundle) -> "ModelProto":
    import onnx

    return onnx.load(bundle.file(bundle.variant("fp32").file))


def _optimized_nodes(model: "ModelProto") -> int:
    """Returns the number of nodes after ONNX Runtime has optimized the graph on loading."""
    import onnx
    import onnxruntime

    with TemporaryDirectory() as folder:
        options = onnxruntime.SessionOptions()
        options.optimized_model_filepath = f"{folder}/optimized.onnx"
        options.log_severity_level = 3
        onnxruntime.InferenceSession(model.SerializeToString(), options)
        return len(onnx.load(options.optimized_model_filepath).graph.node)


def kinds() -> str:
    """The size, accuracy and inference cost of each kind."""
    found = load("kinds")
    trained = {row["recipe"]: row for row in rows_of("accuracy", **SST2, seed=0)}
    lines = []
    for row in found["rows"]:
        method = row["method"]
        stays = row["leftover"]
        lines.append(
            (
                f"`{method}`" + (" (the backbone alone)" if method == "head" else ""),
                f"{row['trainable_parameters'] / row['total_parameters']:.2%}",
                "yes" if row["merges"] else f"{stays['bottlenecks']} stay",
                row["extra_nodes"],
                *(
                    "" if method == "head" else extra_latency(found, method, variant, tokens)
                    for variant in ("fp32", "int8")
                    for tokens in ("16", "128")
                ),
                f"{trained[method]['test_accuracy']:.2%}" if method in trained else "no record yet",
                f"{100 * row['test']['accuracy_drop']:.2f}" if "test" in row else "",
            )
        )
    same = [
        100 * (slowdown(found, row["method"], variant, tokens) - 1)
        for row in found["rows"]
        if row["extra_nodes"] == 0 and row["method"] not in ("head", "parallel")
        for variant in ("fp32", "int8")
        for tokens in ("16", "128")
    ]
    headers = (
        "kind",
        "trained",
        "merges exactly",
        "extra nodes",
        "fp32, 16 tokens",
        "fp32, 128",
        "int8, 16",
        "int8, 128",
        "SST-2",
        "int8 costs",
    )
    scored = rows_of("accuracy", **SST2, recipe="adapter")[0]
    right, texts = scored["test_accuracy"], scored["examples"]["test"]
    error = 100 * (right * (1 - right) / texts) ** 0.5
    return (
        f"{table(headers, lines)}\n\n"
        f"One seed each; one standard error of an accuracy is {error:.2f} points. "
        "Where everything folds into weights of the same shapes (LoRA, (IA)³, BitFit and "
        "LayerNorms), the graph is the backbone's own, and the difference is noise: "
        f"{min(same):+.1f} to {max(same):+.1f} % here."
    )


def extra_latency(found: dict[str, Any], method: str, variant: str, tokens: str) -> str:
    """Returns how much slower a kind is than the backbone alone, in percent."""
    return f"{100 * (slowdown(found, method, variant, tokens) - 1):+.1f} %"


def slowdown(found: dict[str, Any], method: str, variant: str, tokens: str) -> float:
    """Returns latency over that of the backbone alone, from the fastest fifth of the processes.

    Other load on a shared machine only adds time, often to a whole process. Between equal graphs,
    the medians over all processes differ by twice as much as this estimate.
    """
    medians = found["process_medians_ms"]
    mine, alone = (
        fastest(medians[f"{name} {variant}"][tokens], part=5) for name in (method, "head")
    )
    return mine / alone


def kinds_rounds() -> str:
    return str(load("kinds")["plan"]["rounds"])


SHOWN = Shown(
    tables={"docs/results/adapters.md": {"kinds": kinds}}, figures={"kinds-rounds": kinds_rounds}
)


if __name__ == "__main__":
    sys.exit(main())
