"""What the benchmark ran on."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from edgeadapt.platforms import cpu_fields, cpu_flags

__all__ = ["describe_machine", "usable_cores", "versions"]

_SPEED_FLAGS = (
    "avx2", "avx512f", "avx_vnni", "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16",
    "asimd", "asimddp", "i8mm", "sve",
)  # fmt: skip
_LIBRARIES = (
    "onnxruntime", "openvino", "numpy", "tokenizers", "onnx", "torch", "transformers",
    "optimum-onnx",
)  # fmt: skip


def describe_machine() -> dict[str, Any]:
    """Returns CPU, memory, system and library versions; ``None`` where one cannot be read."""
    cpu = cpu_fields()
    flags = cpu_flags()
    return {
        "cpu": cpu.get("model name") or platform.processor() or platform.machine(),
        "architecture": platform.machine(),
        "cores": usable_cores(),
        "flags": None if flags is None else [flag for flag in _SPEED_FLAGS if flag in flags],
        "memory_bytes": _memory_bytes(),
        "virtualized": None if flags is None else "hypervisor" in flags,
        "system": platform.platform(),
        "python": platform.python_version(),
        "load_average": _load_average(),
        "versions": versions(),
    }


def usable_cores() -> int:
    """Returns the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def versions() -> dict[str, str]:
    """Returns the versions of the installed libraries that decide speed and answers."""
    found = {}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def _load_average() -> float | None:
    try:
        return os.getloadavg()[0]
    except (AttributeError, OSError):
        return None
