"""Memory of this process, from /proc."""

from pathlib import Path

from edgeadapt.store.sample import Memory

__all__ = ["memory", "peak_bytes", "resident_bytes"]


def memory() -> Memory:
    """Returns the current and peak memory of this process."""
    rollup = _kilobytes("/proc/self/smaps_rollup")
    return Memory(rss=rollup.get("Rss"), pss=rollup.get("Pss"), peak=peak_bytes())


def peak_bytes() -> int | None:
    """Returns the peak resident memory of this process in bytes; ``None`` without /proc.

    Read from VmHWM: ``ru_maxrss`` would start at the parent's peak, and polling misses peaks.
    """
    return _kilobytes("/proc/self/status").get("VmHWM")


def resident_bytes() -> int | None:
    """Returns the resident memory of this process in bytes; faster to read than ``memory``."""
    return _kilobytes("/proc/self/status").get("VmRSS")


def _kilobytes(path: str) -> dict[str, int]:
    """Reads the ``Name: number kB`` lines of a file in /proc; the values are in bytes."""
    try:
        lines = Path(path).read_text(encoding="ascii").splitlines()
    except OSError:
        return {}
    words = (line.split() for line in lines)
    return {
        parts[0].removesuffix(":"): int(parts[1]) * 1024
        for parts in words
        if len(parts) == 3 and parts[2] == "kB"
    }
