"""edgeadapt: train adapters on a frozen encoder and deploy the result on a small device.

On the device:

>>> import edgeadapt
>>> classifier = edgeadapt.load("artifacts/bundles/reviews")  # doctest: +SKIP
>>> classifier.predict(["What a lovely little phone."])  # doctest: +SKIP

Where it is trained, each command is a function of the same name:

>>> run = edgeadapt.train(edgeadapt.Recipe.load("demo"))  # doctest: +SKIP
>>> options = edgeadapt.ExportOptions(quantize=edgeadapt.Quantization())  # doctest: +SKIP
>>> bundle = edgeadapt.export(run, options=options)  # doctest: +SKIP
>>> record, path = edgeadapt.bench([bundle])  # doctest: +SKIP
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

# ONNX Runtime 1.29 and newer send telemetry unless this is set before the import.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

if TYPE_CHECKING:
    from edgeadapt.benchmark.compare import compare
    from edgeadapt.pipeline.bench import bench
    from edgeadapt.pipeline.convert import convert
    from edgeadapt.pipeline.export import ExportOptions, Trimming, export
    from edgeadapt.pipeline.export_bundle import export_bundle
    from edgeadapt.pipeline.export_checkpoint import export_checkpoint
    from edgeadapt.pipeline.importing import import_adapter
    from edgeadapt.pipeline.inspect import inspect
    from edgeadapt.pipeline.merge import merge_run as merge
    from edgeadapt.pipeline.pretrain import pretrain
    from edgeadapt.pipeline.report import report
    from edgeadapt.pipeline.train import resume, train
    from edgeadapt.quantize.options import Quantization
    from edgeadapt.recipe import Recipe
    from edgeadapt.recipe.reduction import Reduction
    from edgeadapt.runtime.classifier import Classifier, Prediction, load
    from edgeadapt.store.bundle import Bundle
    from edgeadapt.store.record import Record
    from edgeadapt.store.run import Run

__version__ = "0.1.0"

__all__ = [
    "Bundle",
    "Classifier",
    "ExportOptions",
    "Prediction",
    "Quantization",
    "Recipe",
    "Record",
    "Reduction",
    "Run",
    "Trimming",
    "__version__",
    "bench",
    "compare",
    "convert",
    "export",
    "export_bundle",
    "export_checkpoint",
    "import_adapter",
    "inspect",
    "load",
    "merge",
    "pretrain",
    "report",
    "resume",
    "train",
]

# Where each name is defined; looked up when it is first used, so that `import edgeadapt` and
# `edgeadapt --help` load neither onnxruntime nor torch.
_HOMES = {
    "Bundle": "store.bundle",
    "Classifier": "runtime.classifier",
    "ExportOptions": "pipeline.export",
    "Prediction": "runtime.classifier",
    "Quantization": "quantize.options",
    "Recipe": "recipe",
    "Record": "store.record",
    "Reduction": "recipe.reduction",
    "Run": "store.run",
    "Trimming": "pipeline.export",
    "bench": "pipeline.bench",
    "compare": "benchmark.compare",
    "convert": "pipeline.convert",
    "export": "pipeline.export",
    "export_bundle": "pipeline.export_bundle",
    "export_checkpoint": "pipeline.export_checkpoint",
    "import_adapter": "pipeline.importing",
    "inspect": "pipeline.inspect",
    "load": "runtime.classifier",
    "merge": "pipeline.merge:merge_run",
    "pretrain": "pipeline.pretrain",
    "report": "pipeline.report",
    "resume": "pipeline.train",
    "train": "pipeline.train",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, named = _HOMES[name].partition(":")
    return getattr(import_module(f"{__name__}.{module}"), named or name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
