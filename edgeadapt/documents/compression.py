"""The columns of a bundle's gates and of the trials of its compression steps."""

from dataclasses import dataclass

from edgeadapt.documents.cells import Cell, Column, count, fixed, share, text, times
from edgeadapt.metrics import Drift, Parity
from edgeadapt.store.bundle import Manifest
from edgeadapt.store.compression import Compression, StepReport, TrialReport
from edgeadapt.store.gates import MergeGate

__all__ = [
    "GATES",
    "SENSITIVITY",
    "Gate",
    "gates_of",
    "merge_note",
    "predicted_speed",
    "shown_trials",
    "step_note",
    "trial",
    "trial_columns",
]


@dataclass(frozen=True)
class Gate:
    """A gate that a bundle passed."""

    title: str
    figure: str
    limit: str
    texts: int
    agreement: float
    """Share of texts with the same predictions before and after, 0 to 1."""


def gates_of(manifest: Manifest) -> list[Gate]:
    """Returns the gates in order: exact steps first, then the cost of compression."""
    gates, compression = manifest.gates, manifest.compression
    found = [
        _parity("merged model = adapters", gates.merge.parity),
        _parity("ONNX fp32 = torch", gates.onnx),
    ]
    if compression:
        limit = f"drop ≤ {100 * compression.max_drop:.1f} points"
        found += [_cost(step.title, cost, limit) for step, cost in compression.costs]
    return found


def _parity(title: str, parity: Parity) -> Gate:
    return Gate(
        title,
        f"logits differ by {parity.max_difference:.1e}",
        f"{parity.limit:.0e}",
        parity.texts,
        parity.label_agreement,
    )


def _cost(title: str, cost: Drift, limit: str) -> Gate:
    before, after = share(cost.accuracy_before), share(cost.accuracy_after)
    figure = f"accuracy {before.text} → {after.text}"
    return Gate(f"{title}, validation text", figure, limit, cost.texts, cost.label_agreement)


def _drop(tried: TrialReport) -> Cell:
    low, high = tried.drift.drop_interval
    drop = 100 * tried.drift.accuracy_drop
    return Cell(f"{drop:.2f} ±{50 * (high - low):.2f}", value=drop)


def _latency(tried: TrialReport) -> Cell | None:
    if not tried.allowed:
        return Cell("not allowed")
    return None if tried.latency_ms is None else fixed(2)(tried.latency_ms)


def _megabytes(tried: TrialReport) -> float | None:
    return None if tried.bytes is None else tried.bytes / 1e6


GATES: tuple[Column[Gate], ...] = (
    Column.of("figure", "", text, lambda gate: gate.figure),
    Column.of("limit", "", text, lambda gate: gate.limit),
    Column.of("texts", "", count, lambda gate: gate.texts),
    Column.of("labels the same", "", share, lambda gate: gate.agreement),
)
_DROP: Column[TrialReport] = Column("accuracy drop", "points", _drop)
_SAME: Column[TrialReport] = Column.of(
    "labels the same", "", share, lambda tried: tried.drift.label_agreement
)
_SIZE: Column[TrialReport] = Column.of("size", "MB", fixed(1), _megabytes)
_TRIALS: tuple[Column[TrialReport], ...] = (
    _DROP,
    _SAME,
    Column.of("logits shift", "", fixed(3), lambda tried: tried.drift.rms_shift),
    _SIZE,
    Column("latency", "ms", _latency),
)
SENSITIVITY: tuple[Column[tuple[str, float]], ...] = (
    Column.of("logits shift", "", fixed(4), lambda part: part[1]),
)


def predicted_speed(tried: TrialReport) -> float | None:
    """Returns how many times as fast a trial is as the uncompressed model, as predicted.

    ``None`` of steps that do not predict it.
    """
    speed = tried.settings.get("speedup")
    return speed if isinstance(speed, float) else None


_PREDICTED: tuple[Column[TrialReport], ...] = (
    Column.of("speed", "", times, predicted_speed),
    _DROP,
    Column.of("allowed", "", text, lambda tried: "yes" if tried.allowed else "no"),
    _SAME,
    _SIZE,
)
"""Instead of latencies: without the shift of the logits, so that it fits a terminal."""


def trial_columns(step: StepReport) -> tuple[Column[TrialReport], ...]:
    """Returns the columns of a step's trials, except that of their names."""
    return _PREDICTED if _predicts(step) else _TRIALS


def shown_trials(step: StepReport) -> list[TrialReport]:
    """Returns the trials of a step in the order of its table.

    With predicted speeds the slowest is first, so that the accuracy can be read as a curve.
    """
    if not _predicts(step):
        return list(step.trials)
    return sorted(step.trials, key=lambda tried: predicted_speed(tried) or 0.0)


def _predicts(step: StepReport) -> bool:
    return all(predicted_speed(tried) is not None for tried in step.trials)


def _predicted_note(compression: Compression) -> str:
    shrunk = compression.shrunk
    tokens = f" at {shrunk.tokens} tokens" if shrunk else ""
    note = (
        f" Speed: predicted{tokens}, against nothing removed. Size: the weights of the layers in "
        "fp32."
    )
    if shrunk and shrunk.measured is not None:  # later exports judge by all texts
        note += f" The finished model was judged by {compression.spent.texts:,} other texts."
    return note


def trial(step: StepReport) -> Column[TrialReport]:
    """Returns the column with the names of the trials; the chosen one is marked."""

    def named(tried: TrialReport) -> str:
        return f"{tried.name}{' ←' if tried.name == step.chosen else ''}"

    return Column.of(step.candidates, "", text, named)


def merge_note(gate: MergeGate) -> str:
    """Returns a note on adapters that were not folded, and on layers that were copied."""
    leftover = gate.leftover
    if leftover.parameters:
        count = "Some" if leftover.bottlenecks is None else leftover.bottlenecks
        note = (
            f"{count} bottlenecks could not be folded: {leftover.parameters:,} "
            f"parameters, {leftover.macs_per_token:,} multiply-accumulates per token."
        )
    else:
        note = "All adapters were folded: the graph is that of a stock model."
    if gate.unshared_bytes:
        size = gate.unshared_bytes / 1e6
        note += f" Shared layers were copied, which adds {size:.1f} MB in fp32."
    return note


def step_note(compression: Compression, step: StepReport) -> str:
    """Returns a note on how the trial of a step was chosen, and on the accuracy of its result.

    Args:
        compression: The report with the step.
        step: The step.
    """
    taken, before = step.taken, step.baseline.latency_ms
    drift = taken.drift
    among = (
        f"among those that cost at most {100 * compression.max_drop:.1f} points on "
        f"{drift.texts:,} validation texts"
    )
    if before is None or taken.latency_ms is None:
        note = f"Chosen {among}."
    else:
        note = (
            f"Chosen for {compression.objective} on {compression.platform} {among}; fp32 takes "
            f"{before:.2f} ms. Ties were resolved by closeness to fp32."
        )
    low, high = drift.drop_interval
    if drift.texts < compression.deciding_texts:
        note += (
            f" The drop lies between {100 * low:.2f} and {100 * high:.2f} points (95 % interval): "
            f"about {drift.texts_for(compression.slack):,} texts would narrow it to ±1 point."
        )
    if before is not None and taken.latency_ms is not None and taken.latency_ms > before:
        note += " It is slower than fp32 on the exporting machine."
    if _predicts(step):
        note += _predicted_note(compression)
    return note
