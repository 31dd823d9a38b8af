"""The output layer that a checkpoint brings along, made to fit the labels at hand."""

from dataclasses import dataclass

import torch
from torch import nn
from transformers import PreTrainedModel

from edgeadapt.backbones import STOCK_HEADS, BackboneSpec
from edgeadapt.outputs import Rows

__all__ = ["CheckpointHead", "fit_head"]


@dataclass(frozen=True)
class CheckpointHead:
    """What became of the output layer of a checkpoint."""

    found: bool = False
    """Whether the checkpoint holds one."""
    drawn: frozenset[str] = frozenset()
    """Parameters of the whole head that were drawn at random, because the checkpoint does not hold
    them or holds them for other labels."""
    note: str = ""
    """What a user should know of it, in a sentence; empty where it is used as it is."""


def fit_head(
    model: PreTrainedModel,
    spec: BackboneSpec,
    rows: Rows,
    *,
    whose: str,
    missing: frozenset[str],
    mismatched: frozenset[str],
) -> CheckpointHead:
    """Moves the rows of the output layer to where their labels are, or draws them anew.

    Args:
        model: As loaded, with as many outputs as there are labels.
        spec: The backbone's row.
        rows: For each label the row of the checkpoint.
        whose: The checkpoint's name, for the note.
        missing: Parameters that the checkpoint does not hold, drawn at random.
        mismatched: Those that it holds in another shape, drawn at random too.
    """
    path = STOCK_HEADS[spec.model_type].out
    layer = model.get_submodule(path)
    assert isinstance(layer, nn.Linear)
    names = frozenset(f"{path}.{name}" for name, _ in layer.named_parameters())
    drawn = missing | mismatched
    if names <= missing:
        return CheckpointHead(found=False, drawn=drawn)
    if rows.order is not None and names & mismatched:
        note = f"The head of {whose} has not the outputs that its config.json says: a new head is"
        return CheckpointHead(found=True, drawn=drawn, note=f"{note} drawn.")
    with torch.no_grad():
        if rows.order is not None:
            for parameter in layer.parameters():
                parameter.copy_(parameter[list(rows.order)])
        elif not names & drawn:
            # As transformers draws the output layer of most of its classifiers.
            layer.weight.normal_(std=float(model.config.initializer_range))
            layer.bias.zero_()
    if rows.order is None:
        drawn |= names
    return CheckpointHead(found=True, drawn=drawn, note=rows.note)
