"""Measure what other ways to a smaller model keep of a run's accuracy, and win in latency.

    python benchmarks/accuracy.py trec:adapter:0            # once: the runs
    python benchmarks/compression_peers.py                  # every peer, every run of seed 0
    python benchmarks/compression_peers.py trec:0:onnxsim   # peers whose name begins with onnxsim
    python benchmarks/compression_peers.py --time trec:0    # latency of the files: an idle machine

Every peer (``PEERS_OF_COMPRESSION``, ``peers/``) starts from the same run: its merged fp32 model,
its training text, or the backbone under it. What comes out gets the same graph passes and the same
dynamic int8 as the run itself, and is scored on all of its test text. Test text chooses nothing.
The files are kept in ``artifacts/compression``, so that timing can be repeated; rows that are
recorded are not measured again without ``--again``. A peer that fails gets a row with the error.
"""

import argparse
import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import onnx
from accuracy import add_row
from common import RESULTS, WORK, data_folder, load
from contenders import Contender, PeerError

from edgeadapt.data import Examples, read_rows
from edgeadapt.exporters import export_onnx
from edgeadapt.exporters.lowering import lower
from edgeadapt.graph import rewrite
from edgeadapt.graph.attention import fuse_attention
from edgeadapt.measure.child import run_job
from edgeadapt.measure.timed_jobs import FixedInput, GraphJob
from edgeadapt.metrics import Logits, drift
from edgeadapt.models.merge import Merged, merge
from edgeadapt.models.opened import OpenedRun
from edgeadapt.models.sources import find_model
from edgeadapt.quantize.candidate import Candidate, write
from edgeadapt.recipe import EngineName, Exporter, GraphPass, Scheme
from edgeadapt.runtime.base import text_logits
from edgeadapt.runtime.onnxruntime_engine import OnnxRuntimeEngine
from edgeadapt.store.run import Run
from edgeadapt.store.structure import Structure

RECORD, TIMES = "compression_peers", "compression_peers-latency"
DATASETS = ("trec", "tweet_emotion", "sst2", "banking77")
LENGTHS, ROUNDS, THREADS = (16, 64, 128), 7, (1, 2)
WARMUP, REPEATS = 15, 60
REMOVED = (0.35, 0.5, 0.65)
"""Shares of heads and neurons to remove."""
CALIBRATION = (64, 1_024)
"""Numbers of training texts."""


@dataclass(frozen=True)
class Peer:
    """One way to a smaller model, with one group of settings."""

    name: str
    script: str
    """Name of its script in ``peers/``; empty for a training by edgeadapt itself."""
    settings: Mapping[str, Any]
    needs: tuple[str, ...] = ()
    """Requirements of its own environment; empty if it runs in the current one."""

    @property
    def setting(self) -> str:
        """The settings in words."""
        return ", ".join(f"{name} {value}" for name, value in self.settings.items())

    @property
    def folder(self) -> str:
        """Name of the folder of its files."""
        words = [self.name, *(str(value) for value in self.settings.values())]
        return "-".join(words).replace(" ", "-")

    def contender(self) -> Contender:
        """Returns its script and environment."""
        return Contender(self.name, self.script, self.folder, self.needs, ENVIRONMENT)


ENVIRONMENT = {"HF_HUB_OFFLINE": "1", "CI": "true"}
ONNXSIM = ("onnxsim==0.8.1", "onnx", "onnxruntime==1.32.0")
TORCH = ("torch==2.13.0", "transformers==4.57.6", "safetensors")
TEXTPRUNER = (*TORCH, "textpruner==1.1.post2")
SLIM = (
    *TORCH, "neural-compressor==3.7.1", "setuptools<81", "six", "requests", "prettytable", "pandas",
    "scikit-learn",
)  # fmt: skip
"""Its wheel does not name all that it imports."""
MODEL2VEC = ("model2vec[distill,train]==0.10.0", "torch==2.13.0", "scikit-learn")
PEERS_OF_COMPRESSION = (
    *(
        Peer("onnxsim", "onnxsim_pruning", {"removed": removed, "texts": texts}, ONNXSIM)
        for texts in CALIBRATION
        for removed in REMOVED
    ),
    *(
        Peer(
            "TextPruner",
            "textpruner_pruning",
            {"removed": removed, "texts": CALIBRATION[-1]},
            TEXTPRUNER,
        )
        for removed in REMOVED
    ),
    *(
        Peer("neural-compressor", "neural_compressor_slim", {"removed": removed, "epochs": 4}, SLIM)
        for removed in REMOVED
    ),
    *(Peer("fewer layers, fine-tuned", "", {"layers": layers}) for layers in (3, 4)),
    *(Peer("distilled", "distilled", {"layers": layers}) for layers in (3, 4)),
    *(
        Peer("model2vec", "model2vec_text", {"of": of}, MODEL2VEC)
        for of in ("encoder", "checkpoint")
    ),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("jobs", nargs="*", help="DATASET:SEED[:PEER]; default: all of seed 0")
    parser.add_argument("--time", action="store_true", help="measure the latency of existing files")
    parser.add_argument("--again", action="store_true", help="also measure what is recorded")
    asked = parser.parse_args()
    for job in asked.jobs or [f"{dataset}:0" for dataset in DATASETS]:
        dataset, seed, *names = job.split(":")
        root = WORK / "compression" / f"{dataset}-{seed}"
        if asked.time:
            for threads in THREADS:
                time_all(root, {"dataset": dataset, "seed": int(seed), "threads": threads})
            continue
        peers = [
            peer for peer in PEERS_OF_COMPRESSION if not names or peer.name.startswith(tuple(names))
        ]
        measure_all(dataset, int(seed), peers, root, again=asked.again)


def measure_all(dataset: str, seed: int, peers: Sequence[Peer], root: Path, *, again: bool) -> None:
    known = load(RECORD)["rows"] if (RESULTS / f"{RECORD}.json").is_file() else []
    for peer in peers:
        same = {"dataset": dataset, "seed": seed, "peer": peer.name, "setting": peer.setting}
        if not again and any(same.items() <= row.items() for row in known):
            continue
        subject = Subject.of(dataset, seed, root)
        row = same | measure(subject, peer, root / peer.folder)
        print(row, flush=True)
        add_row(RECORD, row, keys=tuple(same))


@dataclass(frozen=True)
class Scores:
    """Logits of a model on all texts of a run that have labels."""

    validation: Logits
    test: Logits


@dataclass(frozen=True)
class Subject:
    """A run, and the files that peers start from."""

    run: Run
    opened: OpenedRun
    merged: Merged
    source: Path
    fp32: Scores
    """Of the unpruned fp32 model."""
    weights: int
    """Weights in its dense layers and attention."""

    @classmethod
    def of(cls, dataset: str, seed: int, root: Path) -> "Subject":
        """Returns a run's files, writing those that are missing."""
        run = Run.open(WORK / "runs" / f"{dataset}-adapter-{seed}")
        opened, source, whole = OpenedRun(run), root / "source", root / "unpruned"
        merged = merge(opened.classifier())
        if not (whole / "int8.onnx").is_file():
            write_source(dataset, opened, merged, source)
            whole.mkdir(parents=True, exist_ok=True)
            lower(merged, whole / "fp32.onnx", exporter=Exporter.AUTO)
            write_int8(whole)
        fp32 = scores(opened, whole / "fp32.onnx")
        return cls(run, opened, merged, source, fp32, dense_weights(whole / "fp32.onnx"))


def write_source(dataset: str, opened: OpenedRun, merged: Merged, source: Path) -> None:
    """Writes the merged checkpoint, its backbone, a graph with fused nodes, and texts."""
    shutil.rmtree(source, ignore_errors=True)
    merged.save(source / "checkpoint")
    opened.write_tokenizer(source / "checkpoint")
    shutil.copytree(find_model(opened.recipe.model).folder, source / "encoder")
    export_onnx(merged.stock, source / "graph.onnx", exporter=Exporter.AUTO)
    graph = fuse_gelu(fuse_attention(onnx.load(source / "graph.onnx")))
    onnx.save(graph, source / "graph.onnx")
    rows = read_rows(data_folder(dataset) / "train.csv")
    order = np.random.default_rng(0).permutation(len(rows))
    texts = [rows[row]["text"] for row in order]
    write_texts(source / "train.json", opened, texts, [int(rows[row]["label"]) for row in order])
    for name, split in (("validation", opened.validation), ("test", opened.test)):
        kept = labelled(split)
        write_texts(source / f"{name}.json", opened, kept.texts, kept.known_labels().tolist())


def write_texts(path: Path, opened: OpenedRun, texts: Sequence[Any], labels: Sequence[int]) -> None:
    ids = [tokens.ids for tokens in opened.encoder.encode(texts)]
    path.write_text(json.dumps({"texts": list(texts), "ids": ids, "labels": list(labels)}))


def labelled(examples: Examples | None) -> Examples:
    assert examples is not None, "the runs of accuracy.py hold validation and test text"
    return examples


def fuse_gelu(graph: onnx.ModelProto) -> onnx.ModelProto:
    """Returns a copy with one node per activation, which onnxsim needs to find neurons."""
    from onnxruntime.transformers.fusion_options import FusionOptions
    from onnxruntime.transformers.optimizer import optimize_model

    options = FusionOptions("bert")
    for name in vars(options):
        if name.startswith("enable_"):
            setattr(options, name, name == "enable_gelu")
    copy = onnx.ModelProto()
    copy.CopyFrom(graph)
    return optimize_model(copy, "bert", 0, 0, options, opt_level=0).model


def measure(subject: Subject, peer: Peer, folder: Path) -> dict[str, Any]:
    """Returns what a peer's model costs and keeps, or the error."""
    started = perf_counter()
    try:
        if not (folder / "made.json").is_file():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            make(subject, peer, folder)
            trained = 0.0 if peer.script else Run.open(run_of(subject, peer)).info.seconds
            seconds = trained or perf_counter() - started
            (folder / "made.json").write_text(json.dumps({"seconds": seconds}))
        made = json.loads((folder / "made.json").read_text())
        if peer.script == "model2vec_text":
            return made | static_row(subject, folder)
        return made | graph_row(subject, folder)
    except (PeerError, RuntimeError, ValueError) as error:
        return {"error": f"{type(error).__name__}: {error}", "needs": peer.needs}


def make(subject: Subject, peer: Peer, folder: Path) -> None:
    """Writes ``int8.onnx``, and the fp32 graph it is from, or the peer's own files."""
    if not peer.script:
        lower(fine_tuned(subject, peer), folder / "fp32.onnx", exporter=Exporter.AUTO)
        write_int8(folder)
        return
    peer.contender().ask("prepare", subject.source, folder, given=dict(peer.settings))
    if peer.script == "model2vec_text":
        return
    if (folder / "graph.onnx").is_file():
        graph = onnx.load(folder / "graph.onnx")
        (folder / "structure.json").write_text(json.dumps(widths_of(graph)))
        onnx.save(
            rewrite(graph, set(GraphPass) - {GraphPass.ATTENTION}, pairs=False),
            folder / "fp32.onnx",
        )
    else:
        lower(loaded(subject, folder), folder / "fp32.onnx", exporter=Exporter.AUTO)
    write_int8(folder)


def fine_tuned(subject: Subject, peer: Peer) -> Merged:
    """Returns the run's backbone with fewer layers after full fine-tuning, trained if missing."""
    from edgeadapt.pipeline.train import train

    info, place = subject.run.info, run_of(subject, peer)
    if not (place / "run.json").is_file():
        from edgeadapt.recipe import Recipe

        training = {"seed": info.recipe.training.seed, "threads": 1}
        tables: dict[str, Any] = {
            "data": {"dataset": info.recipe.data.dataset},
            "model": {"layers": peer.settings["layers"]},
            "adapter": {"method": "full"},
            "training": training,
        }
        train(Recipe().updated(tables, origin="benchmark"), output=place)
    return merge(OpenedRun(Run.open(place)).classifier())


def run_of(subject: Subject, peer: Peer) -> Path:
    """Returns the folder of a run with fewer layers."""
    name = subject.run.name.replace("adapter", f"full{peer.settings['layers']}")
    return WORK / "runs" / name


def loaded(subject: Subject, folder: Path) -> Merged:
    """Returns the model that a peer wrote as a checkpoint, or as weights and widths."""
    from safetensors.torch import load_file
    from transformers import AutoModelForSequenceClassification

    from edgeadapt.backbones import backbone_spec
    from edgeadapt.runtime.resized import shaped

    if (folder / "checkpoint").is_dir():
        stock = AutoModelForSequenceClassification.from_pretrained(folder / "checkpoint").eval()
        return Merged(model=stock, stock=stock, kept=(), unshared_bytes=0)
    widths = json.loads((folder / "structure.json").read_text())
    structure = Structure(tuple(widths["heads"]), tuple(widths["neurons"]))
    model = AutoModelForSequenceClassification.from_pretrained(subject.source / "checkpoint")
    shaped(model, backbone_spec(model.config.model_type), structure)
    model.load_state_dict(load_file(folder / "model.safetensors"), strict=True)
    return Merged(model=model.eval(), stock=model, kept=(), unshared_bytes=0, structure=structure)


def write_int8(folder: Path) -> None:
    graph = onnx.load(folder / "fp32.onnx")
    write(Candidate(Scheme.DYNAMIC_INT8), graph, folder / "int8.onnx", texts=())


def widths_of(graph: onnx.ModelProto) -> dict[str, list[int]]:
    """Returns heads and neurons of each layer of a graph with fused attention."""
    shapes = {tensor.name: tuple(tensor.dims) for tensor in graph.graph.initializer}
    heads = [
        attribute.i
        for node in graph.graph.node
        if node.op_type == "Attention"
        for attribute in node.attribute
        if attribute.name == "num_heads"
    ]
    # Of each layer: the attention's last dense layer, then the two of the FFN.
    dense = [
        shapes[node.input[1]]
        for node in graph.graph.node
        if node.op_type == "MatMul" and node.input[1] in shapes
    ]
    return {"heads": heads, "neurons": [columns for _, columns in dense[1 : 3 * len(heads) : 3]]}


def dense_weights(file: Path) -> int:
    """Returns the number of weights in the products of a graph."""
    graph = onnx.load(file).graph
    sizes = {
        tensor.name: int(np.prod(tensor.dims))
        for tensor in graph.initializer
        if len(tensor.dims) == 2
    }
    products = ("MatMul", "Gemm", "Attention")
    used = {
        name
        for node in graph.node
        if node.op_type in products
        for name in node.input
        if name in sizes
    }
    return sum(sizes[name] for name in used)


def scores(opened: OpenedRun, file: Path) -> Scores:
    """Returns a graph's logits, computed text by text and read from disk the next time."""
    kept = file.with_suffix(".npz")
    if not kept.is_file():
        engine = OnnxRuntimeEngine(file)
        np.savez(
            kept,
            **{
                name: text_logits(engine, opened.encoder, labelled(split).texts)
                for name, split in (("validation", opened.validation), ("test", opened.test))
            },
        )
    found = np.load(kept)
    return Scores(found["validation"], found["test"])


def compared(subject: Subject, after: Scores) -> dict[str, Any]:
    """Returns accuracy and its drop against the unpruned fp32 model."""
    opened, task = subject.opened, subject.run.info.task
    found = {}
    for name, split in (("validation", opened.validation), ("test", opened.test)):
        labels = labelled(split).known_labels()
        before = getattr(subject.fp32, name)
        found[name] = drift(before, getattr(after, name), labels, task=task).to_dict()
    return found


def graph_row(subject: Subject, folder: Path) -> dict[str, Any]:
    structure = folder / "structure.json"
    return {
        "weights": dense_weights(folder / "fp32.onnx") / subject.weights,
        "structure": json.loads(structure.read_text()) if structure.is_file() else None,
        "int8_bytes": (folder / "int8.onnx").stat().st_size,
        "fp32": compared(subject, scores(subject.opened, folder / "fp32.onnx")),
        **compared(subject, scores(subject.opened, folder / "int8.onnx")),
    }


def static_row(subject: Subject, folder: Path) -> dict[str, Any]:
    """The same of static embeddings; their logits are the logarithms of probabilities."""
    found = json.loads((folder / "probabilities.json").read_text())
    columns = np.argsort(found["labels"])
    logits = [
        np.log(np.maximum(np.asarray(found[name], dtype=np.float32)[:, columns], 1e-30))
        for name in ("validation", "test")
    ]
    files = (file for file in (folder / "pipeline").rglob("*") if file.is_file())
    size = sum(file.stat().st_size for file in files)
    return {"own_bytes": size, **compared(subject, Scores(*logits))}


@dataclass
class Clock:
    """The times of one model in milliseconds."""

    medians: dict[str, list[float]] = field(default_factory=dict)
    """Tokens -> the median of each process."""

    def add(self, name: str, nanoseconds: Sequence[int]) -> None:
        self.medians.setdefault(name, []).append(float(np.median(nanoseconds)) / 1e6)


def time_all(root: Path, same: Mapping[str, Any]) -> None:
    """Times the unpruned int8 file and every peer's, in fresh, interleaved processes."""
    generator = np.random.default_rng(0)
    ids = {
        length: [101, *generator.integers(1_000, 20_000, length - 2).tolist(), 102]
        for length in LENGTHS
    }
    text = {str(length): " ".join(["good", "film"] * length)[: 5 * length] for length in LENGTHS}
    peers = [peer for peer in PEERS_OF_COMPRESSION if (root / peer.folder / "made.json").is_file()]
    clocks = {peer: Clock() for peer in [None, *(peer.folder for peer in peers)]}
    for number in range(ROUNDS):
        for peer in (None, *peers):
            clock = clocks[peer.folder if peer else None]
            if peer and peer.script == "model2vec_text":
                given = {"texts": text, "warmup": WARMUP, "repeats": REPEATS}
                answer = json.loads(
                    peer.contender().ask("measure", root / peer.folder, given=given)
                )
            else:
                file = root / (peer.folder if peer else "unpruned") / "int8.onnx"
                job = GraphJob(
                    model=str(file),
                    engine=EngineName.ONNXRUNTIME,
                    threads=same["threads"],
                    fixed=[FixedInput(row, [0] * len(row)) for row in ids.values()],
                    warmup=WARMUP,
                    repeats=REPEATS,
                )
                answer = dict(zip(map(str, LENGTHS), run_job(job).latency_ns, strict=True))
            for name, nanoseconds in answer.items():
                clock.add(name, nanoseconds)
        print(f"{root.name}, {same['threads']} threads, {number + 1}/{ROUNDS}", flush=True)
    for peer in (None, *peers):
        clock = clocks[peer.folder if peer else None]
        names = (peer.name, peer.setting) if peer else ("edgeadapt int8, unpruned", "")
        row = {**same, "peer": names[0], "setting": names[1], "process_medians_ms": clock.medians}
        add_row(TIMES, row, keys=("dataset", "seed", "threads", "peer", "setting"))


if __name__ == "__main__":
    sys.exit(main())
