"""Handmade records, and bundles that differ only in name or manifest."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgeadapt.store.bundle import Bundle
from edgeadapt.store.evaluation import EvaluationInfo
from edgeadapt.store.machine import Machine
from edgeadapt.store.plan import Plan
from edgeadapt.store.record import Record
from edgeadapt.store.sample import Sample

MS = 1_000_000
"""Nanoseconds."""


def tiny_plan(**changes: Any) -> Plan:
    """A plan of a few runs: one process per phase, no scaling over threads."""
    values: dict[str, Any] = {
        "lengths": (8,),
        "rounds": 1,
        "repeats": 2,
        "warmup": 1,
        "starts": 1,
        "texts": 6,
        "timed": 2,
        "batches": (1, 2),
        "bulks": 1,
        "bulk": 4,
        "passes": 2,
        "calls": 20,
        "scaling": 0,
        **changes,
    }
    return Plan(**values)


def make_sample(bundle: str = "small", variant: str = "fp32", **changes: Any) -> Sample:
    """A sample whose figures are round: 2 ms at 16 tokens, 200 MB, 90 MB on disk."""
    values: dict[str, Any] = {
        "engine": "onnxruntime 1.0",
        "method": "parallel",
        "bytes": 90_000_000,
        "sha256": "0" * 64,
        "latency_ns": {"16": [[2 * MS] * 40, [2 * MS] * 40]},
        "load_ns": [300 * MS, 100 * MS, 200 * MS],
        "first_label_ns": [800 * MS, 600 * MS, 700 * MS],
        "peak_bytes": [210_000_000, 190_000_000, 200_000_000],
        "import_bytes": [40_000_000, 60_000_000, 50_000_000],
        "logits": [[2.0, 1.0], [0.0, 1.0], [3.0, 0.0], [0.0, 3.0]],
        **changes,
    }
    return Sample(bundle=bundle, variant=variant, **values)


def make_record(
    *samples: Sample, labels: list[int] | None = None, baseline: str = "small:fp32"
) -> Record:
    """A record of the samples; unlabelled where no labels are given."""
    return Record(
        created="2025-01-01T00:00:00+00:00",
        edgeadapt="0.0.0",
        machine=Machine("Some CPU", cores=2),
        threads=2,
        plan=Plan(rounds=2),
        evaluation=EvaluationInfo(origin="by hand", texts=len(samples[0].logits), labels=labels),
        baseline=baseline,
        samples=samples,
    )


def copy_bundle(bundle: Bundle, path: Path, **changes: Any) -> Bundle:
    """A whole bundle under another name, with another manifest where changes are given."""
    shutil.copytree(bundle.path, path)
    return Bundle.write(path, replace(bundle.manifest, **changes))


def without_evaluation(bundle: Bundle, path: Path) -> Bundle:
    """A copy that carries no test text."""
    copied = copy_bundle(bundle, path)
    (path / "evaluation.csv").unlink()
    return Bundle.write(path, copied.manifest)


def only(bundle: Bundle, *variants: str) -> dict[str, Any]:
    """The manifest's variants of the given names, for ``copy_bundle``."""
    return {"variants": {name: bundle.manifest.variants[name] for name in variants}}
