"""edgeadapt: adapters on a frozen encoder, carried all the way to a small device.

>>> import edgeadapt
>>> classifier = edgeadapt.load("artifacts/bundles/reviews")  # doctest: +SKIP
>>> classifier.predict(["What a lovely little phone."])  # doctest: +SKIP
"""

import os
from typing import TYPE_CHECKING, Any

# From 1.29 on ONNX Runtime tells its makers what runs, unless this is set before it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

if TYPE_CHECKING:
    from edgeadapt.runtime.classifier import Classifier, Prediction, load

__version__ = "0.1.0"

__all__ = ["Classifier", "Prediction", "__version__", "load"]


def __getattr__(name: str) -> Any:
    # Lazy, so that `import edgeadapt` and `edgeadapt --help` do not load onnxruntime.
    if name in ("Classifier", "Prediction", "load"):
        from edgeadapt.runtime import classifier

        return getattr(classifier, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
