"""Fit the output layer of a checkpoint to the labels that are trained."""

from dataclasses import dataclass

import torch
from torch import nn
from transformers import PreTrainedModel

from edgeadapt.backbones import STOCK_HEADS, BackboneSpec
from edgeadapt.outputs import Rows

__all__ = ["CheckpointHead", "fit_head"]


@dataclass(frozen=True)
class CheckpointHead:
    """Whether a checkpoint's output layer exists and was kept."""

    found: bool = False
    """Whether the checkpoint holds one."""
    drawn: frozenset[str] = frozenset()
    """Names of the head's parameters that were initialized at random, because the checkpoint does
    not hold them or holds them for other labels."""
    note: str = ""
    """A sentence for the user on what was changed; empty where the layer is used unchanged."""


def fit_head(
    model: PreTrainedModel,
    spec: BackboneSpec,
    rows: Rows,
    *,
    whose: str,
    missing: frozenset[str],
    mismatched: frozenset[str],
) -> CheckpointHead:
    """Reorders the rows of the output layer to match the labels, or initializes them at random.

    Args:
        model: As loaded, with one output per label.
        spec: The backbone's description.
        rows: The checkpoint's row for each label.
        whose: The checkpoint's name, for the note.
        missing: Parameters that the checkpoint does not hold, so that loading initialized them.
        mismatched: Parameters that it holds in another shape, so that loading initialized them.
    """
    path = STOCK_HEADS[spec.model_type].out
    layer = model.get_submodule(path)
    assert isinstance(layer, nn.Linear)
    names = frozenset(f"{path}.{name}" for name, _ in layer.named_parameters())
    drawn = missing | mismatched
    if names <= missing:
        return CheckpointHead(found=False, drawn=drawn)
    if rows.order is not None and names & mismatched:
        note = (
            f"The head of {whose} does not have the outputs that its config.json says: a new head "
            "is initialized."
        )
        return CheckpointHead(found=True, drawn=drawn, note=note)
    with torch.no_grad():
        if rows.order is not None:
            for parameter in layer.parameters():
                parameter.copy_(parameter[list(rows.order)])
        elif not names & drawn:
            # The initialization of most of transformers' classifiers.
            layer.weight.normal_(std=float(model.config.initializer_range))
            layer.bias.zero_()
    if rows.order is None:
        drawn |= names
    return CheckpointHead(found=True, drawn=drawn, note=rows.note)
