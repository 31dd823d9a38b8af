"""The gates and compression of a bundle in the output of ``export --json``."""

from dataclasses import asdict

from edgeadapt.metrics import Drift
from edgeadapt.store.bundle import Manifest
from edgeadapt.store.compression import Compression, StepReport

__all__ = ["compression_json"]

_QUANTIZE = "quantize"


def compression_json(manifest: Manifest) -> dict[str, object]:
    """Returns ``parity``, ``quantization`` and ``compression``.

    ``compression`` is the report of the manifest. The first two are kept for scripts that were
    written before there was one report over all steps.
    """
    merge, onnx, compression = manifest.gates.merge, manifest.gates.onnx, manifest.compression
    parity: dict[str, object] = {
        "merge": {
            **asdict(merge.parity),
            "leftover": asdict(merge.leftover),
            "unshared_bytes": merge.unshared_bytes,
        },
        "onnx": asdict(onnx),
        "int8": None,
    }
    quantization = None
    if compression is not None:
        for step, cost in compression.costs:
            name = "int8" if step.name == _QUANTIZE else step.name
            parity[name] = _gate(compression, step, cost)
            if step.name == _QUANTIZE:
                quantization = _quantization(compression, step)
    return {
        "parity": parity,
        "quantization": quantization,
        "compression": None if compression is None else asdict(compression),
    }


def _gate(compression: Compression, step: StepReport, cost: Drift) -> dict[str, object]:
    return {**step.taken.settings, "max_drop": compression.max_drop, **asdict(cost)}


def _quantization(compression: Compression, step: StepReport) -> dict[str, object]:
    return {
        "objective": compression.objective,
        "platform": compression.platform,
        "engine": compression.engine,
        "max_drop": compression.max_drop,
        "deciding_texts": compression.deciding_texts,
        "texts_to_decide": step.taken.drift.texts_for(compression.slack),
        "trials": [
            {
                "name": trial.name,
                "candidate": dict(trial.settings),
                "drift": asdict(trial.drift),
                "bytes": trial.bytes,
                "allowed": trial.allowed,
                "latency_ms": trial.latency_ms,
                "peak_bytes": trial.peak_bytes,
            }
            for trial in step.trials
        ],
        "chosen": step.chosen,
        "fp32_ms": step.baseline.latency_ms,
        "noise": step.baseline.noise,
        "sensitivity": dict(step.baseline.sensitivity),
    }
