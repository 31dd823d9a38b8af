"""Detect disturbances of a benchmark from its record."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from edgeadapt.measure.statistics import median
from edgeadapt.store.record import Record
from edgeadapt.store.sample import scenario_title

__all__ = ["FARTHER", "disturbances", "typical_ns"]

_Key = tuple[str, str]
"""``(sample, scenario)``."""

_SPREAD = 0.10
"""Interquartile range of the processes' medians, as a share of their median; above it, which of two
variants is faster is random."""
_SLOW = 0.25
"""How much slower a single process may be than the median, as a share. Percentiles are medians over
the processes and do not show it."""
_OTHERS = 0.10
"""CPU cores used by other processes."""
_STOLEN = 0.02
"""CPU cores that the host gave to other virtual machines (steal time)."""
_SLOWER = 0.05
"""Relative change of the clock, or of the duration of a fixed computation, over the benchmark."""
FARTHER = 2.0
"""Ratio of the latencies of a signal between two cores in two processes: above noise, below the
effect of a shared cache."""


def disturbances(record: Record) -> list[str]:
    """Returns one line per disturbance of the benchmark; empty on an idle machine."""
    return [*_spreads(record), *_company(record), *_slowdown(record), *_moves(record)]


def typical_ns(record: Record, name: str) -> float | None:
    """Returns the median over all processes of a measurement that depends only on the machine.

    Args:
        record: The benchmark.
        name: ``pace_ns``, a fixed computation, or ``signal_ns``, a signal to another core and back.
    """
    return median([ns for sample in record.samples for ns in getattr(sample, name)])


def _spreads(record: Record) -> Iterator[str]:
    """Lines on differences between processes, with the worst scenario."""
    medians = {
        (str(sample), scenario_title(scenario)): np.asarray(
            [np.median(child) for child in children]
        )
        / 1e6
        for sample in record.samples
        for scenario, children in sample.latency_ns.items()
        if len(children) > 1 and all(map(len, children))
    }
    if not medians:
        return
    quartiles = {key: np.percentile(found, [25, 50, 75]) for key, found in medians.items()}
    spreads = {key: float((high - low) / mid) for key, (low, mid, high) in quartiles.items()}
    slowest = {key: float(medians[key].max() / mid - 1) for key, (_, mid, _) in quartiles.items()}
    if worst := _worst(spreads, _SPREAD):
        low, _, high = quartiles[worst[0]]
        yield (
            f"p50 varies by over {_SPREAD:.0%} between processes in {worst[1]} of "
            f"{len(medians)} scenarios, most for {' at '.join(worst[0])}: "
            f"{low:.2f} to {high:.2f} ms (quartiles)"
        )
    if worst := _worst(slowest, _SLOW):
        yield (
            f"a process was over {_SLOW:.0%} slower than the median in {worst[1]} of "
            f"{len(medians)} scenarios, most for {' at '.join(worst[0])}: "
            f"{medians[worst[0]].max():.2f} ms, median {quartiles[worst[0]][1]:.2f} ms"
        )


def _worst(found: Mapping[_Key, float], limit: float) -> tuple[_Key, int] | None:
    """The key with the largest value above a limit, and the number of keys above it."""
    above = [key for key, value in found.items() if value > limit]
    return (max(above, key=found.__getitem__), len(above)) if above else None


def _company(record: Record) -> Iterator[str]:
    others, stolen = (record.conditions.others, record.conditions.stolen)
    if others is not None and others > _OTHERS:
        yield f"other processes used {others:.2f} CPU cores"
    if stolen is not None and stolen > _STOLEN:
        yield f"the host gave {stolen:.2f} CPU cores to other virtual machines"


def _slowdown(record: Record) -> Iterator[str]:
    before, after = record.conditions.before, record.conditions.after
    first, last = before.frequency_mhz, after.frequency_mhz
    if first and last and last < first * (1 - _SLOWER):
        yield f"the clock fell from {first:.0f} to {last:.0f} MHz"
    if after.throttled and after.throttled != before.throttled:
        yield f"the CPU was throttled ({after.throttled})"
    if after.governor and after.governor != "performance":
        yield f"the CPU governor is {after.governor}, not performance: the clock may vary"
    paces = [_drift(sample.pace_ns) for sample in record.samples if len(sample.pace_ns) > 1]
    if paces and (drift := float(np.median(paces))) > _SLOWER:
        yield f"a fixed computation took {drift:.0%} longer in the last round than in the first"


def _moves(record: Record) -> Iterator[str]:
    signals = [ns for sample in record.samples for ns in sample.signal_ns if ns]
    if record.threads > 1 and signals and max(signals) > FARTHER * min(signals):
        yield (
            f"a signal between two cores took {min(signals)} to {max(signals)} ns: the host moves "
            "the cores, which changes the latency of several threads"
        )


def _drift(paces: Sequence[int]) -> float:
    return paces[-1] / paces[0] - 1
