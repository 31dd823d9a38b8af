"""Compare two records and find significant changes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from edgeadapt.benchmark.figures import speeds
from edgeadapt.benchmark.noise import disturbances, typical_ns
from edgeadapt.benchmark.rows import answers, known_labels, task_of
from edgeadapt.errors import UsageError
from edgeadapt.measure.statistics import Interval, latency, resampled_percentiles
from edgeadapt.metrics import difference, score
from edgeadapt.store.record import Record
from edgeadapt.store.sample import Sample, scenario_title

__all__ = ["Change", "Comparison", "Verdict", "compare"]

RERUN_SPREAD = 0.03
"""Difference between two runs on an idle machine; smaller changes are ignored."""
PACE_SPREAD, SIGNAL_SPREAD = 1.1, 1.5
"""Ratios of the durations of a fixed computation and of a signal between cores, above which the
records are taken to be from different machines."""
_RESAMPLES = 400
_SECONDS, _MEGABYTES = 1e9, 1e6

_Growth = tuple[float, Interval | None]
"""A relative change, and its 95 % interval; ``None`` for exact values."""


class Verdict(StrEnum):
    """Verdict on a change."""

    BETTER = "better"
    SAME = "same"
    """Within noise: the interval of the change, or the difference between two runs."""
    WORSE = "worse"


@dataclass(frozen=True)
class Change:
    """One figure in both records."""

    row: str
    """``BUNDLE:VARIANT``."""
    figure: str
    """Name of the figure, with its unit."""
    before: float
    after: float
    change: float
    """Relative change; for accuracy, the difference (0.01 is one percentage point)."""
    interval: Interval | None
    """95 % interval of the change; ``None`` for exact values, such as file sizes."""
    lower_is_better: bool
    """Whether an increase is worse, as for a time or size, not accuracy or throughput."""
    verdict: Verdict
    fails: bool
    """Whether it is worse by more than the limit."""

    @property
    def worsening(self) -> float:
        """The change, with a sign that is positive where it is worse."""
        return self.change if self.lower_is_better else -self.change


@dataclass(frozen=True)
class Comparison:
    """All changes between two records."""

    changes: tuple[Change, ...]
    notes: tuple[str, ...]
    """Other differences between the records, as phrases."""

    @property
    def regressions(self) -> list[Change]:
        """The changes that are worse by more than the limit."""
        return [change for change in self.changes if change.fails]


def compare(
    before: Record, after: Record, *, fail_over: float = 0.05, max_drop: float = 0.01
) -> Comparison:
    """Compares the rows that both records have.

    A change is significant where its 95 % bootstrap interval excludes 0 and where it is larger
    than the difference between two runs on an idle machine; the latter does not apply to accuracy.
    Latencies are resampled by process and by samples within each, other times and memory by
    process, accuracy by text.

    Args:
        before: The earlier record.
        after: The later one.
        fail_over: Largest relative increase of a time or size, or decrease of throughput, 0 to 1.
        max_drop: Largest drop in accuracy, 0 to 1.

    Raises:
        UsageError: The records have no row in common.
    """
    later = {str(sample): sample for sample in after.samples}
    if later.keys().isdisjoint(map(str, before.samples)):
        raise UsageError(
            "The records have no row in common: found "
            f"{', '.join(map(str, before.samples))} before and {', '.join(later)} after.",
            hint="Rows match by bundle, variant and engine.",
        )
    same_texts = _same_texts(before, after)
    changes: list[Change] = []
    for sample in before.samples:
        if (other := later.get(str(sample))) is not None:
            changes += _latencies(sample, other, fail_over, same_texts=same_texts)
            changes += _medians(sample, other, fail_over)
            if same_texts:
                changes += _throughputs(sample, other, fail_over)
                changes += _accuracy(before, sample, other, max_drop)
    return Comparison(tuple(changes), tuple(_notes(before, after)))


def _latencies(
    before: Sample, after: Sample, allowed: float, *, same_texts: bool
) -> Iterator[Change]:
    for name, children in before.latency_ns.items():
        others = after.latency_ns.get(name, ()) if same_texts or name.isdigit() else ()
        first, then = latency(children), latency(others)
        if not first or not then:
            continue
        growth = resampled_percentiles(others, seed=1) / resampled_percentiles(children) - 1
        pairs = ((first.p50, then.p50), (first.p90, then.p90))
        for column, (one, other) in enumerate(pairs):
            if one is not None and other is not None:
                figure = f"{scenario_title(name)}, p{50 + 40 * column}, ms"
                change = other / one - 1, _interval(growth[:, column])
                yield _judged(before, figure, (one, other), change, allowed)


def _medians(before: Sample, after: Sample, allowed: float) -> Iterator[Change]:
    """Figures with one value per process."""
    for figure, first, then, unit in (
        ("first label, s", before.first_label_ns, after.first_label_ns, _SECONDS),
        ("load, s", before.load_ns, after.load_ns, _SECONDS),
        ("peak, MB", before.peak_bytes, after.peak_bytes, _MEGABYTES),
        ("model, MB", [before.bytes], [after.bytes], _MEGABYTES),
    ):
        one, other = (_known(values) for values in (first, then))
        if len(one) and len(other):
            values = (float(np.median(one)) / unit, float(np.median(other)) / unit)
            yield _judged(before, figure, values, _growth(one, other), allowed)


def _throughputs(before: Sample, after: Sample, allowed: float) -> Iterator[Change]:
    """Texts per second, with one value per pass."""
    for batch in before.throughput:
        one, other = (np.asarray(speeds(s.throughput.get(batch, ()))) for s in (before, after))
        if len(one) and len(other):
            values = (float(np.median(one)), float(np.median(other)))
            figure = f"batch {batch}, texts/s"
            yield _judged(
                before, figure, values, _growth(one, other), allowed, lower_is_better=False
            )


def _accuracy(record: Record, before: Sample, after: Sample, allowed: float) -> Iterator[Change]:
    """Accuracy on the texts of a record; both records have the same texts."""
    labels, task = known_labels(record), task_of(record)
    logits, others = answers(before), answers(after)
    if labels is None or logits is None or others is None:
        return
    found = difference(logits, others, labels, task=task)
    one, other = (100 * score(found, labels, task=task).accuracy for found in (logits, others))
    change = found.points, found.interval
    yield _judged(
        before, "accuracy, %", (one, other), change, allowed, lower_is_better=False, least=0.0
    )


def _judged(
    sample: Sample,
    figure: str,
    values: tuple[float, float],
    change: _Growth,
    allowed: float,
    *,
    lower_is_better: bool = True,
    least: float = RERUN_SPREAD,
) -> Change:
    growth, interval = change
    low, high = interval or (growth, growth)
    verdict = Verdict.SAME
    if abs(growth) > least and (low > 0 or high < 0):
        verdict = Verdict.WORSE if (growth > 0) is lower_is_better else Verdict.BETTER
    fails = verdict is Verdict.WORSE and abs(growth) > allowed
    return Change(str(sample), figure, *values, growth, interval, lower_is_better, verdict, fails)


def _growth(before: NDArray[np.float64], after: NDArray[np.float64]) -> _Growth:
    """Relative change of a median, with its interval where there are several values."""
    change = float(np.median(after) / np.median(before) - 1)
    if len(before) == len(after) == 1:
        return change, None
    generator = np.random.default_rng(0)
    first, then = (
        np.median(generator.choice(values, (_RESAMPLES, len(values))), axis=1)
        for values in (before, after)
    )
    return change, _interval(then / first - 1)


def _interval(drawn: NDArray[np.float64]) -> Interval:
    low, high = np.percentile(drawn, [2.5, 97.5])
    return float(low), float(high)


def _known(values: Sequence[int | None]) -> NDArray[np.float64]:
    return np.asarray([value for value in values if value is not None], dtype=np.float64)


def _same_texts(before: Record, after: Record) -> bool:
    one, other = (
        (found.sha256, found.texts, found.labels) for found in (before.evaluation, after.evaluation)
    )
    return one == other


def _notes(before: Record, after: Record) -> Iterator[str]:
    first, then = (
        {
            "CPU": record.machine.cpu,
            "threads": str(record.threads),
            "edgeadapt": record.edgeadapt,
            **record.machine.versions,
        }
        for record in (before, after)
    )
    for name in dict.fromkeys([*first, *then]):
        if first.get(name) != then.get(name):
            yield f"{name}: {first.get(name, 'none')} before, {then.get(name, 'none')} after"
    if not _same_texts(before, after):
        yield "different texts: figures that depend on them are not compared"
    for when, record in (("before", before), ("after", after)):
        yield from (f"{when}, {note}" for note in disturbances(record))
    for what, name, limit in (
        ("a fixed computation", "pace_ns", PACE_SPREAD),
        ("a signal between two cores", "signal_ns", SIGNAL_SPREAD),
    ):
        one, other = (typical_ns(record, name) for record in (before, after))
        if one and other and max(one, other) > limit * min(one, other):
            yield (
                f"{what} took {one:,.0f} ns before and {other:,.0f} ns after: the machine or its "
                "speed has changed"
            )
    names, others = ({str(sample) for sample in record.samples} for record in (before, after))
    for alone, when in ((names - others, "before"), (others - names, "after")):
        if alone:
            yield f"only {when}: {', '.join(sorted(alone))}"
