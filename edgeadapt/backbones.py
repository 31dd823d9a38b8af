"""The backbones edgeadapt knows: where in a Hugging Face classifier the parts are.

Key mapping is data: a new backbone is a new row.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from edgeadapt.errors import ModelError

__all__ = ["BACKBONES", "BackboneSpec", "backbone_spec"]


@dataclass(frozen=True)
class BackboneSpec:
    """Dotted names of submodules of a ``…ForSequenceClassification`` model.

    Names below ``layer`` are relative to one element of the layer list.
    """

    model_type: str
    """``model_type`` of the checkpoint's config.json."""
    encoder: str
    """Prefix of everything that is pretrained."""
    layers: str
    """The list of layers."""
    attention_output: str
    """Per layer: the dense layer that ends the attention sublayer, (hidden -> hidden)."""
    ffn_in: str
    """Per layer: the first dense layer of the FFN, (hidden -> intermediate)."""
    ffn_out: str
    """Per layer: the second dense layer of the FFN, (intermediate -> hidden)."""
    head: tuple[str, ...]
    """Modules on top of the encoder that are trained for the task, the pooler included."""
    activation_key: str = "hidden_act"
    """Name in config.json of the FFN's activation."""
    intermediate_key: str = "intermediate_size"
    """Name in config.json of the FFN's inner width."""
    position_offset: int = 0
    """Positions that the model keeps for itself, so that they do not carry text."""
    token_type_ids: bool = True
    """Whether the model takes segment ids."""


_BERT = BackboneSpec(
    model_type="bert",
    encoder="bert",
    layers="bert.encoder.layer",
    attention_output="attention.output.dense",
    ffn_in="intermediate.dense",
    ffn_out="output.dense",
    head=("bert.pooler", "classifier"),
)

_ROBERTA = BackboneSpec(
    model_type="roberta",
    encoder="roberta",
    layers="roberta.encoder.layer",
    attention_output="attention.output.dense",
    ffn_in="intermediate.dense",
    ffn_out="output.dense",
    head=("classifier",),
    position_offset=2,
    token_type_ids=False,
)

_ELECTRA = BackboneSpec(
    model_type="electra",
    encoder="electra",
    layers="electra.encoder.layer",
    attention_output="attention.output.dense",
    ffn_in="intermediate.dense",
    ffn_out="output.dense",
    head=("classifier",),
)

_DISTILBERT = BackboneSpec(
    model_type="distilbert",
    encoder="distilbert",
    layers="distilbert.transformer.layer",
    attention_output="attention.out_lin",
    ffn_in="ffn.lin1",
    ffn_out="ffn.lin2",
    head=("pre_classifier", "classifier"),
    activation_key="activation",
    intermediate_key="hidden_dim",
    token_type_ids=False,
)

BACKBONES: Mapping[str, BackboneSpec] = MappingProxyType(
    {spec.model_type: spec for spec in (_BERT, _ROBERTA, _ELECTRA, _DISTILBERT)}
)


def backbone_spec(model_type: str | None) -> BackboneSpec:
    """Returns the row of a model type.

    Raises:
        ModelError: There is none.
    """
    if model_type is None or model_type not in BACKBONES:
        raise ModelError(
            f"The model type {model_type!r} is not supported: expected one of "
            f"{', '.join(BACKBONES)}.",
            hint="A backbone is one row in edgeadapt/backbones.py; contributions are welcome.",
        )
    return BACKBONES[model_type]
