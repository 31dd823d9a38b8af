"""Memory of the own process, from /proc."""

from pathlib import Path

__all__ = ["peak_bytes"]


def peak_bytes() -> int | None:
    """Returns the peak resident memory of this process in bytes; ``None`` without /proc.

    Read from VmHWM: ``ru_maxrss`` would start at the parent's peak, and polling misses peaks.
    """
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        return None
    for line in status.splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return None
