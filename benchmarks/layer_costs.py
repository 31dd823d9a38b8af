"""Measure how well a table of layer costs predicts the latency of pruned models in int8.

    python benchmarks/layer_costs.py            # some ten minutes of an idle machine
    python benchmarks/layer_costs.py bert-base  # the same for another shape, as long

For each length and number of threads, the table is measured as structured pruning does. Then stock
BERT models of that shape with random weights, whose layers were made narrower by hand, are exported
and quantized by the default candidate, and timed in fresh processes, one after another in several
rounds. The time of a model is the 10th percentile of its runs in its fastest process, as the
table's: on a machine that others use too, only undisturbed runs can be compared.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import TYPE_CHECKING, Any

from common import RESULTS, Shown, load, machine_name, save, table

from edgeadapt.measure.child import run_job
from edgeadapt.measure.timed_jobs import FixedInput, GraphJob
from edgeadapt.recipe import EngineName, Exporter
from edgeadapt.store.structure import Structure

if TYPE_CHECKING:
    import onnx

    from edgeadapt.compress.costs import LayerCosts

# Tables are written without onnx, which is imported where the measurement needs it.

__all__ = ["SHOWN"]

VOCABULARY = 30_522


@dataclass(frozen=True)
class Shape:
    """The shape of an encoder, and what is left of it in the models that are compared."""

    record: str
    hidden: int
    heads: int
    neurons: int
    layers: int
    lengths: tuple[int, ...]
    structures: Mapping[str, Structure]

    @property
    def full(self) -> Structure:
        """Nothing removed."""
        return self.at(self.layers)

    def at(self, depth: int) -> Structure:
        """All heads and neurons of some layers."""
        return Structure((self.heads,) * depth, (self.neurons,) * depth)


MINILM = Shape(
    "layer_costs",
    hidden=384,
    heads=12,
    neurons=1600,
    layers=6,
    lengths=(16, 64, 128),
    structures={
        "uniform 50 %": Structure((6,) * 6, (800,) * 6),
        "uneven": Structure((5, 7, 5, 5, 1, 3), (1312, 1088, 704, 224, 64, 32)),
        "rising": Structure((1, 2, 3, 9, 12, 6), (32, 160, 320, 800, 1600, 1216)),
        "without sublayers": Structure((0, 4, 0, 8, 3, 12), (640, 160, 416, 960, 0, 224)),
        "4 layers": Structure((12,) * 4, (1600,) * 4),
        "3 layers": Structure((12,) * 3, (1600,) * 3),
        "4 layers at 50 %": Structure((6,) * 4, (800,) * 4),
    },
)
BERT_BASE = Shape(
    "layer_costs-bert-base",
    hidden=768,
    heads=12,
    neurons=3072,
    layers=12,
    lengths=(64, 128),
    structures={
        "uniform 50 %": Structure((6,) * 12, (1536,) * 12),
        "uniform 40 %": Structure((5,) * 12, (1216,) * 12),
        "falling": Structure(
            (7, 8, 8, 7, 6, 6, 5, 4, 3, 2, 2, 6),
            (2048, 2048, 1920, 1792, 1536, 1408, 1152, 896, 640, 448, 320, 640),
        ),
        "8 layers at 60 %": Structure((7,) * 8, (1856,) * 8),
    },
)
UNPRUNED = "unpruned"
THREADS = (1, 2)
ROUNDS, REPEATS, WARMUP = 5, 20, 5
AIM = 0.10


def main() -> None:
    from edgeadapt.compress.costs import measure_costs
    from edgeadapt.graph.layer_stack import EncoderShape

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shape", nargs="?", choices=("minilm", "bert-base"), default="minilm")
    shape = BERT_BASE if parser.parse_args().shape == "bert-base" else MINILM
    encoder = EncoderShape(hidden=shape.hidden, head_size=shape.hidden // shape.heads)
    structures = {UNPRUNED: shape.full, **shape.structures}
    rows, tables = [], []
    with TemporaryDirectory() as folder:
        files = [
            quantized(shape, structure, Path(folder) / f"{number}.onnx")
            for number, structure in enumerate(structures.values())
        ]
        for threads in THREADS:
            for tokens in shape.lengths:
                started = perf_counter()
                costs = measure_costs(
                    encoder, shape.full, write_int8, tokens=tokens, threads=threads
                )
                seconds = round(perf_counter() - started, 1)
                tables.append({"tokens": tokens, "threads": threads, "seconds": seconds})
                rows += compared(structures, costs, measured(files, tokens, threads))
                print(f"{tokens} tokens, {threads} threads: {seconds} s", flush=True)
                for row in rows[-len(files) :]:
                    print("  {structure:18} {predicted_ms:7.3f} {measured_ms:7.3f}".format(**row))
    save(shape.record, {"rows": rows, "tables": tables})


def quantized(shape: Shape, structure: Structure, path: Path) -> Path:
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
        hidden_size=shape.hidden,
        num_hidden_layers=structure.depth,
        num_attention_heads=shape.heads,
        intermediate_size=shape.neurons,
    )
    model = BertForSequenceClassification(config).eval()
    merged = Merged(model, model, (), 0)
    if structure != shape.at(structure.depth):
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


def compared(
    structures: Mapping[str, Structure], costs: "LayerCosts", times: Sequence[float]
) -> list[dict[str, Any]]:
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
        for (name, structure), time in zip(structures.items(), times, strict=True)
    ]


def predictions(record: str = MINILM.record) -> str:
    """Errors of the predicted latency, in percent of the measured one."""
    found = load(record)
    kinds, rows = _kinds(found), _by_kind(found)
    lines = [
        (
            name,
            *(
                f"{rows[name, *kind]['measured_ms']:.2f} ({rows[name, *kind]['error']:+.1%})"
                for kind in kinds
            ),
        )
        for name in _structures(found)
    ]
    worst = max(abs(row["error"]) for row in found["rows"])
    off = sum(abs(row["error"]) > AIM for row in found["rows"])
    return table(("measured, ms (error)", *_heads(kinds)), lines) + (
        f"\n\n{machine_name(found['machine'])}. Largest error {worst:.1%}; {off} of "
        f"{len(found['rows'])} predictions are more than {AIM:.0%} off."
    )


def bert_base() -> str:
    """How many times as fast BERT-base is with fewer heads and neurons, measured and predicted."""
    if not (RESULTS / f"{BERT_BASE.record}.json").is_file():
        return "Not measured yet.\n"
    found = load(BERT_BASE.record)
    kinds, rows = _kinds(found), _by_kind(found)

    def ratio(name: str, kind: Kind, of: str) -> float:
        return float(rows[UNPRUNED, *kind][of] / rows[name, *kind][of])

    lines = [
        (
            name,
            *(
                f"{ratio(name, kind, 'measured_ms'):.2f} ({ratio(name, kind, 'predicted_ms'):.2f})"
                for kind in kinds
            ),
        )
        for name in _structures(found)
    ]
    return table(("times as fast (predicted)", *_heads(kinds)), lines)


Kind = tuple[int, int]
"""Tokens and threads."""


def _kinds(found: Mapping[str, Any]) -> list[Kind]:
    return [(each["tokens"], each["threads"]) for each in found["tables"]]


def _by_kind(found: Mapping[str, Any]) -> dict[tuple[str, int, int], Mapping[str, Any]]:
    return {(row["structure"], row["tokens"], row["threads"]): row for row in found["rows"]}


def _structures(found: Mapping[str, Any]) -> list[str]:
    return list(dict.fromkeys(row["structure"] for row in found["rows"]))


def _heads(kinds: Sequence[Kind]) -> list[str]:
    return [f"{tokens} tokens, {threads} thread{'s' * (threads > 1)}" for tokens, threads in kinds]


SHOWN = Shown(
    tables={
        "benchmarks/notes/layer-costs.md": {"layer-costs": predictions},
        "docs/results/compression.md": {"bert-base": bert_base},
    }
)

if __name__ == "__main__":
    main()
