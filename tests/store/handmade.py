"""Handmade reports of a bundle, whose figures are all different."""

import json
from dataclasses import asdict, replace
from typing import Any

from edgeadapt.metrics import Drift, Parity, Score
from edgeadapt.store.bundle import Bundle, Manifest
from edgeadapt.store.compression import (
    Baseline,
    Compression,
    Shrunk,
    StepReport,
    TrialReport,
)
from edgeadapt.store.gates import Gates, Leftover, MergeGate
from edgeadapt.store.structure import Structure

DRIFT = Drift(
    texts=1_777,
    accuracy_before=0.9234,
    accuracy_after=0.9187,
    accuracy_drop=0.0047,
    drop_interval=(-0.001, 0.009),
    label_agreement=0.9876,
    largest_shift=0.21,
    rms_shift=0.03,
)


def make_gates(**merge: Any) -> Gates:
    return Gates(
        MergeGate(
            Parity("Merged model against adapters", 3.2e-7, 1e-5, 64, 1.0),
            **{"leftover": Leftover(0, 0, 0), "unshared_bytes": 0, **merge},
        ),
        Parity("ONNX fp32 against torch", 4.5e-6, 1e-4, 65, 1.0),
    )


def make_trial(name: str = "dynamic-int8, per channel", **changes: Any) -> TrialReport:
    values: dict[str, Any] = {
        "settings": {"scheme": "dynamic-int8"},
        "drift": DRIFT,
        "bytes": 23_400_000,
        "allowed": True,
        "latency_ms": 1.25,
        **changes,
    }
    return TrialReport(name, **values)


def make_step(*trials: TrialReport, **changes: Any) -> StepReport:
    """A step of quantization, of which the first trial was chosen."""
    tried = trials or (make_trial(),)
    values: dict[str, Any] = {
        "name": "quantize",
        "candidates": "quantized models",
        "title": "quantized (dynamic-int8) against fp32",
        "trials": tried,
        "chosen": tried[0].name,
        "baseline": Baseline(91_000_000, 3.5, 0.02),
        **changes,
    }
    return StepReport(**values)


def make_compression(*steps: StepReport, **changes: Any) -> Compression:
    values: dict[str, Any] = {
        "max_drop": 0.015,
        "texts": DRIFT.texts,
        "deciding_texts": 1_000,
        "slack": 0.01,
        "steps": steps or (make_step(),),
        "spent": DRIFT,
        "objective": "latency",
        "platform": "arm64",
        "engine": "onnxruntime",
        **changes,
    }
    return Compression(**values)


def make_shrunk(**changes: Any) -> Shrunk:
    """Of three layers, the last one is removed, and all heads of the second."""
    after = changes.get("after", Structure((7, 0), (1088, 224)))
    values: dict[str, Any] = {
        "before": Structure((12, 12, 12), (1600, 1600, 1600)),
        "after": after,
        "layers": tuple(range(after.depth)),
        "head_importance": (0.003, 0.001),
        "neuron_importance": (0.02, 0.03),
        "tokens": 64,
        "predicted": 2.875,
        "measured": 2.625,
        **changes,
    }
    return Shrunk(**values)


def make_smaller(name: str, speed: float, accuracy: float, *, allowed: bool = True) -> TrialReport:
    """A smaller model that a search tried."""
    before = DRIFT.accuracy_before
    drop = before - accuracy
    drift = replace(
        DRIFT,
        accuracy_after=accuracy,
        accuracy_drop=drop,
        drop_interval=(drop - 0.01, drop + 0.01),
    )
    return TrialReport(
        name,
        settings={"layers": 2, "heads": ("7", "0"), "speedup": speed},
        drift=drift,
        bytes=round(60_000_000 / speed),
        allowed=allowed,
    )


def make_search(*trials: TrialReport, **changes: Any) -> StepReport:
    """A search for smaller models, not in the order of their speeds; the second was chosen."""
    tried = trials or (
        make_smaller("2 layers, 7 heads, 312 neurons", 4.5, 0.8765, allowed=False),
        make_smaller("2 layers, 7 heads, 1,312 neurons", 2.875, 0.9187),
        make_smaller("2 layers, 24 heads, 3,200 neurons", 1.5, 0.9221),
    )
    values: dict[str, Any] = {
        "name": "structure",
        "candidates": "smaller models",
        "title": "pruned against fp32",
        "trials": tried,
        "chosen": tried[min(1, len(tried) - 1)].name,
        **changes,
    }
    return StepReport(**values)


def make_score(**changes: Any) -> Score:
    values: dict[str, Any] = {
        "texts": 1_999,
        "accuracy": 0.9123,
        "macro_f1": 0.8976,
        "precision": (),
        "recall": (),
        **changes,
    }
    return Score(**values)


def compression_of(found: Bundle | Manifest) -> Compression:
    """What a bundle says of its compression, which it has."""
    manifest = found.manifest if isinstance(found, Bundle) else found
    assert manifest.compression is not None
    return manifest.compression


def step_of(found: Bundle | Manifest, name: str) -> StepReport:
    """One step of it."""
    step = compression_of(found).step(name)
    assert step is not None
    return step


def as_json(value: Any) -> Any:
    """A dataclass as it comes back from JSON."""
    return json.loads(json.dumps(asdict(value)))
