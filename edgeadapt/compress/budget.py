"""The accuracy budget of an export, and the reference that every step is compared with."""

from dataclasses import dataclass, replace

import numpy as np

from edgeadapt.errors import GateError, UsageError
from edgeadapt.metrics import Drift, Labels, Logits, drift
from edgeadapt.recipe import ExportConfig, Task
from edgeadapt.text import Text

__all__ = ["DECIDING_TEXTS", "MAX_DROP", "SLACK", "Budget", "Reference"]

MAX_DROP = ExportConfig.max_drop
"""The default budget."""
DECIDING_TEXTS = 1_000
"""Number of validation texts from which the confidence interval of the drop is checked too. With
fewer texts, the interval is too wide to decide by."""
SLACK = 0.01
"""How far the confidence interval may exceed the budget, as a share of accuracy."""


@dataclass(frozen=True)
class Budget:
    """The accuracy that all steps together may cost."""

    max_drop: float
    """Largest accuracy drop against the uncompressed fp32 model, 0 to 1."""

    def __post_init__(self) -> None:
        if not 0 <= self.max_drop <= 1:
            raise UsageError(
                f"--max-drop: expected a share from 0 to 1, found {self.max_drop}.",
                hint="0.01 is one point of accuracy.",
            )

    def met_by(self, drift: Drift) -> bool:
        """Returns whether a drop is within the budget; a model with NaN logits never is."""
        if not np.isfinite(drift.largest_shift):
            return False
        likely = drift.texts < DECIDING_TEXTS or drift.drop_interval[1] <= self.max_drop + SLACK
        return bool(drift.accuracy_drop <= self.max_drop and likely)

    def check(self, finished: Drift) -> None:
        """Checks the finished model once more.

        Raises:
            GateError: It exceeds the budget, although each step was within it.
        """
        if not self.met_by(finished):
            raise GateError(
                f"The finished model costs {100 * finished.accuracy_drop:.2f} points on "
                f"{finished.texts:,} held-out texts; allowed are {100 * self.max_drop:.2f}.",
                hint="No bundle was written. Please report this: each step was within the budget.",
            )


@dataclass(frozen=True)
class Reference:
    """The uncompressed fp32 model's logits on validation text.

    All steps of a chain are compared with this one reference, so that none can spend again what an
    earlier one has spent.
    """

    texts: tuple[Text, ...]
    labels: Labels
    task: Task
    logits: Logits
    """Shape ``(texts, labels)``."""

    def halves(self) -> tuple["Reference", "Reference"]:
        """Returns two references, of every other text each: one to choose by, one to judge by."""
        return self._part(slice(0, None, 2)), self._part(slice(1, None, 2))

    def _part(self, rows: slice) -> "Reference":
        return replace(
            self, texts=self.texts[rows], labels=self.labels[rows], logits=self.logits[rows]
        )

    def cost_of(self, logits: Logits) -> Drift:
        """Returns the drift of a compressed model on the same texts.

        Args:
            logits: Shape ``(texts, labels)``.
        """
        return drift(self.logits, logits, self.labels, task=self.task)
