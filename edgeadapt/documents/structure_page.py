"""The section of the report page about layers, heads and neurons that were removed."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TypeVar

from edgeadapt.documents.cells import Column
from edgeadapt.documents.compression import (
    predicted_speed,
    shown_trials,
    step_note,
    trial,
    trial_columns,
)
from edgeadapt.documents.structure import (
    LAYER,
    LAYERS,
    Layer,
    layers_of,
    removed_note,
    speed_note,
)
from edgeadapt.escape import html
from edgeadapt.store.compression import Compression, Shrunk, StepReport, TrialReport

__all__ = ["Pruned", "PrunedFigures", "figures_of", "pruned_section"]

R = TypeVar("R")


@dataclass(frozen=True)
class Pruned:
    """A bundle from whose layers something was removed."""

    name: str
    compression: Compression
    shrunk: Shrunk
    """What was removed."""
    step: StepReport
    """The step that removed it."""

    @classmethod
    def of(cls, name: str, compression: Compression | None) -> "Pruned | None":
        """Returns the bundle; ``None`` if nothing was removed from its layers."""
        if compression is None or compression.shrunk is None:
            return None
        return cls(name, compression, compression.shrunk, compression.steps[0])


@dataclass(frozen=True)
class _Tried:
    """A point of the chart of trials."""

    name: str
    speed: float
    accuracy: float
    """On the validation text that chose, 0 to 1."""
    interval: tuple[float, float]
    """95 % interval of the accuracy, from that of the drop."""
    allowed: bool
    chosen: bool

    @classmethod
    def of(cls, tried: TrialReport, step: StepReport) -> "_Tried":
        low, high = tried.drift.drop_interval
        before = tried.drift.accuracy_before
        return cls(
            name=tried.name,
            speed=predicted_speed(tried) or 1.0,
            accuracy=tried.drift.accuracy_after,
            interval=(before - high, before - low),
            allowed=tried.allowed,
            chosen=tried.name == step.chosen,
        )


@dataclass(frozen=True)
class PrunedFigures:
    """The data of a bundle's charts."""

    name: str
    layers: tuple[Layer, ...]
    trials: tuple[_Tried, ...]
    """The slowest first."""
    accuracy_before: float
    """Accuracy of the uncompressed model on the text that chose, 0 to 1."""
    least_accuracy: float
    """Lowest accuracy that the budget allows, 0 to 1."""


def figures_of(pruned: Pruned) -> dict[str, object]:
    """Returns the data of a bundle's charts for the script of the page."""
    before = pruned.step.taken.drift.accuracy_before
    return asdict(
        PrunedFigures(
            name=pruned.name,
            layers=tuple(layers_of(pruned.shrunk)),
            trials=tuple(_Tried.of(tried, pruned.step) for tried in shown_trials(pruned.step)),
            accuracy_before=before,
            least_accuracy=before - pruned.compression.max_drop,
        )
    )


def pruned_section(bundles: Sequence[Pruned]) -> str:
    """Returns the section as HTML; empty without such bundles.

    The tables hold what the charts show, for those who cannot see them.
    """
    if not bundles:
        return ""
    parts = (_bundle(pruned, number) for number, pruned in enumerate(bundles))
    return f"<h2>What was removed from the layers</h2>{''.join(parts)}"


def _bundle(pruned: Pruned, number: int) -> str:
    notes = f"{removed_note(pruned.shrunk)} {speed_note(pruned.shrunk)}"
    trials = (trial(pruned.step), *trial_columns(pruned.step))
    return (
        f'<section class="pruned"><h3>{html(pruned.name)}</h3><p>{html(notes)}</p>'
        f'<div class="charts">{_charts(number)}</div>'
        f"{_table((LAYER, *LAYERS), layers_of(pruned.shrunk))}"
        f"{_table(trials, shown_trials(pruned.step))}"
        f"<p>{html(step_note(pruned.compression, pruned.step))}</p></section>"
    )


def _charts(number: int) -> str:
    by_layer = "kept and removed, first layer first; above: the layer's share of the importance"
    charts = (
        ("small", "heads", "Attention heads by layer", by_layer, "the table of layers"),
        ("small", "neurons", "FFN neurons by layer", by_layer, "the table of layers"),
        (
            "wide",
            "trials",
            "Accuracy against predicted speed",
            "every model that was tried, on the validation text that chose; bars: 95 % intervals",
            "the table of trials",
        ),
    )
    return "".join(
        f'<figure class="{size}"><figcaption>{title}<span>{explained}</span></figcaption>'
        f'<div class="chart" id="{name}-{number}" role="img" '
        f'aria-label="{title}. The same figures are in {table} below."></div></figure>'
        for size, name, title, explained, table in charts
    )


def _table(columns: Sequence[Column[R]], rows: Sequence[R]) -> str:
    header = "".join(f"<th>{html(column.heading)}</th>" for column in columns)
    lines = "".join(
        f"<tr>{''.join(f'<td>{html(column.cell(row).text)}</td>' for column in columns)}</tr>"
        for row in rows
    )
    return (
        f'<div class="scroll"><table class="pruned"><thead><tr>{header}</tr></thead>'
        f"<tbody>{lines}</tbody></table></div>"
    )
