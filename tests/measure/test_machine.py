"""The description of the machine."""

import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from edgeadapt.measure import machine
from edgeadapt.measure.machine import (
    container,
    describe_machine,
    emulation,
    install_bytes,
    usable_cores,
    versions,
)

X86 = (
    "processor\t: 0\nmodel name\t: Some CPU @ 2.50GHz\nflags\t\t: fpu avx2 hypervisor avx512_vnni\n"
    "\nprocessor\t: 1\nmodel name\t: Another CPU\nflags\t\t: amx_int8\n"
)
ARM = "processor\t: 0\nBogoMIPS\t: 108.00\nFeatures\t: fp asimd sve asimddp\nCPU part\t: 0xd0b\n"


def replace_cpuinfo(monkeypatch: pytest.MonkeyPatch, text: str | None) -> None:
    original = Path.read_text

    def read_text(path: Path, *args: str, **options: str) -> str:
        if path != Path("/proc/cpuinfo"):
            return original(path, *args, **options)
        if text is None:
            raise FileNotFoundError(path)
        return text

    monkeypatch.setattr(Path, "read_text", read_text)


def test_every_field_is_there() -> None:
    assert set(vars(describe_machine())) == {
        "cpu",
        "architecture",
        "cores",
        "all_cores",
        "core_quota",
        "flags",
        "memory_bytes",
        "virtualized",
        "container",
        "emulation",
        "system",
        "python",
        "load_average",
        "versions",
    }


def test_the_description_goes_through_json_unchanged() -> None:
    described = asdict(describe_machine())

    assert json.loads(json.dumps(described)) == described


def test_the_description_agrees_with_the_standard_library() -> None:
    described = describe_machine()

    assert described.architecture == platform.machine()
    assert described.python == platform.python_version()
    assert described.system == platform.platform()
    assert described.cores == usable_cores()
    assert described.versions == versions()
    assert described.memory_bytes == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def test_the_first_processor_of_cpuinfo_is_described(monkeypatch: pytest.MonkeyPatch) -> None:
    replace_cpuinfo(monkeypatch, X86)

    described = describe_machine()

    assert described.cpu == "Some CPU @ 2.50GHz"
    assert described.flags == ["avx2", "avx512_vnni"]
    assert described.virtualized is True


def test_a_processor_without_a_hypervisor_is_not_virtualized(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    replace_cpuinfo(monkeypatch, X86.replace("hypervisor ", ""))

    assert describe_machine().virtualized is False


def test_arm_calls_its_flags_features(monkeypatch: pytest.MonkeyPatch) -> None:
    replace_cpuinfo(monkeypatch, ARM)

    described = describe_machine()

    assert described.flags == ["asimd", "asimddp", "sve"]
    assert described.cpu == (platform.processor() or platform.machine())


def test_the_processor_has_a_name_without_cpuinfo(monkeypatch: pytest.MonkeyPatch) -> None:
    replace_cpuinfo(monkeypatch, None)

    assert describe_machine().cpu == (platform.processor() or platform.machine())


def test_what_cpuinfo_would_say_is_unknown_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    replace_cpuinfo(monkeypatch, None)

    described = describe_machine()

    assert described.virtualized is None
    assert described.flags is None


def test_a_load_average_that_cannot_be_read_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise OSError

    monkeypatch.setattr(os, "getloadavg", fail)

    assert describe_machine().load_average is None


def test_a_memory_size_that_cannot_be_read_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sysconf")

    assert describe_machine().memory_bytes is None


def test_versions_are_those_of_the_installed_distributions() -> None:
    found = versions()

    assert {"onnxruntime", "numpy", "tokenizers", "onnx", "torch", "transformers"} <= set(found)
    assert found == {name: importlib.metadata.version(name) for name in found}


def test_a_library_that_is_not_installed_has_no_version(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        if name == "torch":
            raise importlib.metadata.PackageNotFoundError(name)
        return "1.2.3"

    monkeypatch.setattr(machine, "version", version)

    found = versions()

    assert "torch" not in found
    assert found["numpy"] == "1.2.3"


def test_usable_cores_follow_the_affinity_of_the_process() -> None:
    code = (
        "import os\n"
        "from edgeadapt.measure.machine import usable_cores\n"
        "before = usable_cores()\n"
        "os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        "print(before, usable_cores())\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )

    assert done.stdout.split() == [str(len(os.sched_getaffinity(0))), "1"]


def test_usable_cores_are_all_cores_where_there_is_no_affinity(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 7)

    assert usable_cores() == 7


def test_one_core_is_usable_where_nobody_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: None)

    assert usable_cores() == 1


def replace_files(monkeypatch: pytest.MonkeyPatch, **contents: str) -> None:
    """Says what files hold, by the last part of their names; all others are empty."""
    monkeypatch.setattr(machine, "text_in", lambda path: contents.get(path.name.split(".")[0], ""))


def test_a_kernel_of_another_architecture_means_emulation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    replace_files(monkeypatch, arch="x86_64")

    assert emulation() == "user-mode emulation on x86_64"


def test_a_kernel_of_the_own_architecture_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    replace_files(monkeypatch, arch=platform.machine())
    replace_cpuinfo(monkeypatch, X86)

    assert emulation() is None


def test_a_kernel_that_does_not_say_is_taken_for_real(monkeypatch: pytest.MonkeyPatch) -> None:
    replace_files(monkeypatch)
    replace_cpuinfo(monkeypatch, X86)

    assert emulation() is None


def test_a_whole_machine_can_be_emulated(monkeypatch: pytest.MonkeyPatch) -> None:
    replace_files(monkeypatch)
    replace_cpuinfo(monkeypatch, X86.replace("Some CPU @ 2.50GHz", "QEMU TCG CPU version 2.5+"))

    assert emulation() == "QEMU TCG"


def test_this_machine_is_not_emulated() -> None:
    assert emulation() is None


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        ("12:cpu:/docker/4fe0", "docker"),
        ("0::/kubepods/burstable/pod1", "kubepods"),
        ("0::/lxc/web", "lxc"),
        ("0::/init.scope", None),
    ],
)
def test_a_container_is_known_by_its_control_group(
    monkeypatch: pytest.MonkeyPatch, groups: str, expected: str | None
) -> None:
    monkeypatch.setattr(Path, "exists", lambda _: False)
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    replace_files(monkeypatch, cgroup=groups)

    assert container() == expected


def test_a_container_is_known_by_the_file_that_its_engine_leaves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Path, "exists", lambda path: path.name == ".containerenv")

    assert container() == "podman"


@pytest.mark.parametrize(
    ("limit", "expected"), [("150000 100000", 1.5), ("max 100000", None), ("", None)]
)
def test_a_control_group_may_limit_the_cores(
    monkeypatch: pytest.MonkeyPatch, limit: str, expected: float | None
) -> None:
    replace_files(monkeypatch, cpu=limit)

    assert describe_machine().core_quota == expected


def test_what_the_installed_libraries_take_is_known() -> None:
    found = install_bytes()

    assert set(found) == set(versions())
    assert 30_000_000 < found["onnxruntime"] < 300_000_000
    assert found["numpy"] > 10_000_000
