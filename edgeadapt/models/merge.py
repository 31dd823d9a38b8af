"""Folding adapters into the backbone, and proving that nothing changed."""

from dataclasses import dataclass
from pathlib import Path

from transformers import PreTrainedModel

from edgeadapt.adapters import Encoder, Leftover
from edgeadapt.adapters.base import linear_at
from edgeadapt.errors import ExportError
from edgeadapt.models.classifier import AdaptedClassifier, load_stock

__all__ = ["Merged", "merge"]


@dataclass(frozen=True)
class Merged:
    """A classifier after folding."""

    model: PreTrainedModel
    """A stock model where everything folded, else the model with the leftover adapters in it."""
    leftover: Leftover

    @property
    def is_stock(self) -> bool:
        """Whether plain transformers can load it."""
        return self.leftover.parameters == 0

    def save(self, folder: Path) -> PreTrainedModel:
        """Saves a stock checkpoint and returns it as plain transformers reads it back.

        Raises:
            ExportError: Adapters are left over; saved, they would be dropped in silence.
            ModelError: A key is missing, unexpected or of another shape on reload.
        """
        if not self.is_stock:
            raise ExportError(
                f"This model cannot be saved as a stock checkpoint: {self.leftover.parameters:,} "
                "adapter parameters could not be folded.",
                hint="Train with --method parallel, or export without --with-torch.",
            )
        self.model.save_pretrained(folder)
        return load_stock(folder)


def merge(classifier: AdaptedClassifier) -> Merged:
    """Folds every adapter in place. The classifier is used up.

    Where everything folds, the result is a new instance of the stock class, its
    ``intermediate_size`` widened as needed, into which every tensor is loaded strictly.
    """
    leftovers = [adapter.fold() for adapter in classifier.adapters.values()]
    leftover = Leftover(
        parameters=sum(part.parameters for part in leftovers),
        macs_per_token=sum(part.macs_per_token for part in leftovers),
    )
    model = classifier.model.cpu().float().eval()
    if leftover.parameters:
        return Merged(model, leftover)
    return Merged(_stock(classifier.encoder, model), leftover)


def _stock(encoder: Encoder, model: PreTrainedModel) -> PreTrainedModel:
    spec = encoder.spec
    widths = {linear_at(layer, spec.ffn_in).out_features for layer in encoder.layers()}
    if len(widths) != 1:
        raise ExportError(f"The FFNs have different widths after merging: found {sorted(widths)}.")
    config = type(model.config).from_dict(
        model.config.to_dict() | {spec.intermediate_key: widths.pop()}
    )
    stock = type(model)(config)
    stock.load_state_dict(model.state_dict(), strict=True, assign=True)
    return stock.eval()
