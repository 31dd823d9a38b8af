"""Detection of the platform, and where a quantized model computes as validated."""

import platform

import pytest

import edgeadapt.platforms as module
from edgeadapt.platforms import runs_like, this_platform
from edgeadapt.recipe import Platform

REAL = [each for each in Platform if each is not Platform.AUTO]
HERE = [Platform.X86_AVX2, Platform.X86_VNNI, Platform.ARM64]


@pytest.mark.parametrize(
    ("machine", "flags", "expected"),
    [
        ("x86_64", {"avx2", "avx512_vnni"}, Platform.X86_VNNI),
        ("x86_64", {"avx2", "avx_vnni"}, Platform.X86_VNNI),
        ("AMD64", {"avx2", "avx512f"}, Platform.X86_AVX2),
        ("x86_64", None, Platform.X86_AVX2),
        ("aarch64", {"asimddp"}, Platform.ARM64),
        ("arm64", None, Platform.ARM64),
    ],
)
def test_a_machine_is_what_its_instructions_make_it(
    monkeypatch: pytest.MonkeyPatch, machine: str, flags: set[str] | None, expected: Platform
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr(module, "cpu_flags", lambda: flags)

    assert this_platform() is expected


@pytest.mark.parametrize("here", HERE)
def test_a_portable_model_runs_alike_everywhere(here: Platform) -> None:
    assert runs_like(Platform.PORTABLE, here)


@pytest.mark.parametrize("made_for", REAL)
def test_only_where_products_may_overflow_a_model_can_answer_otherwise(made_for: Platform) -> None:
    alike = {here for here in HERE if runs_like(made_for, here)}

    seven_bits = made_for in (Platform.PORTABLE, Platform.X86_AVX2)
    assert alike == (set(HERE) if seven_bits else {Platform.X86_VNNI, Platform.ARM64})
