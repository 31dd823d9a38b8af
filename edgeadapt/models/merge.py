"""Fold adapters into the backbone and save the result as a stock checkpoint."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor
from transformers import PreTrainedModel

from edgeadapt.adapters import BackboneModel, Kept
from edgeadapt.adapters.parts import Part, innermost
from edgeadapt.backbones import backbone_spec
from edgeadapt.errors import ExportError
from edgeadapt.metrics import Parity
from edgeadapt.models.classifier import AdaptedClassifier, load_stock
from edgeadapt.runtime.resized import unequal_structure
from edgeadapt.runtime.torch_engine import load_checkpoint
from edgeadapt.store.checkpoint import read_checkpoint_config
from edgeadapt.store.gates import Leftover, MergeGate
from edgeadapt.store.structure import Structure

__all__ = ["Merged", "merge"]


@dataclass(frozen=True)
class Merged:
    """A classifier after folding."""

    model: PreTrainedModel
    """The complete model: ``stock`` if everything folded, else with the kept bottlenecks."""
    stock: PreTrainedModel
    """A stock model with everything that folded, without the kept bottlenecks."""
    kept: Sequence[Kept]
    """The bottlenecks that did not fold."""
    unshared_bytes: int
    """fp32 bytes added because layers that shared weights have their own now."""
    structure: Structure | None = None
    """Widths of the layers of both models; ``None`` where their config says it all."""

    @property
    def is_stock(self) -> bool:
        """Whether plain transformers can load the complete model."""
        return not self.kept and self.structure is None

    def resized(self, model: PreTrainedModel) -> "Merged":
        """Returns this with a resized copy of its model (``runtime/resized.py``).

        Raises:
            ExportError: Some adapters did not fold; what they read and write would be gone.
        """
        if self.kept:
            raise ExportError(
                f"The layers of this model cannot be resized: {len(self.kept)} bottlenecks stay "
                "beside its dense layers.",
                hint="Train with --method parallel (and the backbone's own activation), lora, ia3 "
                "or bitfit, which fold.",
            )
        structure = unequal_structure(model, backbone_spec(model.config.model_type))
        return replace(self, model=model, stock=model, structure=structure)

    @property
    def leftover(self) -> Leftover:
        """Counts of what did not fold."""
        return Leftover(
            parameters=sum(kept.parameters for kept in self.kept),
            macs_per_token=sum(kept.macs_per_token for kept in self.kept),
            bottlenecks=len(self.kept),
        )

    def gate(self, parity: Parity) -> MergeGate:
        """Returns the result of the merge that a bundle records.

        Args:
            parity: The merged model compared with the model with adapters.
        """
        return MergeGate(parity, self.leftover, self.unshared_bytes)

    def save(self, folder: Path) -> PreTrainedModel:
        """Saves a checkpoint and returns it as reloaded.

        A stock model is reloaded by plain transformers, one of layers of different widths by its
        ``structure``, which the checkpoint does not hold.

        Raises:
            ExportError: Some adapters did not fold; a checkpoint cannot hold them.
            ModelError: A key is missing, unexpected or of another shape on reload.
        """
        if self.kept:
            raise ExportError(
                f"This model cannot be saved as a stock checkpoint: {self.leftover.bottlenecks} "
                f"bottlenecks with {self.leftover.parameters:,} parameters stay beside its dense "
                "layers.",
                hint="Train with --method parallel (and the backbone's own activation), lora, ia3 "
                "or bitfit; or make a bundle of it with `edgeadapt export`, without --with-torch.",
            )
        self.model.save_pretrained(folder)
        if self.structure is not None:
            return load_checkpoint(read_checkpoint_config(folder), self.structure)
        return load_stock(folder)


def merge(classifier: AdaptedClassifier) -> Merged:
    """Folds every adapter in place. The classifier must not be used afterwards.

    ``stock`` is a new instance of the stock class, its ``intermediate_size`` widened as needed,
    into which every tensor is loaded strictly.
    """
    classifier.model.cpu()
    kept = [part for adapter in classifier.adapters.values() for part in adapter.fold()]
    classifier.model.eval()
    stock = _stock(classifier.backbone)
    return Merged(
        model=classifier.model if kept else stock,
        stock=stock,
        kept=kept,
        unshared_bytes=4 * classifier.unshared_parameters,
    )


def _stock(backbone: BackboneModel) -> PreTrainedModel:
    spec, model = backbone.spec, backbone.model
    first = [innermost(layer.module.get_submodule(spec.ffn_in)) for layer in backbone.layers()]
    last = [innermost(layer.module.get_submodule(spec.ffn_out)) for layer in backbone.layers()]
    widths = {linear.in_features for linear in last}
    if len(widths) != 1:
        raise ExportError(f"The FFNs have different widths after merging: found {sorted(widths)}.")
    changes: dict[str, object] = {spec.intermediate_key: widths.pop()}
    if spec.gate_bias_key is not None:
        changes[spec.gate_bias_key] = all(linear.bias is not None for linear in [*first, *last])
    config = type(model.config).from_dict(model.config.to_dict() | changes)
    stock = type(model)(config)
    stock.load_state_dict(_without_parts(model), strict=True, assign=True)
    return stock.to(model.dtype).eval()


def _without_parts(model: PreTrainedModel) -> dict[str, Tensor]:
    """Returns the model's tensors by their stock names, without those of adapter parts."""
    parts = [name for name, module in model.named_modules() if isinstance(module, Part)]
    state: dict[str, Tensor] = model.state_dict()
    for part in sorted(parts, key=len, reverse=True):  # the inner ones first
        inside, base = f"{part}.", f"{part}.base."
        state = {
            name.replace(base, inside, 1) if name.startswith(base) else name: tensor
            for name, tensor in state.items()
            if name.startswith(base) or not name.startswith(inside)
        }
    return state
