"""Write the model files of the contenders of ``latency.py``, all from the same weights."""

import hashlib
import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import onnx
import torch
from common import data_folder, drawn_texts
from contenders import BACKBONE, CONTENDERS, PEERS, PeerError
from transformers import AutoModel, BertConfig

import edgeadapt
from edgeadapt.data import read_rows
from edgeadapt.exporters import export_onnx
from edgeadapt.exporters.lowering import lower
from edgeadapt.models.classifier import AdaptedClassifier
from edgeadapt.models.merge import Merged, merge
from edgeadapt.models.opened import OpenedRun
from edgeadapt.models.sources import find_model
from edgeadapt.quantize.candidate import Candidate, write
from edgeadapt.recipe import (
    AdapterConfig,
    Calibration,
    Exporter,
    GraphPass,
    ModelConfig,
    Scheme,
)
from edgeadapt.store.run import Run
from edgeadapt.text import Tokens

__all__ = ["prepare"]

CODE = Path(__file__).with_name("contenders.py")
CALIBRATION = 300
"""Number of training texts."""


def prepare(run: Run, shape: str, root: Path) -> dict[str, str]:
    """Writes the files of every contender; existing ones are kept if run and code are unchanged.

    Returns:
        Title of each contender that failed to prepare -> the error.
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
    OpenedRun(run).write_tokenizer(source)
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
    """Writes texts and labels for contenders that train their own head."""
    rows = read_rows(data_folder("sst2") / "train.csv")
    tokens = OpenedRun(run).encoder.encode([row["text"] for row in rows])
    labels = [int(row["label"]) for row in rows]
    path.write_text(json.dumps({"ids": [each.ids for each in tokens], "labels": labels}))


def described() -> str:
    """Returns a hash of the package's source and of the contenders' scripts."""
    package = Path(edgeadapt.__file__).parent
    digest = hashlib.sha256()
    for path in sorted([*package.rglob("*.py"), *PEERS.glob("*.py"), Path(__file__), CODE]):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def write_ours(merged: Merged, *, fp32: Path, int8: Path) -> None:
    """Writes the graphs that ``export --quantize`` writes."""
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
    """Returns the token ids of training texts."""
    texts = drawn_texts("sst2", "train", CALIBRATION, seed=1)
    return [each.ids for each in OpenedRun(run).encoder.encode(texts)]


def minilm(run: Run, root: Path, method: str) -> Merged:
    """Returns the trained model of the run or, for another method than the run's, its backbone."""
    if method == "parallel":
        return merge(OpenedRun(run).classifier())
    return _untrained(run.info.recipe.model, run.info.labels, method)


def bert_base(run: Run, root: Path, method: str) -> Merged:
    """Returns a model of BERT-base's shape with random weights."""
    folder = root / "backbone"
    if not folder.is_dir():
        torch.manual_seed(0)
        AutoModel.from_config(BertConfig()).save_pretrained(folder)
    return _untrained(ModelConfig(id=str(folder)), run.info.labels, method)


def _untrained(model: ModelConfig, labels: Sequence[str], method: str) -> Merged:
    config = AdapterConfig(method=method)
    return merge(AdaptedClassifier.build(find_model(model), labels, config))


SHAPES = {"MiniLM-L6": minilm, "BERT-base": bert_base}
"""Name of a shape -> function that builds its merged model."""
