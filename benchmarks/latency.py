"""The same trained weights in edgeadapt's graph and in other toolchains, in turn on one machine.

    python benchmarks/accuracy.py sst2:adapter:0      # the run
    python benchmarks/latency.py                      # on an idle machine: an hour
    python benchmarks/latency.py MiniLM-L6:2          # one shape, with so many threads

Every contender (``peers/``) runs in fresh processes that take turns, those of other libraries in
environments of their own under ``artifacts/peers``. MiniLM-L6 is the run's; BERT-base has random
weights, as time does not depend on them. Labels are compared with plain fp32's, so that nobody wins
by computing something else, and of the trained ones accuracy is measured on all of SST-2's test
text. A contender that fails is a row that says so. Rows of other machines stay.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import product
from pathlib import Path
from statistics import fmean, median
from typing import Any

import numpy as np
import onnx
import torch
from common import (
    RESULTS,
    WORK,
    data_folder,
    drawn_texts,
    load,
    machine_name,
    peer_python,
    save,
    signal_between_cores,
)
from transformers import AutoModel, BertConfig

import edgeadapt
from edgeadapt.config import (
    AdapterConfig,
    Calibration,
    Exporter,
    GraphPass,
    ModelConfig,
    Scheme,
)
from edgeadapt.data import read_rows
from edgeadapt.export import export_onnx
from edgeadapt.measure.machine import describe_machine, usable_cores
from edgeadapt.models.classifier import AdaptedClassifier
from edgeadapt.models.merge import Merged, merge
from edgeadapt.models.sources import find_model
from edgeadapt.pipeline.lower import lower
from edgeadapt.pipeline.restore import recipe_of, restore, text_encoder, write_tokenizer
from edgeadapt.quantize.candidate import Candidate, write
from edgeadapt.run import Run
from edgeadapt.text import Tokens

PEERS = Path(__file__).parent / "peers"
RUN = "sst2-adapter-0"
LENGTHS = (8, 16, 32, 64, 128)
TEXTS = {"sst2": 200, "imdb": 50}
CALIBRATION = 300
ROUNDS = 7
THREADS = (2, 1)


@dataclass(frozen=True)
class Contender:
    """One way to run a model."""

    title: str
    script: str
    """Of ``peers/``."""
    folder: str
    """Where its files are, beside the other contenders'."""
    needs: tuple[str, ...] = ()
    """What pip installs for it; without any it runs where this script does."""
    environment: Mapping[str, str] = field(default_factory=dict)
    shapes: tuple[str, ...] = ("MiniLM-L6", "BERT-base")
    """What it is measured on: where a process takes a minute to begin, the trained one alone."""

    @property
    def all_cores(self) -> bool:
        """Whether it takes all cores, whatever it is told."""
        return "DEFAULT_SESSION" in self.environment

    def python(self) -> str:
        """Returns the interpreter that it runs in, with what it needs."""
        if not self.needs:
            return sys.executable
        return str(peer_python(self.script, self.needs))

    def ask(self, *words: str | Path, given: object) -> str:
        """Runs its script with JSON on standard input and returns what it prints."""
        done = subprocess.run(
            [self.python(), PEERS / f"{self.script}.py", *words],
            input=json.dumps(given),
            env={**os.environ, "PYTHONWARNINGS": "ignore", **self.environment},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            last = (done.stderr.strip() or f"exit code {done.returncode}").splitlines()[-1]
            raise PeerError(f"{words[0]}: {last[:300]}")
        return done.stdout


class PeerError(Exception):
    """A contender's process failed; the last of its words."""


TRAINED = ("MiniLM-L6",)
BACKBONE = "edgeadapt-backbone"
_session = partial(Contender, script="onnxruntime_session")
OURS, FP32 = "edgeadapt int8", "onnxruntime fp32"
_openvino = partial(
    Contender,
    script="openvino_nncf",
    needs=("openvino==2026.4.1", "nncf==3.4.0"),
    # Else it reports home from a process that outlives its own, and holds what that prints to.
    environment={"CI": "true"},
)
CONTENDERS = (
    _session(OURS, folder="edgeadapt-int8"),
    _session("… default session", folder="edgeadapt-int8", environment={"DEFAULT_SESSION": "1"}),
    _session("… without its adapter", folder=BACKBONE),
    _session("edgeadapt fp32", folder="edgeadapt-fp32"),
    _session("onnxruntime quantize_dynamic", folder="stock-int8"),
    _session(FP32, folder="stock"),
    _openvino("edgeadapt int8 on OpenVINO", folder="edgeadapt-openvino"),
    _openvino("OpenVINO + NNCF static int8", folder="openvino"),
    Contender(
        "CTranslate2 int8",
        "ctranslate2_int8",
        "ctranslate2",
        ("ctranslate2==4.8.5", "transformers==4.57.6", "torch==2.13.0"),
    ),
    Contender(
        "sentence-transformers int8 (encoder alone)",
        "sentence_transformers_int8",
        "sentence-transformers",
        (
            "sentence-transformers[onnx]==5.1.2",
            "transformers==4.57.6",
            "torch==2.13.0",
            "onnxruntime==1.32.0",
        ),
    ),
    Contender(
        "SetFit int8",
        "setfit_int8",
        "setfit",
        (
            "setfit==1.2.0",
            "sentence-transformers[train]==5.1.2",
            "transformers==4.57.6",
            "torch==2.13.0",
            "skl2onnx==1.20.0",
            "onnxruntime==1.32.0",
        ),
        shapes=TRAINED,
    ),
    Contender("torch eager fp32", "torch_eager", "torch"),
    Contender("torch.compile fp32", "torch_compiled", "torch-compiled", shapes=TRAINED),
    Contender(
        "torchao int8, torch.compile",
        "torchao_int8",
        "torchao",
        ("torchao==0.18.0", "transformers==4.57.6", "torch==2.13.0"),
        shapes=TRAINED,
    ),
    Contender("optimum int8 (avx512_vnni)", "optimum_int8", "optimum-int8"),
    Contender(
        "Olive int8",
        "olive_int8",
        "olive-int8",
        ("olive-ai==0.13.0", "transformers==4.57.6", "torch==2.13.0", "onnxruntime==1.32.0"),
        environment={"OLIVE_DISABLE_TELEMETRY": "1"},
    ),
    Contender(
        "model2vec static embeddings",
        "model2vec_static",
        "model2vec",
        ("model2vec[distill]==0.10.0", "torch==2.13.0", "scikit-learn"),
        shapes=TRAINED,
    ),
)


def main() -> None:
    asked = sys.argv[1:] or [f"{s}:{t}" for s, t in product(SHAPES, THREADS)]
    rows = load("latency")["rows"] if (RESULTS / "latency.json").is_file() else []
    machine = machine_name(asdict(describe_machine()))
    for job in asked:
        shape, threads = job.split(":")
        same = {"machine": machine, "shape": shape, "threads": int(threads)}
        measured = [same | row for row in measure(shape, int(threads))]
        rows = [row for row in rows if not same.items() <= row.items()]
        rows += measured
        save("latency", {"lengths": LENGTHS, "texts": TEXTS, "rounds": ROUNDS, "rows": rows})


def measure(shape: str, threads: int) -> list[dict[str, Any]]:
    run = Run.open(WORK / "runs" / RUN)
    root = WORK / "latency" / shape
    failures = prepare(run, shape, root)
    job = {"threads": threads, "scenarios": scenarios(run)}
    found: dict[str, list[dict[str, Any]]] = {}
    contenders = [
        each
        for each in CONTENDERS
        if shape in each.shapes and (threads == usable_cores() or not each.all_cores)
    ]
    for number in range(ROUNDS):
        for contender in contenders:
            if contender.title in failures:
                continue
            signal = signal_between_cores()
            try:
                answer = json.loads(contender.ask("measure", root / contender.folder, given=job))
            except PeerError as error:
                failures[contender.title] = str(error)
                print(f"{contender.title} failed: {error}")
                continue
            found.setdefault(contender.title, []).append({**answer, "signal_ns": signal})
            times = answer["scenarios"]
            shown = "  ".join(
                f"{name} {median(times[name]['nanoseconds']) / 1e6:.2f}" for name in times
            )
            print(f"{shape}, {threads} threads, {number + 1}/{ROUNDS} {contender.title:45}{shown}")
    accuracies = {
        each.title: accuracy(run, each, root)
        for each in contenders
        if shape in TRAINED and each.title not in failures and each.folder != BACKBONE
    }
    return [
        {"contender": contender.title, "error": failures[contender.title]}
        if contender.title in failures
        else {
            "contender": contender.title,
            "bytes": size(root / contender.folder),
            "labels_as_fp32": (
                agreement(found[contender.title][0], found[FP32][0])
                if contender.folder != BACKBONE
                else None
            ),
            "test_accuracy": accuracies.get(contender.title),
            "signal_ns": [answer["signal_ns"] for answer in found[contender.title]],
            "load_ms": [answer["load_ns"] / 1e6 for answer in found[contender.title]],
            "process_medians_ms": {
                name: [
                    median(answer["scenarios"][name]["nanoseconds"]) / 1e6
                    for answer in found[contender.title]
                ]
                for name in job["scenarios"]
            },
        }
        for contender in contenders
    ]


def accuracy(run: Run, contender: Contender, root: Path) -> float | None:
    """Share of SST-2's test text that a contender labels right; ``None`` without a trained head."""
    rows = read_rows(data_folder("sst2") / "test.csv")
    texts = [each.ids for each in text_encoder(run).encode([row["text"] for row in rows])]
    job = {"test": {"texts": texts, "warmup": 0, "passes": 1}}
    given = {"threads": usable_cores(), "scenarios": job}
    try:
        answer = json.loads(contender.ask("measure", root / contender.folder, given=given))
    except PeerError as error:  # its times are measured already
        print(f"{contender.title}, accuracy: {error}")
        return None
    logits = np.asarray(answer["scenarios"]["test"]["logits"])
    if logits.shape[1] != len(run.info.labels):
        return None
    pairs = zip(rows, logits.argmax(axis=1), strict=True)
    return fmean(int(row["label"]) == found for row, found in pairs)


def scenarios(run: Run) -> dict[str, dict[str, Any]]:
    """Token ids of every length, many times over, and of real texts, once."""
    encoder, generator = text_encoder(run), np.random.default_rng(0)
    found = {
        str(length): {
            "texts": [[101, *generator.integers(1_000, 20_000, length - 2).tolist(), 102]],
            "warmup": 15,
            "passes": 60,
        }
        for length in LENGTHS
    }
    for name, count in TEXTS.items():
        tokens = encoder.encode(drawn_texts(name, "test", count))
        found[name] = {"texts": [each.ids[:128] for each in tokens], "warmup": 15, "passes": 1}
    return found


def prepare(run: Run, shape: str, root: Path) -> dict[str, str]:
    """Writes every contender's files, unless they are of this very run and code.

    Returns:
        Title of each contender that failed at it -> why.
    """
    note, made_of = root / "prepared.json", [run.info.files, described()]
    if note.is_file():
        before = json.loads(note.read_text())
        if before["made_of"] == made_of:
            return dict(before["failures"])
    shutil.rmtree(root, ignore_errors=True)
    source, texts = root / "source", calibration(run)
    merged = SHAPES[shape](run, root, "parallel")
    write_ours(merged, fp32=root / "edgeadapt-fp32", int8=root / "edgeadapt-int8")
    write_for_openvino(merged, root / "edgeadapt-openvino", texts)
    export_onnx(merged.save(source), source / "stock.onnx", exporter=Exporter.AUTO)
    write_tokenizer(source, run)
    write_training_text(run, source / "train.json")
    alone = SHAPES[shape](run, root, "head")
    write_ours(alone, fp32=root / "backbone-fp32", int8=root / BACKBONE)
    for folder in (root / "backbone-fp32", root / "backbone"):
        shutil.rmtree(folder, ignore_errors=True)
    failures = {}
    for contender in CONTENDERS:
        if not contender.folder.startswith("edgeadapt") and shape in contender.shapes:
            try:
                contender.ask("prepare", source, root / contender.folder, given=texts)
            except (PeerError, subprocess.CalledProcessError) as error:
                failures[contender.title] = str(error)
                print(f"{contender.title} failed: {error}")
    note.write_text(json.dumps({"made_of": made_of, "failures": failures}))
    return failures


def write_training_text(run: Run, path: Path) -> None:
    """Writes what a contender trains a head of its own on."""
    rows = read_rows(data_folder("sst2") / "train.csv")
    tokens = text_encoder(run).encode([row["text"] for row in rows])
    labels = [int(row["label"]) for row in rows]
    path.write_text(json.dumps({"ids": [each.ids for each in tokens], "labels": labels}))


def described() -> str:
    """Returns a hash over the package's source and the contenders' scripts."""
    package = Path(edgeadapt.__file__).parent
    digest = hashlib.sha256()
    for path in sorted([*package.rglob("*.py"), *PEERS.glob("*.py"), Path(__file__)]):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def write_ours(merged: Merged, *, fp32: Path, int8: Path) -> None:
    """Writes the graphs that ``export --quantize`` makes."""
    for folder in (fp32, int8):
        folder.mkdir(parents=True, exist_ok=True)
    lower(merged, fp32 / "model.onnx", exporter=Exporter.AUTO)
    graph = onnx.load(fp32 / "model.onnx")
    write(Candidate(Scheme.DYNAMIC_INT8), graph, int8 / "model.onnx", texts=())


def write_for_openvino(merged: Merged, folder: Path, texts: Sequence[Sequence[int]]) -> None:
    """Writes a graph that ``export --quantize --engine openvino`` tries."""
    folder.mkdir()
    passes = tuple(each for each in GraphPass if each is not GraphPass.ATTENTION)
    lower(merged, folder / "model.onnx", exporter=Exporter.AUTO, passes=passes)
    graph = onnx.load(folder / "model.onnx")
    names = [value.name for value in graph.graph.input]
    inputs = [Tokens(list(ids), [0] * len(ids)).as_batch().select(names) for ids in texts]
    how = Candidate(Scheme.STATIC_INT8, fused=False, calibration=Calibration.PERCENTILE)
    write(how, graph, folder / "model.onnx", texts=inputs)


def calibration(run: Run) -> list[Sequence[int]]:
    texts = drawn_texts("sst2", "train", CALIBRATION, seed=1)
    return [each.ids for each in text_encoder(run).encode(texts)]


def minilm(run: Run, root: Path, method: str) -> Merged:
    if method == "parallel":
        return merge(restore(run))
    return _untrained(recipe_of(run).model, run.info.labels, method)


def bert_base(run: Run, root: Path, method: str) -> Merged:
    folder = root / "backbone"
    if not folder.is_dir():
        torch.manual_seed(0)
        AutoModel.from_config(BertConfig()).save_pretrained(folder)
    return _untrained(ModelConfig(id=str(folder)), run.info.labels, method)


def _untrained(model: ModelConfig, labels: Sequence[str], method: str) -> Merged:
    config = AdapterConfig(method=method)
    return merge(AdaptedClassifier.build(find_model(model), labels, config))


def agreement(found: Mapping[str, Any], expected: Mapping[str, Any]) -> float | None:
    """Share of SST-2's texts with the same label; ``None`` where a contender has no head."""
    one, other = (np.asarray(answer["scenarios"]["sst2"]["logits"]) for answer in (found, expected))
    if one.shape != other.shape:
        return None
    return float((one.argmax(axis=1) == other.argmax(axis=1)).mean())


def size(folder: Path) -> int:
    """Bytes of the model's files, without tokenizer and settings."""
    models = (".onnx", ".bin", ".npz", ".xml", ".safetensors")
    files = (file for file in folder.rglob("*") if file.suffix in models)
    return sum(file.stat().st_size for file in files)


SHAPES = {"MiniLM-L6": minilm, "BERT-base": bert_base}


if __name__ == "__main__":
    sys.exit(main())
