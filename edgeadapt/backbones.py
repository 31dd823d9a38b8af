"""The supported backbones: the names of the parts of a Hugging Face classifier.

Key mapping is data: a new backbone is a new row.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType

from edgeadapt.errors import ModelError

__all__ = [
    "BACKBONES",
    "STOCK_HEADS",
    "BackboneSpec",
    "HeadModule",
    "Projection",
    "Reads",
    "StockHead",
    "backbone_spec",
]


class Reads(StrEnum):
    """Input of a bottleneck; its output is added to that of the sublayer's last dense layer."""

    OUTPUT = "output"
    """The output of the sublayer's last dense layer."""
    INPUT = "input"
    """The input of the sublayer."""
    NORMED = "normed"
    """LayerNorm of the residual sum."""


@dataclass(frozen=True)
class Projection:
    """Query, key or value: a separate dense layer, or one block of the outputs of a shared one."""

    dense: str
    """Per layer: the dense layer."""
    block: int = 0
    """Index of the block among the equal blocks of its outputs."""
    blocks: int = 1
    """Number of blocks."""

    def rows(self, out_features: int) -> slice:
        """Returns which of a dense layer's ``out_features`` outputs belong to the block."""
        width = out_features // self.blocks
        return slice(self.block * width, (self.block + 1) * width)


@dataclass(frozen=True)
class HeadModule:
    """The module of a layer that splits hidden states into attention heads."""

    module: str
    """Per layer: its dotted name. It returns a tuple whose first item is the heads' outputs, before
    or behind the dense layer that ends the sublayer."""
    count: str
    """Its attribute with the number of heads. Where it has none, it takes it from the weights."""
    width: str
    """Its attribute with the width of all heads together. Where it has none, it takes it from the
    weights."""


@dataclass(frozen=True)
class BackboneSpec:
    """Dotted names of submodules of a ``…ForSequenceClassification`` model.

    Names said to be per layer are relative to one element of the layer list.
    """

    model_type: str
    """``model_type`` of the checkpoint's config.json."""
    encoder: str
    """Prefix of everything that is pretrained."""
    layers: str
    """The list of layers."""
    query: Projection
    key: Projection
    value: Projection
    attention_output: str
    """Per layer: the dense layer that ends the attention sublayer, (hidden -> hidden)."""
    attention_norm: str | None
    """Per layer: LayerNorm of the attention's residual sum; ``None`` where norms come before."""
    ffn_in: str
    """Per layer: the first dense layer of the FFN, (hidden -> intermediate)."""
    ffn_out: str
    """Per layer: the second dense layer of the FFN, (intermediate -> hidden)."""
    ffn_norm: str | None
    """Per layer: LayerNorm of the FFN's residual sum; ``None`` where norms come before."""
    head: tuple[str, ...]
    """Modules on top of the encoder that are trained for the task, the pooler included."""
    norm_before_attention: str | None = None
    """Per layer: the norm of what the attention reads, where norms come before."""
    norm_before_ffn: str | None = None
    """Per layer: the norm of what the FFN reads, where norms come before."""
    attention_end: str | None = None
    """Per layer: the module that takes the attention's output and the sublayer's input, both
    (batch, seq, hidden), and computes each position separately; ``None`` where there is none."""
    plain_attention: str | None = None
    """Per layer: the module that computes ``softmax(Q Kᵀ) V`` from hidden states and returns it as
    its first output, (batch, seq, hidden); ``None`` where no module computes exactly that."""
    attention: HeadModule | None = None
    """Where the heads of each layer are counted; ``None`` where layers cannot have different
    numbers of heads, because they share relative positions or all of their weights."""
    activation_key: str = "hidden_act"
    """Name in config.json of the FFN's activation."""
    intermediate_key: str = "intermediate_size"
    """Name in config.json of the FFN's inner width."""
    depth_key: str = "num_hidden_layers"
    """Name in config.json of the number of layers."""
    gate_bias_key: str | None = None
    """Name in config.json of the switch for the FFN's biases, where the FFN is gated: the first
    dense layer gives ``[a ; g]``, the second one takes ``f(a) ⊙ g``."""
    groups_key: str | None = None
    """Name in config.json of the number of distinct layers, where layers share weights."""
    position_offset: int = 0
    """Positions that the model reserves, so that they are not available for text."""
    positions_follow_padding: bool = False
    """Whether positions begin at ``pad_token_id + 1``, with ``pad_token_id`` from config.json."""
    token_type_ids: bool = True
    """Whether the model takes segment ids."""


_BERT = BackboneSpec(
    model_type="bert",
    encoder="bert",
    layers="bert.encoder.layer",
    query=Projection("attention.self.query"),
    key=Projection("attention.self.key"),
    value=Projection("attention.self.value"),
    attention_output="attention.output.dense",
    attention_norm="attention.output.LayerNorm",
    ffn_in="intermediate.dense",
    ffn_out="output.dense",
    ffn_norm="output.LayerNorm",
    head=("bert.pooler", "classifier"),
    attention_end="attention.output",
    plain_attention="attention.self",
    attention=HeadModule("attention.self", "num_attention_heads", "all_head_size"),
)

_ROBERTA = replace(
    _BERT,
    model_type="roberta",
    encoder="roberta",
    layers="roberta.encoder.layer",
    head=("classifier",),
    position_offset=2,
    positions_follow_padding=True,
    token_type_ids=False,
)

_XLM_ROBERTA = replace(_ROBERTA, model_type="xlm-roberta")

_ELECTRA = replace(
    _BERT,
    model_type="electra",
    encoder="electra",
    layers="electra.encoder.layer",
    head=("classifier",),
)

_MPNET = replace(
    _BERT,
    model_type="mpnet",
    encoder="mpnet",
    layers="mpnet.encoder.layer",
    query=Projection("attention.attn.q"),
    key=Projection("attention.attn.k"),
    value=Projection("attention.attn.v"),
    attention_output="attention.attn.o",
    attention_norm="attention.LayerNorm",
    attention_end=None,
    plain_attention=None,
    attention=None,  # one bias per head and relative position, shared by all layers
    head=("classifier",),
    position_offset=2,  # fixed in the model, independent of pad_token_id
    token_type_ids=False,
)

# DeBERTa 2 and 3; version 1 interleaves query, key and value head by head.
_DEBERTA = replace(
    _BERT,
    model_type="deberta-v2",
    encoder="deberta",
    layers="deberta.encoder.layer",
    query=Projection("attention.self.query_proj"),
    key=Projection("attention.self.key_proj"),
    value=Projection("attention.self.value_proj"),
    plain_attention=None,
    attention=None,  # relative positions pass through each head's query and key
    head=("pooler", "classifier"),
    token_type_ids=False,
)

_ALBERT = BackboneSpec(
    model_type="albert",
    encoder="albert",
    layers="albert.encoder.albert_layer_groups",
    query=Projection("albert_layers.0.attention.query"),
    key=Projection("albert_layers.0.attention.key"),
    value=Projection("albert_layers.0.attention.value"),
    attention_output="albert_layers.0.attention.dense",
    attention_norm="albert_layers.0.attention.LayerNorm",
    ffn_in="albert_layers.0.ffn",
    ffn_out="albert_layers.0.ffn_output",
    ffn_norm="albert_layers.0.full_layer_layer_norm",
    head=("albert.pooler", "classifier"),
    groups_key="num_hidden_groups",
)

_DISTILBERT = BackboneSpec(
    model_type="distilbert",
    encoder="distilbert",
    layers="distilbert.transformer.layer",
    query=Projection("attention.q_lin"),
    key=Projection("attention.k_lin"),
    value=Projection("attention.v_lin"),
    attention_output="attention.out_lin",
    attention_norm="sa_layer_norm",
    ffn_in="ffn.lin1",
    ffn_out="ffn.lin2",
    ffn_norm="output_layer_norm",
    head=("pre_classifier", "classifier"),
    attention=HeadModule("attention", "n_heads", "dim"),
    activation_key="activation",
    intermediate_key="hidden_dim",
    depth_key="n_layers",
    token_type_ids=False,
)

_MODERNBERT = BackboneSpec(
    model_type="modernbert",
    encoder="model",
    layers="model.layers",
    query=Projection("attn.Wqkv", 0, 3),
    key=Projection("attn.Wqkv", 1, 3),
    value=Projection("attn.Wqkv", 2, 3),
    attention_output="attn.Wo",
    attention_norm=None,
    ffn_in="mlp.Wi",
    ffn_out="mlp.Wo",
    ffn_norm=None,
    norm_before_attention="attn_norm",
    norm_before_ffn="mlp_norm",
    head=("head", "classifier"),
    attention=HeadModule("attn", "num_heads", "all_head_size"),
    activation_key="hidden_activation",
    gate_bias_key="mlp_bias",
    token_type_ids=False,
)

BACKBONES: Mapping[str, BackboneSpec] = MappingProxyType(
    {
        spec.model_type: spec
        for spec in (
            _BERT,
            _ROBERTA,
            _XLM_ROBERTA,
            _ELECTRA,
            _DISTILBERT,
            _MPNET,
            _ALBERT,
            _DEBERTA,
            _MODERNBERT,
        )
    }
)


@dataclass(frozen=True)
class StockHead:
    """``out(activation(dense(h of the first token)))``, with a backbone's module names."""

    dense: str
    """The inner dense layer, (hidden -> hidden)."""
    out: str
    """The outer dense layer, (hidden -> labels)."""
    activation: str
    """Activation between them, where config.json does not name one."""
    activation_key: str | None = None
    """Name in config.json of the activation between them."""
    pooled: bool = False
    """Whether the inner layer belongs to the encoder, so that libraries do not save it as head."""
    norm: str | None = None
    """A LayerNorm after the inner dense layer."""

    def activation_in(self, config: Mapping[str, object]) -> str:
        """Returns the name of the activation between the two dense layers."""
        key = self.activation_key
        return str(config.get(key, self.activation)) if key else self.activation


_CLASSIFIER = StockHead("classifier.dense", "classifier.out_proj", "tanh")

STOCK_HEADS: Mapping[str, StockHead] = MappingProxyType(
    {
        "bert": StockHead("bert.pooler.dense", "classifier", "tanh", pooled=True),
        "albert": StockHead("albert.pooler", "classifier", "tanh", pooled=True),
        "roberta": _CLASSIFIER,
        "xlm-roberta": _CLASSIFIER,
        "mpnet": _CLASSIFIER,
        "electra": StockHead("classifier.dense", "classifier.out_proj", "gelu"),
        "distilbert": StockHead("pre_classifier", "classifier", "relu"),
        "deberta-v2": StockHead("pooler.dense", "classifier", "gelu", "pooler_hidden_act"),
        "modernbert": StockHead(
            "head.dense", "classifier", "gelu", "classifier_activation", norm="head.norm"
        ),
    }
)
"""Model type -> its head."""


def backbone_spec(model_type: str | None) -> BackboneSpec:
    """Returns the ``BackboneSpec`` of a model type.

    Raises:
        ModelError: The model type is not supported.
    """
    if model_type is None or model_type not in BACKBONES:
        raise ModelError(
            f"The model type {model_type!r} is not supported: expected one of "
            f"{', '.join(BACKBONES)}.",
            hint="A backbone is one row in edgeadapt/backbones.py; contributions are welcome.",
        )
    return BACKBONES[model_type]
