"""Classification heads as other libraries hold them: shapes, the order of outputs, their names."""

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
    """Returns the shapes of the given parameters of a head; names that it has not are left out."""
    head, hidden = STOCK_HEADS[spec.model_type], hidden_size(config)
    known: dict[str, tuple[int, ...]] = {
        f"{head.dense}.weight": (hidden, hidden),
        f"{head.dense}.bias": (hidden,),
        f"{head.out}.weight": (labels, hidden),
        f"{head.out}.bias": (labels,),
    }
    if head.norm is not None:
        known |= {f"{head.norm}.{name}": (hidden,) for name in ("weight", "bias")}
    return {name: known[name] for name in names if name in known}


def reordered(
    head: Mapping[str, Tensor], order: Sequence[int], spec: BackboneSpec
) -> dict[str, Tensor]:
    """Returns a head with the rows of its output layer in another order.

    Args:
        head: Under the names of the stock classifier; the output layer may be missing.
        order: For each new row, the number of the old one.
        spec: The backbone's row.
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
    """Returns the labels that files and identity agree on, one for each output of the head.

    Placeholders such as ``LABEL_0`` in one of the two places are no names: the other one counts.

    Raises:
        IntegrityError: They do not agree.
    """
    also = identity.labels if identity else None
    known = real_names(labels) or real_names(also) or labels or also
    out = head.get(f"{STOCK_HEADS[spec.model_type].out}.weight")
    contradictory = len({real_names(labels), real_names(also)} - {None}) > 1
    if contradictory or (known and out is not None and len(out) != len(known)):
        outputs = "no head" if out is None else f"a head of {len(out)} outputs"
        raise IntegrityError(
            f"{where}: expected one list of labels, one for each output, found "
            f"{list(labels or ())} in one place, {list(also or ())} in another, and {outputs}."
        )
    return known
