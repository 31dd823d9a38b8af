"""What disturbed a benchmark, from the record itself."""

from collections.abc import Iterator, Sequence

import numpy as np

from edgeadapt.record import Record

__all__ = ["disturbances"]

_SPREAD = 0.10
"""Of the medians of fresh processes: above it, what is slow depends on which process it was."""
_OTHERS = 0.10
"""Cores that others kept busy."""
_STOLEN = 0.02
"""Cores that the host gave to other guests."""
_SLOWER = 0.05
"""Fall of the clock, or rise of a fixed computation's time, from first to last."""


def disturbances(record: Record) -> list[str]:
    """Returns what a reader of the figures should know, in words; nothing of a quiet machine."""
    return [*_spreads(record), *_company(record), *_slowdown(record)]


def _spreads(record: Record) -> Iterator[str]:
    """Processes that differ by more than they should: one line for the worst."""
    found = []
    for sample in record.samples:
        for scenario, children in sample.latency_ns.items():
            medians = [float(np.median(child)) / 1e6 for child in children if len(child)]
            if len(medians) > 1:
                # Quartiles: one slow process of five is chance, two are not.
                low, high = np.percentile(medians, [25, 75])
                found.append(((high - low) / np.median(medians), sample, scenario, low, high))
    if not found:
        return
    noisy = [each for each in found if each[0] > _SPREAD]
    if noisy:
        spread, sample, scenario, low, high = max(noisy, key=lambda each: each[0])
        where = "real texts" if scenario.startswith("text") else f"{scenario} tokens"
        yield (
            f"the medians of fresh processes differ by over {_SPREAD:.0%} in {len(noisy)} of "
            f"{len(found)} scenarios, most for {sample} at {where}: {low:.2f} to {high:.2f} ms "
            f"between their quartiles ({spread:.0%})"
        )


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


def _drift(paces: Sequence[int]) -> float:
    return paces[-1] / paces[0] - 1
