"""The quantized model that was chosen, as a bundle holds and reports it."""

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
    """A quantized model in its place, and how it was chosen."""

    asked: Quantization
    step: Quantize
    taken: Taken
    cost: Drift
    """Of the finished file, against the uncompressed model."""

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
        """Moves the chosen file to its place in a bundle, and asks it there once more.

        Args:
            asked: What was asked for.
            step: The step.
            taken: What it led to.
            folder: Of the bundle.
            reference: What the finished file is judged against.
            texts: The reference's texts in the model's tokens.
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
