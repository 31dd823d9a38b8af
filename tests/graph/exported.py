"""Graphs of tiny classifiers, and their logits."""

from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from edgeadapt.exporters import export_onnx
from edgeadapt.graph.attention import fuse_attention
from edgeadapt.metrics import Logits
from edgeadapt.recipe import Exporter
from edgeadapt.runtime.onnxruntime_engine import OnnxRuntimeEngine
from edgeadapt.text import TokenBatch
from tests.models.tiny import make_model
from tests.tokens import token_batch

__all__ = [
    "answers",
    "assert_same_answers",
    "exported",
    "fused",
    "operators",
    "with_rows_alike",
    "word_tables",
]


def exported(folder: Path, model_type: str = "bert", **config: object) -> onnx.ModelProto:
    """The graph of a stock classifier."""
    path = folder / f"{model_type}.onnx"
    export_onnx(make_model(model_type, **config), path, exporter=Exporter.TORCH)
    return onnx.load(path)


def fused(folder: Path, model_type: str = "bert", **config: object) -> onnx.ModelProto:
    """The same with each attention as one node, where that is known."""
    return fuse_attention(exported(folder, model_type, **config))


def with_rows_alike(model: onnx.ModelProto, every: int = 4) -> onnx.ModelProto:
    """A copy in which so many word pieces in turn have one embedding."""
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    (table,) = word_tables(changed)
    rows = numpy_helper.to_array(table)
    alike = rows[np.arange(len(rows)) // every * every]
    table.CopyFrom(numpy_helper.from_array(alike, table.name))
    return changed


def word_tables(model: onnx.ModelProto) -> list[onnx.TensorProto]:
    """The tables of word pieces' embeddings, and what stands for them."""
    names = ("word_embeddings", "tok_embeddings")
    return [each for each in model.graph.initializer if any(name in each.name for name in names)]


def answers(model: onnx.ModelProto, folder: Path, batch: TokenBatch | None = None) -> Logits:
    """Logits of a batch, by default one with padding."""
    onnx.save(model, folder / "asked.onnx")
    return OnnxRuntimeEngine(folder / "asked.onnx", threads=1).run(batch or token_batch())


def assert_same_answers(one: onnx.ModelProto, other: onnx.ModelProto, folder: Path) -> None:
    """Asserts that two graphs answer alike: a padded batch, and single texts of every length."""
    whole = token_batch()
    single = [token_batch_of(whole, row) for row in range(len(whole.input_ids))]
    for batch in (whole, *single):
        np.testing.assert_allclose(
            answers(other, folder, batch), answers(one, folder, batch), rtol=0, atol=1e-5
        )


def token_batch_of(batch: TokenBatch, row: int) -> TokenBatch:
    """One text of a batch, unpadded."""
    kept = batch.attention_mask[row].astype(bool)
    return TokenBatch(
        batch.input_ids[row : row + 1, kept],
        batch.attention_mask[row : row + 1, kept],
        batch.token_type_ids[row : row + 1, kept],
    )


def operators(model: onnx.ModelProto, name: str) -> list[onnx.NodeProto]:
    """The nodes of one operator."""
    return [node for node in model.graph.node if node.op_type == name]
