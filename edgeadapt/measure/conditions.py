"""Read the state of the machine during a measurement: clock, temperature, throttling, load."""

import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter, perf_counter_ns

from edgeadapt.measure.files import number_in, text_in
from edgeadapt.measure.machine import load_average
from edgeadapt.store.conditions import Conditions, Moment

__all__ = ["Reading", "conditions_between", "pace_ns", "read_conditions"]

_ROOT = Path("/")
# Relative to the root of the file system.
_CPUS = "sys/devices/system/cpu"
_HEAT = "sys/class/thermal"
_PI_THROTTLED = "sys/devices/platform/soc/soc:firmware/get_throttled"
_STAT = "proc/stat"


@dataclass(frozen=True)
class Reading:
    """A machine's state at one moment, and counters of which only differences are meaningful."""

    moment: Moment
    at: float
    """Monotonic clock, in seconds."""
    busy_s: float | None
    """CPU seconds of all processes since the start of the system; ``None`` where they cannot be
    read."""
    stolen_s: float | None
    """Steal time: CPU seconds that the host gave to other guests; ``None`` as for ``busy_s``."""
    own_s: float
    """CPU seconds of this process and of its finished children."""


def read_conditions(root: Path = _ROOT) -> Reading:
    """Returns the current state, read from /proc and /sys below ``root``."""
    busy, stolen = _busy_and_stolen(root)
    cpus = root / _CPUS
    governors = {text_in(path) for path in cpus.glob("cpu[0-9]*/cpufreq/scaling_governor")}
    clocks = _numbers(cpus.glob("cpu[0-9]*/cpufreq/scaling_cur_freq"))
    heat = _numbers((root / _HEAT).glob("thermal_zone*/temp"))
    times = os.times()
    moment = Moment(
        governor=", ".join(sorted(filter(None, governors))) or None,
        frequency_mhz=sum(clocks) / len(clocks) / 1e3 if clocks else None,
        temperature_c=max(heat) / 1e3 if heat else None,
        throttled=_throttled(root),
        load_average=load_average(),
    )
    return Reading(
        moment,
        at=perf_counter(),
        busy_s=busy,
        stolen_s=stolen,
        own_s=times.user + times.system + times.children_user + times.children_system,
    )


def conditions_between(before: Reading, after: Reading) -> Conditions:
    """Returns both states, and the number of cores used by others in between.

    Others are other processes, and other guests of a virtual machine's host.
    """
    unknown = Conditions(before.moment, after.moment)
    seconds = after.at - before.at
    if before.busy_s is None or before.stolen_s is None:
        return unknown
    if after.busy_s is None or after.stolen_s is None or seconds <= 0:
        return unknown
    others = after.busy_s - before.busy_s - (after.own_s - before.own_s)
    return replace(
        unknown,
        others=max(0.0, others / seconds),
        stolen=max(0.0, (after.stolen_s - before.stolen_s) / seconds),
    )


def pace_ns(steps: int = 20_000) -> int:
    """Returns the nanoseconds of a computation with ``steps`` steps: the best of five.

    It reveals a slow core or a lowered clock where the system reports none, as in virtual machines.
    """
    found = []
    for _ in range(5):
        started = perf_counter_ns()
        total = 0
        for number in range(steps):
            total += number * number
        found.append(perf_counter_ns() - started)
    return min(found)


def _busy_and_stolen(root: Path) -> tuple[float | None, float | None]:
    """CPU seconds in use, and steal time, over all cores.

    Fields of /proc/stat: user, nice, system, idle, iowait, irq, softirq, steal, guest … where user
    already includes guest.
    """
    first = text_in(root / _STAT).split("\n", 1)[0].split()
    if len(first) < 9 or not hasattr(os, "sysconf"):
        return None, None
    ticks = [int(word) / os.sysconf("SC_CLK_TCK") for word in first[1:9]]
    user, nice, system, _, _, irq, softirq, steal = ticks
    return user + nice + system + irq + softirq, steal


def _throttled(root: Path) -> str | None:
    if flags := text_in(root / _PI_THROTTLED):
        return None if int(flags, 16) == 0 else f"0x{int(flags, 16):x}"
    counts = _numbers((root / _CPUS).glob("cpu[0-9]*/thermal_throttle/core_throttle_count"))
    return f"{int(sum(counts))} events" if sum(counts) else None


def _numbers(paths: Iterable[Path]) -> list[float]:
    return [value for path in paths if (value := number_in(path)) is not None]
