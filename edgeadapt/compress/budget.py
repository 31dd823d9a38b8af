"""The accuracy budget of an export, and what every step is judged against."""

from dataclasses import dataclass

import numpy as np

from edgeadapt.config import Task
from edgeadapt.metrics import Drift, Labels, Logits, drift
from edgeadapt.text import Text

__all__ = ["DECIDING_TEXTS", "SLACK", "Budget", "Reference"]

DECIDING_TEXTS = 1_000
"""Validation texts from which on the interval of the drop has to meet the budget too."""
SLACK = 0.01
"""How far beyond the budget the interval may reach."""


@dataclass(frozen=True)
class Budget:
    """What all steps together may cost."""

    max_drop: float
    """Largest accuracy drop against the uncompressed fp32 model, 0 to 1."""

    def met_by(self, drift: Drift) -> bool:
        """Returns whether a drop is allowed; written so that NaN is not."""
        if not np.isfinite(drift.largest_shift):
            return False
        likely = drift.texts < DECIDING_TEXTS or drift.drop_interval[1] <= self.max_drop + SLACK
        return bool(drift.accuracy_drop <= self.max_drop and likely)


@dataclass(frozen=True)
class Reference:
    """The uncompressed fp32 model's answers on validation text.

    No step takes another reference: what a chain of steps costs is measured from here.
    """

    texts: tuple[Text, ...]
    labels: Labels
    task: Task
    logits: Logits
    """Shape ``(texts, labels)``."""

    def cost_of(self, logits: Logits) -> Drift:
        """Returns what a compressed model's answers to the same texts cost.

        Args:
            logits: Shape ``(texts, labels)``.
        """
        return drift(self.logits, logits, self.labels, task=self.task)
