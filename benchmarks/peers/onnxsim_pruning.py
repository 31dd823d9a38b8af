"""onnxsim's structured pruning: Wanda scores, a uniform share of every layer, ridge refit.

It finds heads and neurons only in a graph with fused attention and Gelu. It also prunes the pooler
between the last layer and the classifier, and refits both, so the head is put back afterwards.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx
import onnxsim
from harness import arrays, pruned
from source import chosen

KEPT = ("bert.pooler.dense", "classifier")
"""First part of the names of the weights that are put back."""


def prepare(source: Path, target: Path, settings: Mapping[str, Any]) -> None:
    graph = onnx.load(source / "graph.onnx")
    names = [value.name for value in graph.graph.input]
    texts = chosen(source, settings["texts"])["ids"]
    batches = [{name: arrays(ids)[name] for name in names} for ids in texts]
    share = settings["removed"]
    made = onnxsim.apply_attention_head_wanda_pruning(graph, batches, sparsity=share)
    made = onnxsim.apply_structured_wanda_pruning(made, batches, sparsity=share)
    _put_back(graph, made)
    made = onnxsim.apply_pruning_finetune(graph, made, batches)
    _put_back(graph, made)
    _leave_sizes_out(made)
    onnx.save(made, target / "graph.onnx")


def _put_back(graph: onnx.ModelProto, made: onnx.ModelProto) -> None:
    before = {tensor.name: tensor for tensor in graph.graph.initializer}
    for tensor in made.graph.initializer:
        if tensor.name.startswith(KEPT):
            tensor.CopyFrom(before[tensor.name])


def _leave_sizes_out(made: onnx.ModelProto) -> None:
    """Removes the sizes of query, key and value from attention where the weights' shape gives them.

    ONNX Runtime does not quantize attention that has them.
    """
    for node in made.graph.node:
        for attribute in list(node.attribute):
            if attribute.name == "qkv_hidden_sizes" and len(set(attribute.ints)) == 1:
                node.attribute.remove(attribute)


if __name__ == "__main__":
    pruned(prepare)
