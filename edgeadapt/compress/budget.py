"""The accuracy budget of an export, and what every step is judged against."""

from dataclasses import dataclass

import numpy as np

from edgeadapt.errors import GateError, UsageError
from edgeadapt.metrics import Drift, Labels, Logits, drift
from edgeadapt.recipe import ExportConfig, Task
from edgeadapt.text import Text

__all__ = ["DECIDING_TEXTS", "MAX_DROP", "SLACK", "Budget", "Reference"]

MAX_DROP = ExportConfig.max_drop
"""The budget where none is given."""
DECIDING_TEXTS = 1_000
"""Validation texts from which on the interval of the drop has to meet the budget too."""
SLACK = 0.01
"""How far beyond the budget the interval may reach."""


@dataclass(frozen=True)
class Budget:
    """What all steps together may cost."""

    max_drop: float
    """Largest accuracy drop against the uncompressed fp32 model, 0 to 1."""

    def __post_init__(self) -> None:
        if not 0 <= self.max_drop <= 1:
            raise UsageError(
                f"--max-drop: expected a share from 0 to 1, found {self.max_drop}.",
                hint="0.01 is one point of accuracy.",
            )

    def met_by(self, drift: Drift) -> bool:
        """Returns whether a drop is allowed; written so that NaN is not."""
        if not np.isfinite(drift.largest_shift):
            return False
        likely = drift.texts < DECIDING_TEXTS or drift.drop_interval[1] <= self.max_drop + SLACK
        return bool(drift.accuracy_drop <= self.max_drop and likely)

    def check(self, finished: Drift) -> None:
        """Judges a finished model once more.

        Raises:
            GateError: It costs more than allowed, although each step was within the budget.
        """
        if not self.met_by(finished):
            raise GateError(
                f"The finished model costs {100 * finished.accuracy_drop:.2f} points on "
                f"{finished.texts:,} held-out texts; allowed are {100 * self.max_drop:.2f}.",
                hint="No bundle was written. Please report this: each step was within the budget.",
            )


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
