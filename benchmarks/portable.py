"""Check that bundles predict the same labels on this machine, with AVX2 only, and on aarch64.

    apt install qemu-user debootstrap        # Debian 12 or newer, as root
    debootstrap --foreign --arch=arm64 --variant=minbase --include=python3,libstdc++6 \
        bookworm artifacts/arm64
    for file in artifacts/arm64/var/cache/apt/archives/*.deb; do dpkg -x $file artifacts/arm64; done
    python benchmarks/accuracy.py sst2:adapter:0      # the run
    python benchmarks/portable.py

QEMU emulates the two other CPUs, so nothing is timed. ``edgeadapt predict`` of the base install
runs on all of them. In addition to bundles for ``--target portable``, one for this machine is
tested, whose 8-bit products overflow on AVX2: it shows that the check can fail.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from common import WORK, Aim, Shown, data_folder, load, save, table

from edgeadapt.data import read_rows, write_csv
from edgeadapt.recipe import Platform, Scheme
from edgeadapt.store.bundle import Bundle
from edgeadapt.store.run import Run

__all__ = ["SHOWN"]

ROOT = Path(__file__).resolve().parents[1]
ARM = WORK / "arm64"
PACKAGES = WORK / "arm64-packages"
CPUINFO = """\
processor\t: 0
Features\t: fp asimd evtstrm crc32 cpuid
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x0
CPU part\t: 0xd08
CPU revision\t: 3

"""
"""``/proc/cpuinfo`` of a Raspberry Pi 4. QEMU shows that of the host, with which onnxruntime
crashes."""
RUN = "sst2-adapter-0"
TEXTS = 200


@dataclass(frozen=True)
class Cpu:
    """A CPU that bundles run on."""

    name: str
    python: Sequence[str | Path]
    environment: Mapping[str, str] = field(default_factory=dict)

    def predictions(self, bundle: Bundle, texts: Path) -> list[dict[str, Any]]:
        """Returns the output of ``edgeadapt predict --json`` for every text."""
        command = [*self.python, "-m", "edgeadapt", "predict", bundle.path, "--file", texts]
        done = subprocess.run(
            [*command, "--json"],
            env={**os.environ, "PYTHONPATH": str(ROOT), **self.environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # QEMU warns of unknown instructions in each thread
            check=True,
        )
        return list(json.loads(done.stdout)["predictions"])


CPUS = (
    Cpu("this machine", [sys.executable]),
    Cpu("x86-64 with AVX2", ["qemu-x86_64", "-cpu", "Haswell", sys.executable]),
    Cpu(
        "aarch64, Cortex-A72",
        ["qemu-aarch64", "-cpu", "cortex-a72", "-L", ARM, ARM / "usr/bin/python3.11"],
        {"PYTHONPATH": os.pathsep.join(map(str, (ROOT, PACKAGES.resolve())))},
    ),
)


def main() -> None:
    from edgeadapt.pipeline.export import ExportOptions, Quantization, export

    asked_for = (
        Quantization(platform=Platform.PORTABLE),
        Quantization((Scheme.INT8_WEIGHTS,), platform=Platform.PORTABLE),
        Quantization(),
    )
    run = Run.open(WORK / "runs" / RUN)
    install_for_arm()
    rows = []
    with TemporaryDirectory() as folder:
        texts = Path(folder) / "texts.csv"
        found = read_rows(data_folder("sst2") / "test.csv")[:TEXTS]
        write_csv(texts, {"text": [row["text"] for row in found]})
        for asked in asked_for:
            bundle = export(
                run,
                options=ExportOptions(quantize=asked),
                output=WORK / "bundles" / f"{RUN}-{asked.platform}",
                force=True,
            )
            variant = bundle.variant("int8")
            answers = {cpu.name: cpu.predictions(bundle, texts) for cpu in CPUS}
            rows += compared(str(variant.scheme), str(variant.platform), answers)
    save("portable", {"run": RUN, "texts": TEXTS, "rows": rows})


def install_for_arm() -> None:
    """Installs the packages of the base install for aarch64, and writes its ``/proc/cpuinfo``."""
    (ARM / "proc" / "cpuinfo").write_text(CPUINFO)
    if PACKAGES.is_dir():
        return
    platforms = [f"--platform=manylinux_{minor}_aarch64" for minor in ("2_28", "2_27", "2_17")]
    packages = ("onnxruntime", "tokenizers", "numpy", "typer", "rich")
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "-q", "--target", PACKAGES, *platforms,
         "--python-version=3.11", "--only-binary=:all:", "-c", ROOT / "constraints.txt", *packages],
        check=True,
    )  # fmt: skip


def compared(
    scheme: str, target: str, answers: Mapping[str, list[dict[str, Any]]]
) -> list[dict[str, Any]]:
    """Compares the predictions on every CPU with those on the first."""
    first, *_ = answers.values()
    rows = []
    for cpu, found in answers.items():
        shift = np.asarray([_scores(a) for a in found]) - [_scores(a) for a in first]
        same = [one["label"] == other["label"] for one, other in zip(found, first, strict=True)]
        rows.append(
            {
                "scheme": scheme,
                "target": target,
                "cpu": cpu,
                "labels_the_same": int(np.sum(same)),
                "largest_shift_of_a_probability": float(np.abs(shift).max()),
                "labels": [answer["label"] for answer in found],
            }
        )
        print({k: v for k, v in rows[-1].items() if k != "labels"}, flush=True)
    return rows


def _scores(answer: Mapping[str, Any]) -> list[float]:
    scores = answer["scores"]
    return list(scores.values()) if isinstance(scores, Mapping) else list(scores)


def portable() -> str:
    """How many labels are the same on other CPUs."""
    lines = [
        (
            f"`{row['scheme']}` for {row['target']}",
            row["cpu"],
            f"{row['labels_the_same']} of {len(row['labels'])}",
            f"{row['largest_shift_of_a_probability']:.3f}",
        )
        for row in load("portable")["rows"]
        if row["cpu"] != "this machine"
    ]
    (aim,) = aims()
    return (
        table(("bundle", "CPU", "labels the same", "largest shift of a probability"), lines)
        + f"\n\nAim: a bundle made for `portable` gives the same labels everywhere: {aim.verdict} "
        f"({aim.measured})."
    )


def aims() -> list[Aim]:
    """Whether portable bundles give the same labels on every CPU."""
    missed = [
        f"{row['labels_the_same']} of {len(row['labels'])} for `{row['scheme']}` on {row['cpu']}"
        for row in load("portable")["rows"]
        if row["target"] == "portable" and row["labels_the_same"] < len(row["labels"])
    ]
    verdict = "**missed**" if missed else "met"
    return [Aim("the same labels on other CPUs", ", ".join(missed) or "all", verdict)]


def portable_texts() -> str:
    return str(len(load("portable")["rows"][0]["labels"]))


SHOWN = Shown(
    tables={"docs/results/quantization.md": {"portable": portable}},
    figures={"portable-texts": portable_texts},
    aims={"quantization": aims},
)


if __name__ == "__main__":
    sys.exit(main())
