"""Build the graph of an encoder whose layers have given widths, to measure what widths cost.

The graph is the one that a stock BERT classifier has after export and the exact passes
(``edgeadapt.graph``), node by node; a test compares the two. Building it takes milliseconds and
no torch.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edgeadapt.graph.first_position import first_position_only
from edgeadapt.store.structure import Structure

__all__ = ["EncoderShape", "Weights", "layer_stack", "random_weights", "unshared"]

Weights = Callable[[str, tuple[int, ...]], NDArray[np.float32]]
"""Name of a tensor in a ``BertForSequenceClassification``, and its shape -> its values."""

_OPSET = 18
_IR = 8
_LEAST = float(np.finfo(np.float32).min)
"""Added to the scores of padding, as the exporters write it."""
_ROOT_2 = 1.4142135
_LAYER_PARTS = 4
"""Parts of the prefix of a layer's tensors, ``bert.encoder.layer.0``."""


@dataclass(frozen=True)
class EncoderShape:
    """The widths of an encoder that all its layers share."""

    hidden: int
    """Width of the hidden states."""
    head_size: int
    """Width of an attention head."""
    vocabulary: int = 1024
    """Rows of the table of token embeddings. Looking up the same rows takes the same time in a
    table of any size, so a small one serves to measure latency."""
    positions: int = 512
    """Rows of the table of position embeddings: the longest input in tokens."""
    labels: int = 2
    """Number of logits."""


def random_weights(seed: int = 0) -> Weights:
    """Returns a source of normal values, scaled so that hidden states keep their size."""
    random = np.random.default_rng(seed)

    def draw(_: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
        values: NDArray[np.float32] = random.standard_normal(shape, dtype=np.float32)
        return values / np.float32(np.sqrt(shape[-1]))

    return draw


def layer_stack(
    shape: EncoderShape,
    structure: Structure,
    weights: Weights | None = None,
    *,
    shared: bool = False,
) -> onnx.ModelProto:
    """Returns the fp32 graph of a classifier: embeddings, layers, pooler and head.

    The last layer computes only the first position.

    Args:
        shape: The widths that all layers share.
        structure: The widths of each layer. A width of 0 leaves the output bias of the sublayer.
        weights: The values; random by default.
        shared: Whether layers of equal widths share their weights, so that a deep stack is
            quantized as fast as a shallow one; ``unshared`` separates them afterwards.
    """
    stack = _Stack(shape, weights or random_weights())
    hidden = stack.embeddings()
    layers = list(zip(structure.heads, structure.neurons, strict=True))
    for layer, (heads, neurons) in enumerate(layers):
        prefix = f"bert.encoder.layer.{layer}"
        if shared:
            stack.borrow(prefix, f"bert.encoder.layer.{layers.index((heads, neurons))}")
        hidden = stack.attention(hidden, f"{prefix}.attention", heads)
        hidden = stack.ffn(hidden, prefix, neurons)
    stack.head(hidden)
    return first_position_only(stack.model())


def unshared(model: onnx.ModelProto) -> onnx.ModelProto:
    """Returns a copy in which every node has weights of its own.

    Shared weights stay in the CPU's caches from one layer to the next, so that a stack that shares
    them runs faster than a model. So do equal ones, which ONNX Runtime packs once: the copies of a
    matrix hold its values in another order, which are as random as before.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    stored = {tensor.name: tensor for tensor in copy.graph.initializer}
    taken: Counter[str] = Counter()
    for node in copy.graph.node:
        for position, name in enumerate(node.input):
            if name not in stored:
                continue
            if taken[name]:
                values = numpy_helper.to_array(stored[name])
                if values.ndim == 2:
                    values = np.roll(values, taken[name], axis=(0, 1))
                node.input[position] = f"{name}_of_{node.output[0]}"
                own = numpy_helper.from_array(values, node.input[position])
                copy.graph.initializer.append(own)
            taken[name] += 1
    return copy


class _Stack:
    """A graph under construction. Names are those of the tensors of the torch model."""

    def __init__(self, shape: EncoderShape, weights: Weights) -> None:
        self.shape, self.weights = shape, weights
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, onnx.TensorProto] = {}
        self.lenders: dict[str, str] = {}

    def borrow(self, prefix: str, lender: str) -> None:
        """Makes tensors with one prefix those with another prefix."""
        self.lenders[prefix] = lender

    def model(self) -> onnx.ModelProto:
        """Returns the graph as a model."""
        inputs = [
            helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "seq"])
            for name in ("input_ids", "attention_mask")
        ]
        logits = helper.make_tensor_value_info(
            "logits", TensorProto.FLOAT, ["batch", self.shape.labels]
        )
        opsets = [helper.make_opsetid("", _OPSET), helper.make_opsetid("com.microsoft", 1)]
        graph = helper.make_graph(self.nodes, "stack", inputs, [logits], self.constants.values())
        return helper.make_model(graph, opset_imports=opsets, ir_version=_IR)

    def embeddings(self) -> str:
        """Adds the embeddings; token types are folded into the positions."""
        shape, prefix = self.shape, "bert.embeddings"
        self._add("Cast", ["attention_mask"], "mask", to=TensorProto.INT32)
        words = self._tensor(f"{prefix}.word_embeddings.weight", shape.vocabulary, shape.hidden)
        places = self._tensor(f"{prefix}.position_embeddings.weight", shape.positions, shape.hidden)
        edges = [self._constant(name, np.array([0], np.int64)) for name in ("start", "axis")]
        count = self._add("Shape", ["input_ids"], "count", start=1, end=2)
        rows = self._add("Gather", [words, "input_ids"], "words")
        first = self._add("Slice", [places, edges[0], count, edges[1]], "places")
        total = self._add("Sum", [rows, first], "embedded")
        return self._norm(total, f"{prefix}.LayerNorm")

    def attention(self, hidden: str, prefix: str, heads: int) -> str:
        """Adds an attention sublayer, ``(batch, seq, hidden)`` to the same."""
        inner, width = heads * self.shape.head_size, self.shape.hidden
        context = None
        if heads:
            context = self._add(
                "Attention",
                [hidden, *self._query_key_value(f"{prefix}.self", inner), "mask"],
                f"{prefix}.context",
                domain="com.microsoft",
                num_heads=heads,
                mask_filter_value=_LEAST,
            )
        return self._projected(context, f"{prefix}.output", (width, inner), residual=hidden)

    def ffn(self, hidden: str, prefix: str, neurons: int) -> str:
        """Adds an FFN, ``(batch, seq, hidden)`` to the same."""
        width, dense = self.shape.hidden, f"{prefix}.intermediate.dense"
        values = None
        if neurons:
            before = self._linear(hidden, dense, (neurons, width))
            values = self._gelu(before, f"{prefix}.gelu")
        return self._projected(values, f"{prefix}.output", (width, neurons), residual=hidden)

    def head(self, hidden: str) -> None:
        """Adds the pooler, which reads the first position, and the classifier."""
        place = self._constant("first", np.array(0, np.int64))
        vector = self._add("Gather", [hidden, place], "first_token", axis=1)
        width = self.shape.hidden
        pooled = self._gemm(vector, "bert.pooler.dense", (width, width), "pooled")
        squashed = self._add("Tanh", [pooled], "squashed")
        self._gemm(squashed, "classifier", (self.shape.labels, width), "logits")

    def _query_key_value(self, prefix: str, inner: int) -> tuple[str, str]:
        """Adds the weights and biases of query, key and value side by side."""

        def side_by_side(kind: str, *size: int) -> NDArray[np.float32]:
            parts = [f"{prefix}.{part}.{kind}" for part in ("query", "key", "value")]
            return np.concatenate([self.weights(part, size) for part in parts]).T

        width = self.shape.hidden
        return (
            self._stored(f"{prefix}.qkv_weight", lambda: side_by_side("weight", inner, width)),
            self._stored(f"{prefix}.qkv_bias", lambda: side_by_side("bias", inner)),
        )

    def _projected(
        self, values: str | None, prefix: str, size: tuple[int, int], *, residual: str
    ) -> str:
        """Adds the second linear layer of a sublayer, the residual sum and LayerNorm."""
        dense = f"{prefix}.dense"
        if values is None:
            bias = self._tensor(f"{dense}.bias", size[0])
            total = self._add("Add", [residual, bias], f"{prefix}.sum")
        else:
            total = self._add("Sum", [self._linear(values, dense, size), residual], f"{prefix}.sum")
        return self._norm(total, f"{prefix}.LayerNorm")

    def _linear(self, values: str, name: str, size: tuple[int, int]) -> str:
        """Adds a linear layer; ``size`` is ``(outputs, inputs)``, as in torch."""
        tensor = f"{name}.weight"
        weight = self._stored(f"{tensor}_transposed", lambda: self.weights(tensor, size).T)
        bias = self._tensor(f"{name}.bias", size[0])
        product = self._add("MatMul", [values, weight], f"{name}.product")
        return self._add("Add", [bias, product], f"{name}.output")

    def _gemm(self, values: str, name: str, size: tuple[int, int], output: str) -> str:
        weight, bias = self._tensor(f"{name}.weight", *size), self._tensor(f"{name}.bias", size[0])
        return self._add("Gemm", [values, weight, bias], output, transB=1)

    def _gelu(self, values: str, prefix: str) -> str:
        """Adds ``x · (1 + erf(x / √2)) · 0.5`` the way the exporters write it."""
        root, one, half = (
            self._constant(f"{prefix}.{name}", np.array(value, np.float32))
            for name, value in (("root", _ROOT_2), ("one", 1), ("half", 0.5))
        )
        scaled = self._add("Div", [values, root], f"{prefix}.scaled")
        erf = self._add("Erf", [scaled], f"{prefix}.erf")
        share = self._add("Add", [erf, one], f"{prefix}.share")
        twice = self._add("Mul", [values, share], f"{prefix}.twice")
        return self._add("Mul", [twice, half], f"{prefix}.output")

    def _norm(self, values: str, name: str) -> str:
        scale, bias = (self._tensor(f"{name}.{part}", self.shape.hidden) for part in _NORM)
        return self._add(
            "LayerNormalization", [values, scale, bias], f"{name}.output", axis=-1, epsilon=1e-12
        )

    def _tensor(self, name: str, *size: int) -> str:
        return self._stored(name, lambda: self.weights(name, size))

    def _constant(self, name: str, value: NDArray[np.generic]) -> str:
        return self._stored(name, lambda: value)

    def _stored(self, name: str, make: Callable[[], NDArray[np.generic]]) -> str:
        """Adds a constant, unless its lender's exists, and returns its name."""
        layer = ".".join(name.split(".")[:_LAYER_PARTS])
        name = self.lenders.get(layer, layer) + name[len(layer) :]
        if name not in self.constants:
            self.constants[name] = numpy_helper.from_array(np.asarray(make(), order="C"), name)
        return name

    def _add(
        self,
        operator: str,
        inputs: Sequence[str],
        output: str,
        *,
        domain: str = "",
        **attributes: float,
    ) -> str:
        """Adds a node and returns its output."""
        node = helper.make_node(
            operator, inputs, [output], name=f"{output}_{operator}", domain=domain, **attributes
        )
        self.nodes.append(node)
        return output


_NORM = ("weight", "bias")
