"""Describe the machine that a benchmark runs on."""

import os
import platform
from importlib.metadata import PackageNotFoundError, files, version
from pathlib import Path

from edgeadapt.measure.files import text_in
from edgeadapt.platforms import cpu_fields, cpu_flags
from edgeadapt.store.machine import Machine

__all__ = [
    "container",
    "describe_machine",
    "emulation",
    "install_bytes",
    "load_average",
    "usable_cores",
    "versions",
]

_SPEED_FLAGS = (
    "avx2", "avx512f", "avx_vnni", "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16",
    "asimd", "asimddp", "i8mm", "sve",
)  # fmt: skip
_LIBRARIES = (
    "onnxruntime", "openvino", "numpy", "tokenizers", "onnx", "torch", "transformers",
    "optimum-onnx",
)  # fmt: skip


def describe_machine() -> Machine:
    """Returns CPU, memory, system and library versions; ``None`` where one cannot be read."""
    cpu = cpu_fields()
    flags = cpu_flags()
    return Machine(
        cpu=cpu.get("model name") or platform.processor() or platform.machine(),
        architecture=platform.machine(),
        cores=usable_cores(),
        all_cores=os.cpu_count(),
        core_quota=_core_quota(),
        flags=None if flags is None else [flag for flag in _SPEED_FLAGS if flag in flags],
        memory_bytes=_memory_bytes(),
        virtualized=None if flags is None else "hypervisor" in flags,
        container=container(),
        emulation=emulation(),
        system=platform.platform(),
        python=platform.python_version(),
        load_average=load_average(),
        versions=versions(),
    )


def usable_cores() -> int:
    """Returns the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def container() -> str | None:
    """Returns the container runtime of this process, such as ``docker``; ``None`` without one."""
    if Path("/.dockerenv").exists():
        return "docker"
    if Path("/run/.containerenv").exists():
        return "podman"
    if "KUBERNETES_SERVICE_HOST" in os.environ:
        return "kubernetes"
    groups = text_in(Path("/proc/1/cgroup"))
    return next((name for name in ("docker", "kubepods", "lxc") if name in groups), None)


def emulation() -> str | None:
    """Returns the emulator of this CPU, which makes times meaningless; ``None`` for a real one."""
    kernel = text_in(Path("/proc/sys/kernel/arch"))  # since Linux 6.1; never emulated
    if kernel and kernel != platform.machine():
        return f"user-mode emulation on {kernel}"
    return "QEMU TCG" if "TCG" in cpu_fields().get("model name", "") else None


def install_bytes() -> dict[str, int]:
    """Returns the size on disk of installed libraries, from the records of their installer."""
    return {name: sum(file.size or 0 for file in files(name) or ()) for name in versions()}


def versions() -> dict[str, str]:
    """Returns the versions of the installed libraries that affect speed and results."""
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


def _core_quota() -> float | None:
    """CPU quota of the control group, in cores; ``None`` without a limit."""
    limit, _, period = text_in(Path("/sys/fs/cgroup/cpu.max")).partition(" ")
    return int(limit) / int(period) if limit.isdigit() and period.isdigit() else None


def load_average() -> float | None:
    """Returns the load average over the last minute; ``None`` where it cannot be read."""
    try:
        return os.getloadavg()[0]
    except (AttributeError, OSError):
        return None
