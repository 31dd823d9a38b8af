"""Write the history of a training as JSON lines, and draw its curves."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from edgeadapt.training.outcome import EpochReport, StepReport

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_curves", "write_history"]

_SERIES = ("#0072B2", "#D55E00")
"""Two colours that colour-blind readers can distinguish (Okabe and Ito 2008)."""


def write_history(path: Path, steps: Sequence[StepReport], epochs: Sequence[EpochReport]) -> None:
    """Writes one JSON object per line: logged steps and epochs, in order of time."""
    lines = [(report.step, 0, {"event": "step", **asdict(report)}) for report in steps]
    lines += [(report.step, 1, {"event": "epoch", **asdict(report)}) for report in epochs]
    ordered = sorted(lines, key=lambda line: line[:2])
    text = "".join(json.dumps(event) + "\n" for _, _, event in ordered)
    path.write_text(text, encoding="utf-8")


def draw_curves(
    path: Path,
    steps: Sequence[StepReport],
    epochs: Sequence[EpochReport],
    *,
    best: EpochReport,
    title: str,
) -> None:
    """Draws losses and validation accuracy over the steps as a PNG."""
    # The object interface needs no display and does not change pyplot's global state.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    losses, accuracy = figure.subplots(1, 2)
    _draw_losses(losses, steps, epochs)
    _draw_accuracy(accuracy, epochs, best)
    for axes in (losses, accuracy):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
    figure.suptitle(title, fontsize="medium", parse_math=False)
    figure.savefig(path, dpi=130)


def _draw_losses(
    losses: "Axes", steps: Sequence[StepReport], epochs: Sequence[EpochReport]
) -> None:
    ends = [report.step for report in epochs]
    losses.plot(
        [report.step for report in steps],
        [report.loss for report in steps],
        color=_SERIES[0],
        alpha=0.35,
        linewidth=1,
        label="training, logged steps",
    )
    losses.plot(
        ends,
        [report.train_loss for report in epochs],
        color=_SERIES[0],
        marker="o",
        label="training, epoch mean",
    )
    losses.plot(
        ends,
        [report.validation_loss for report in epochs],
        color=_SERIES[1],
        marker="s",
        label="validation",
    )
    losses.set(title="Cross-entropy", xlabel="optimizer step", ylim=(0, None))
    losses.legend(frameon=False, fontsize="small")


def _draw_accuracy(accuracy: "Axes", epochs: Sequence[EpochReport], best: EpochReport) -> None:
    ends = [report.step for report in epochs]
    shares = [100 * report.accuracy for report in epochs]
    accuracy.plot(ends, shares, color=_SERIES[1], marker="s", clip_on=False)
    accuracy.plot(
        best.step,
        100 * best.accuracy,
        color=_SERIES[0],
        marker="o",
        markersize=13,
        fillstyle="none",
        linestyle="none",
        clip_on=False,
        label=f"best: epoch {best.epoch}, {best.accuracy:.1%}",
    )
    room = max(5.0, max(shares) - min(shares)) / 2
    accuracy.set(
        title="Validation accuracy, %",
        xlabel="optimizer step",
        ylim=(max(0.0, min(shares) - room), min(100.0, max(shares) + room)),
    )
    accuracy.legend(frameon=False, fontsize="small", loc="lower right")
