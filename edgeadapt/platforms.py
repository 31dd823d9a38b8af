"""Which of the platforms that models are quantized for this machine is."""

import platform
from pathlib import Path

from edgeadapt.recipe import Platform

__all__ = ["cpu_fields", "cpu_flags", "runs_like", "this_platform"]

_VNNI = frozenset({"avx512_vnni", "avx_vnni"})
"""Instructions that add products of 8 bits up in 32, as Arm's do."""


def this_platform() -> Platform:
    """Returns what this machine is; a CPU that cannot be asked counts as the least of its kind."""
    if platform.machine().lower() in ("aarch64", "arm64"):
        return Platform.ARM64
    return Platform.X86_VNNI if _VNNI & (cpu_flags() or frozenset()) else Platform.X86_AVX2


def runs_like(made_for: Platform, here: Platform) -> bool:
    """Returns whether a model gives here the answers that it was judged by.

    Args:
        made_for: What the model was quantized for.
        here: What it runs on.
    """
    # Seven bits overflow nowhere, and those of the web are multiplied in 32 bits.
    exact = (Platform.PORTABLE, Platform.X86_AVX2)
    return made_for in (here, *exact) or here is not Platform.X86_AVX2


def cpu_flags() -> frozenset[str] | None:
    """Returns what the CPU can do, in Linux's words; ``None`` where that cannot be read."""
    cpu = cpu_fields()
    listed = cpu.get("flags", cpu.get("Features"))
    return None if listed is None else frozenset(listed.split())


def cpu_fields() -> dict[str, str]:
    """Returns the first processor's block of /proc/cpuinfo; nothing without one."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    pairs = (line.partition(":") for line in text.split("\n\n")[0].splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}
