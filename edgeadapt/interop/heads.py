"""Classification heads of other libraries: shapes, order of the outputs, label names."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor

from edgeadapt.backbones import STOCK_HEADS, BackboneSpec
from edgeadapt.errors import IntegrityError
from edgeadapt.interop.files import Shapes
from edgeadapt.interop.identity import Identity
from edgeadapt.interop.layers import hidden_size
from edgeadapt.outputs import real_names

__all__ = ["agreed_labels", "head_shapes", "reordered"]


def head_shapes(
    names: Sequence[str], spec: BackboneSpec, config: Mapping[str, object], labels: int
) -> Shapes:
    """Returns the shapes of the given parameters of a head; names of others are left out."""
    head, hidden = STOCK_HEADS[spec.model_type], hidden_size(config)
    shapes: dict[str, tuple[int, ...]] = {
        f"{head.dense}.weight": (hidden, hidden),
        f"{head.dense}.bias": (hidden,),
        f"{head.out}.weight": (labels, hidden),
        f"{head.out}.bias": (labels,),
    }
    if head.norm is not None:
        shapes |= {f"{head.norm}.{name}": (hidden,) for name in ("weight", "bias")}
    return {name: shapes[name] for name in names if name in shapes}


def reordered(
    head: Mapping[str, Tensor], order: Sequence[int], spec: BackboneSpec
) -> dict[str, Tensor]:
    """Returns a head with the rows of its output layer reordered.

    Args:
        head: Name in the stock classifier -> tensor; the output layer may be missing.
        order: For each new row, the number of the old one.
        spec: The backbone's description.
    """
    out = f"{STOCK_HEADS[spec.model_type].out}."
    rows = list(order)
    return {name: tensor[rows] if name.startswith(out) else tensor for name, tensor in head.items()}


def agreed_labels(
    labels: tuple[str, ...] | None,
    identity: Identity | None,
    head: Mapping[str, Tensor],
    *,
    spec: BackboneSpec,
    where: Path | str,
) -> tuple[str, ...] | None:
    """Returns the label names, after checking that files, identity and head agree on them.

    Placeholders such as ``LABEL_0`` do not count as names: names in the other place are used.

    Raises:
        IntegrityError: Names differ, or their number is not that of the head's outputs.
    """
    also = identity.labels if identity else None
    agreed = real_names(labels) or real_names(also) or labels or also
    out = head.get(f"{STOCK_HEADS[spec.model_type].out}.weight")
    contradictory = len({real_names(labels), real_names(also)} - {None}) > 1
    if contradictory or (agreed and out is not None and len(out) != len(agreed)):
        outputs = "no head" if out is None else f"a head of {len(out)} outputs"
        raise IntegrityError(
            f"{where}: expected one list of labels, one for each output, found "
            f"{list(labels or ())} in one place, {list(also or ())} in another, and {outputs}."
        )
    return agreed
