"""Detect which quantization platform this machine is."""

import platform
from pathlib import Path

from edgeadapt.recipe import Platform

__all__ = ["cpu_fields", "cpu_flags", "runs_like", "this_platform"]

_VNNI = frozenset({"avx512_vnni", "avx_vnni"})
"""CPU flags of instructions that sum 8-bit products in 32 bits, as Arm CPUs do."""


def this_platform() -> Platform:
    """Returns this machine's platform; without readable CPU flags, the least capable one."""
    if platform.machine().lower() in ("aarch64", "arm64"):
        return Platform.ARM64
    return Platform.X86_VNNI if _VNNI & (cpu_flags() or frozenset()) else Platform.X86_AVX2


def runs_like(made_for: Platform, here: Platform) -> bool:
    """Returns whether a model computes here what it computed where it was validated.

    Args:
        made_for: The platform that the model was quantized for.
        here: The platform that it runs on.
    """
    # 7-bit weights overflow on no platform, and web runtimes accumulate in 32 bits.
    exact = (Platform.PORTABLE, Platform.X86_AVX2)
    return made_for in (here, *exact) or here is not Platform.X86_AVX2


def cpu_flags() -> frozenset[str] | None:
    """Returns the CPU flags of /proc/cpuinfo; ``None`` where they cannot be read."""
    cpu = cpu_fields()
    listed = cpu.get("flags", cpu.get("Features"))
    return None if listed is None else frozenset(listed.split())


def cpu_fields() -> dict[str, str]:
    """Returns the fields of the first processor in /proc/cpuinfo; empty where it cannot be read."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    pairs = (line.partition(":") for line in text.split("\n\n")[0].splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}
