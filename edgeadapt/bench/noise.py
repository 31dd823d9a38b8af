"""What disturbed a benchmark, from the record itself."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from edgeadapt.measure.statistics import median
from edgeadapt.record import Record, scenario_title

__all__ = ["FARTHER", "disturbances", "typical_ns"]

_Key = tuple[str, str]
"""A sample and a scenario."""

_SPREAD = 0.10
"""Of the middle half of the processes' medians: above it, what is slow is a matter of luck."""
_SLOW = 0.25
"""Of a single process: the figures leave it out of account, the reader should not."""
_OTHERS = 0.10
"""Cores that others kept busy."""
_STOLEN = 0.02
"""Cores that the host gave to other guests."""
_SLOWER = 0.05
"""Fall of the clock, or rise of a fixed computation's time, from first to last."""
FARTHER = 2.0
"""Times as long for a signal between two cores, in one process as in another: no chance does that,
and a cache that is shared or not makes more of a difference."""


def disturbances(record: Record) -> list[str]:
    """Returns what a reader of the figures should know, in words; nothing of a quiet machine."""
    return [*_spreads(record), *_company(record), *_slowdown(record), *_moves(record)]


def typical_ns(record: Record, name: str) -> float | None:
    """Returns the median over all processes of what depends on the machine alone.

    Args:
        record: The benchmark.
        name: ``pace_ns``, a fixed computation, or ``signal_ns``, from one core to another and back.
    """
    return median([ns for sample in record.samples for ns in getattr(sample, name)])


def _spreads(record: Record) -> Iterator[str]:
    """Processes that differ by more than they should, with the worst scenario."""
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
            f"the medians of fresh processes differ by over {_SPREAD:.0%} in {worst[1]} of "
            f"{len(medians)} scenarios, most for {' at '.join(worst[0])}: "
            f"{low:.2f} to {high:.2f} ms between their quartiles"
        )
    if worst := _worst(slowest, _SLOW):
        yield (
            f"single processes ran over {_SLOW:.0%} slower than most in {worst[1]} of "
            f"{len(medians)} scenarios, most for {' at '.join(worst[0])}: "
            f"{medians[worst[0]].max():.2f} ms against {quartiles[worst[0]][1]:.2f} ms"
        )


def _worst(found: Mapping[_Key, float], limit: float) -> tuple[_Key, int] | None:
    """What is furthest above a limit, and how many are."""
    above = [key for key, value in found.items() if value > limit]
    return (max(above, key=found.__getitem__), len(above)) if above else None


def _company(record: Record) -> Iterator[str]:
    others, stolen = (record.conditions.get(name) for name in ("others", "stolen"))
    if others is not None and others > _OTHERS:
        yield f"other processes kept {others:.2f} cores busy meanwhile"
    if stolen is not None and stolen > _STOLEN:
        yield f"the host gave {stolen:.2f} cores' time to other machines"


def _slowdown(record: Record) -> Iterator[str]:
    before, after = (record.conditions.get(name, {}) for name in ("before", "after"))
    first, last = before.get("frequency_mhz"), after.get("frequency_mhz")
    if first and last and last < first * (1 - _SLOWER):
        yield f"the clock fell from {first:.0f} to {last:.0f} MHz"
    if after.get("throttled") and after.get("throttled") != before.get("throttled"):
        yield f"the CPU was throttled ({after['throttled']})"
    governor = after.get("governor")
    if governor and governor != "performance":
        yield f"the clock is chosen by the governor {governor}, not by performance"
    paces = [_drift(sample.pace_ns) for sample in record.samples if len(sample.pace_ns) > 1]
    if paces and (drift := float(np.median(paces))) > _SLOWER:
        yield f"a fixed computation took {drift:.0%} longer in the last round than in the first"


def _moves(record: Record) -> Iterator[str]:
    signals = [ns for sample in record.samples for ns in sample.signal_ns if ns]
    if record.threads > 1 and signals and max(signals) > FARTHER * min(signals):
        yield (
            f"a signal from one core to another took {min(signals)} to {max(signals)} ns: the host "
            "of this machine moves the cores, and what several threads do takes other times then"
        )


def _drift(paces: Sequence[int]) -> float:
    return paces[-1] / paces[0] - 1
