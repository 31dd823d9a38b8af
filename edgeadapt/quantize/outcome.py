"""The quantized model that was chosen, in the form that a bundle holds and reports."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgeadapt.compress.budget import Reference
from edgeadapt.compress.climb import Taken
from edgeadapt.metrics import Drift
from edgeadapt.quantize.options import Quantization
from edgeadapt.quantize.step import Quantize, answers_of
from edgeadapt.recipe import Scheme
from edgeadapt.store.bundle import Variant
from edgeadapt.text import Tokens

__all__ = ["Quantized"]


@dataclass(frozen=True)
class Quantized:
    """A quantized model in a bundle, and how it was chosen."""

    asked: Quantization
    step: Quantize
    taken: Taken
    cost: Drift
    """Drift of the finished file against the uncompressed model."""

    @classmethod
    def placed(
        cls,
        asked: Quantization,
        step: Quantize,
        taken: Taken,
        *,
        folder: Path,
        reference: Reference,
        texts: Sequence[Tokens],
    ) -> "Quantized":
        """Moves the chosen file into a bundle, and measures its accuracy there once more.

        Args:
            asked: The options.
            step: The compression step.
            taken: Its result.
            folder: The bundle's folder.
            reference: The logits that the finished file is compared with.
            texts: The reference's texts, tokenized for the model.
        """
        file = folder / asked.variant(_scheme(taken))[1].file
        file.parent.mkdir(exist_ok=True)
        taken.model.replace(file)
        return cls(asked, step, taken, reference.cost_of(answers_of(file, texts, asked.engine)))

    @property
    def variant(self) -> tuple[str, Variant]:
        """Name and variant for the manifest."""
        return self.asked.variant(_scheme(self.taken))


def _scheme(taken: Taken) -> Scheme:
    return Scheme(str(taken.chosen.proposal.settings["scheme"]))
