"""Measure how well a table of layer costs predicts the latency of pruned models in int8.

    python benchmarks/layer_costs.py                    # some ten minutes of an idle machine

For each length and number of threads, the table is measured as structured pruning does. Then stock
BERT models of MiniLM's shape with random weights, whose layers were made narrower by hand, are
exported and quantized by the default candidate, and timed in fresh processes, one after another in
several rounds. The time of a model is the 10th percentile of its runs in its fastest process, as
the table's: on a machine that others use too, only undisturbed runs can be compared.
"""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import TYPE_CHECKING, Any

from common import Shown, load, machine_name, save, table

from edgeadapt.measure.child import run_job
from edgeadapt.measure.timed_jobs import FixedInput, GraphJob
from edgeadapt.recipe import EngineName, Exporter
from edgeadapt.store.structure import Structure

if TYPE_CHECKING:
    import onnx

    from edgeadapt.compress.costs import LayerCosts

# Tables are written without onnx, which is imported where the measurement needs it.

__all__ = ["SHOWN"]

HIDDEN, HEADS, NEURONS, LAYERS = 384, 12, 1600, 6
VOCABULARY = 30_522
FULL = Structure((HEADS,) * LAYERS, (NEURONS,) * LAYERS)
STRUCTURES = {
    "unpruned": FULL,
    "uniform 50 %": Structure((6,) * 6, (800,) * 6),
    "uneven": Structure((5, 7, 5, 5, 1, 3), (1312, 1088, 704, 224, 64, 32)),
    "rising": Structure((1, 2, 3, 9, 12, 6), (32, 160, 320, 800, 1600, 1216)),
    "without sublayers": Structure((0, 4, 0, 8, 3, 12), (640, 160, 416, 960, 0, 224)),
    "4 layers": Structure((12,) * 4, (1600,) * 4),
    "3 layers": Structure((12,) * 3, (1600,) * 3),
    "4 layers at 50 %": Structure((6,) * 4, (800,) * 4),
}
LENGTHS, THREADS = (16, 64, 128), (1, 2)
ROUNDS, REPEATS, WARMUP = 5, 20, 5
AIM = 0.10


def main() -> None:
    from edgeadapt.compress.costs import measure_costs
    from edgeadapt.graph.layer_stack import EncoderShape

    shape = EncoderShape(hidden=HIDDEN, head_size=HIDDEN // HEADS)
    rows, tables = [], []
    with TemporaryDirectory() as folder:
        files = {
            name: quantized(structure, Path(folder) / f"{number}.onnx")
            for number, (name, structure) in enumerate(STRUCTURES.items())
        }
        for threads in THREADS:
            for tokens in LENGTHS:
                started = perf_counter()
                costs = measure_costs(shape, FULL, write_int8, tokens=tokens, threads=threads)
                seconds = round(perf_counter() - started, 1)
                tables.append({"tokens": tokens, "threads": threads, "seconds": seconds})
                rows += compared(costs, measured(list(files.values()), tokens, threads))
                print(f"{tokens} tokens, {threads} threads: {seconds} s", flush=True)
                for row in rows[-len(files) :]:
                    print("  {structure:18} {predicted_ms:7.3f} {measured_ms:7.3f}".format(**row))
    save("layer_costs", {"rows": rows, "tables": tables})
    print(predictions())


def quantized(structure: Structure, path: Path) -> Path:
    """Writes a BERT with layers of these widths, lowered and in int8."""
    import onnx
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    from edgeadapt.backbones import backbone_spec
    from edgeadapt.exporters.lowering import lower
    from edgeadapt.models.merge import Merged
    from edgeadapt.runtime.resized import shaped

    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=VOCABULARY,
        hidden_size=HIDDEN,
        num_hidden_layers=structure.depth,
        num_attention_heads=HEADS,
        intermediate_size=NEURONS,
    )
    model = BertForSequenceClassification(config).eval()
    merged = Merged(model, model, (), 0)
    if structure != Structure((HEADS,) * structure.depth, (NEURONS,) * structure.depth):
        shaped(model, backbone_spec("bert"), structure)
        merged = merged.resized(model)
    lower(merged, path, exporter=Exporter.AUTO)
    write_int8(onnx.load(path), path)
    return path


def write_int8(model: "onnx.ModelProto", path: Path) -> None:
    """Writes the first candidate that ``edgeadapt export --quantize`` tries."""
    from edgeadapt.quantize.candidate import write
    from edgeadapt.quantize.options import Quantization

    write(Quantization().ways()[0], model, path, texts=())


def measured(files: Sequence[Path], tokens: int, threads: int) -> list[float]:
    """Returns the latency of each file in milliseconds."""
    from edgeadapt.compress.costs import quick_ms

    fixed = FixedInput(list(range(2, 2 + tokens)), [0] * tokens)
    rounds = []
    for _ in range(ROUNDS):
        jobs = [
            GraphJob(
                model=str(file),
                engine=EngineName.ONNXRUNTIME,
                threads=threads,
                fixed=[fixed],
                warmup=WARMUP,
                repeats=REPEATS,
            )
            for file in files
        ]
        rounds.append([quick_ms(run_job(job).latency_ns[0]) for job in jobs])
    return [min(times) for times in zip(*rounds, strict=True)]


def compared(costs: "LayerCosts", times: Sequence[float]) -> list[dict[str, Any]]:
    """Returns a row per structure."""
    return [
        {
            "tokens": costs.tokens,
            "threads": costs.threads,
            "structure": name,
            "predicted_ms": round(costs.of(structure), 4),
            "measured_ms": round(time, 4),
            "error": round(costs.of(structure) / time - 1, 4),
        }
        for (name, structure), time in zip(STRUCTURES.items(), times, strict=True)
    ]


def predictions() -> str:
    """Errors of the predicted latency, in percent of the measured one."""
    found = load("layer_costs")
    kinds = [(each["tokens"], each["threads"]) for each in found["tables"]]
    errors = {(row["structure"], row["tokens"], row["threads"]): row for row in found["rows"]}
    lines = [
        (
            name,
            *(
                f"{errors[name, *kind]['measured_ms']:.2f} ({errors[name, *kind]['error']:+.1%})"
                for kind in kinds
            ),
        )
        for name in dict.fromkeys(row["structure"] for row in found["rows"])
    ]
    heads = (f"{tokens} tokens, {threads} thread{'s' * (threads > 1)}" for tokens, threads in kinds)
    worst = max(abs(row["error"]) for row in found["rows"])
    off = sum(abs(row["error"]) > AIM for row in found["rows"])
    return table(("measured, ms (error)", *heads), lines) + (
        f"\n\n{machine_name(found['machine'])}. Largest error {worst:.1%}; {off} of "
        f"{len(found['rows'])} predictions are more than {AIM:.0%} off."
    )


SHOWN = Shown(tables={"benchmarks/notes/layer-costs.md": {"layer-costs": predictions}})

if __name__ == "__main__":
    main()
