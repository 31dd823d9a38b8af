"""Write the files of the peers of ``compression_peers.py``, and score them."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import onnx
from common import WORK, data_folder
from compressors import STATIC, Peer
from contenders import PeerError

from edgeadapt.data import Examples, read_rows
from edgeadapt.errors import EdgeAdaptError
from edgeadapt.exporters import export_onnx
from edgeadapt.exporters.lowering import lower
from edgeadapt.graph import rewrite
from edgeadapt.graph.attention import fuse_attention
from edgeadapt.metrics import Logits, drift
from edgeadapt.models.merge import Merged, merge
from edgeadapt.models.opened import OpenedRun
from edgeadapt.models.sources import find_model
from edgeadapt.quantize.candidate import Candidate, write
from edgeadapt.recipe import Exporter, GraphPass, Recipe, Scheme
from edgeadapt.runtime.base import text_logits
from edgeadapt.runtime.onnxruntime_engine import OnnxRuntimeEngine
from edgeadapt.store.run import Run
from edgeadapt.store.structure import Structure

__all__ = ["Subject", "measure"]


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
        if peer.script == STATIC:
            return made | static_row(subject, folder)
        return made | graph_row(subject, folder)
    except (PeerError, EdgeAdaptError, RuntimeError, ValueError) as error:
        return {"error": f"{type(error).__name__}: {error}", "needs": peer.needs}


def make(subject: Subject, peer: Peer, folder: Path) -> None:
    """Writes ``int8.onnx``, and the fp32 graph it is from, or the peer's own files."""
    if not peer.script:
        lower(fine_tuned(subject, peer), folder / "fp32.onnx", exporter=Exporter.AUTO)
        write_int8(folder)
        return
    peer.contender().ask("prepare", subject.source, folder, given=dict(peer.settings))
    if peer.script == STATIC:
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
