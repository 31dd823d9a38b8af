"""The quantized model that was chosen, as a bundle holds and reports it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeadapt.bundle import Variant
from edgeadapt.compress.budget import DECIDING_TEXTS, SLACK, Reference
from edgeadapt.compress.climb import Taken
from edgeadapt.compress.step import Trial
from edgeadapt.metrics import Drift
from edgeadapt.quantize.options import Quantization
from edgeadapt.quantize.step import Quantize, answers_of
from edgeadapt.recipe import Scheme
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

    # The next two are what the manifest holds, which other versions read: JSON by its nature.

    def gate(self, max_drop: float) -> Mapping[str, Any]:
        """Returns the report of the accuracy gate, for the manifest's ``parity``."""
        return {"scheme": _scheme(self.taken), "max_drop": max_drop, **self.cost.to_dict()}

    def report(self, max_drop: float) -> Mapping[str, Any]:
        """Returns all that was tried, for the manifest's ``quantization``."""
        assert self.step.measured is not None
        chosen = self.taken.chosen
        return {
            "objective": self.asked.objective,
            "platform": self.asked.made_for,
            "engine": self.asked.engine,
            "max_drop": max_drop,
            "deciding_texts": DECIDING_TEXTS,
            "texts_to_decide": chosen.cost.texts_for(SLACK),
            "trials": [_trial(trial) for trial in self.taken.trials],
            "chosen": chosen.name,
            "fp32_ms": self.step.measured.fp32_ms,
            "noise": self.step.measured.noise,
            "sensitivity": dict(self.step.sensitivity),
        }


def _scheme(taken: Taken) -> Scheme:
    return Scheme(str(taken.chosen.proposal.settings["scheme"]))


def _trial(trial: Trial) -> Mapping[str, Any]:
    return {
        **{name: getattr(trial, name) for name in ("bytes", "allowed", "latency_ms", "name")},
        "candidate": dict(trial.proposal.settings),
        "drift": trial.cost.to_dict(),
        "peak_bytes": trial.peak_bytes,
    }
