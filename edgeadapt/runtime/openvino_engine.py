"""OpenVINO on the CPU. It reads ONNX files with standard operators only."""

import sys
from pathlib import Path
from typing import Self

from edgeadapt.errors import LayoutError, MissingExtraError
from edgeadapt.metrics import Logits
from edgeadapt.runtime.base import OTHER_MODEL, check_inputs, checked_logits
from edgeadapt.store.bundle import Bundle
from edgeadapt.text import TokenBatch

# Importing OpenVINO sends telemetry, from a process that outlives this one if there is no network.
# It does not if this module cannot be imported.
_unheard = "openvino_telemetry" not in sys.modules
if _unheard:
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
try:
    import openvino
except ModuleNotFoundError as error:
    raise MissingExtraError("The OpenVINO engine", extra="openvino", missing=error.name) from None
finally:
    if _unheard:
        del sys.modules["openvino_telemetry"]

__all__ = ["OpenVinoEngine"]

_HOW = {
    "PERFORMANCE_HINT": "LATENCY",
    "NUM_STREAMS": 1,
    # By default it computes in bfloat16 on CPUs that support it, which changes the logits there.
    "INFERENCE_PRECISION_HINT": "f32",
}


class OpenVinoEngine:
    """One compiled model and one request.

    Args:
        model: An ONNX file whose inputs are fields of ``TokenBatch`` and whose first output is
            the logits.
        threads: Threads of inference; by default OpenVINO decides.
        labels: Expected number of logits per text; any number by default.

    Raises:
        LayoutError: The file is not a model, or the model has other inputs.
    """

    def __init__(
        self, model: Path, *, threads: int | None = None, labels: int | None = None
    ) -> None:
        how = {**_HOW, "INFERENCE_NUM_THREADS": threads} if threads else _HOW
        try:
            compiled = openvino.Core().compile_model(model, "CPU", how)
        except RuntimeError as error:
            raise LayoutError(f"{self.describe()} cannot load {model}: {error}") from None
        self._inputs = [value.any_name for value in compiled.inputs]
        self._model, self._labels = model, labels
        check_inputs(self._inputs, model=model)
        self._request = compiled.create_infer_request()

    @classmethod
    def load(cls, bundle: Bundle, variant: str, *, threads: int | None = None) -> Self:
        """Loads a variant of a bundle, verified."""
        model = bundle.file(bundle.variant(variant).file)
        return cls(model, threads=threads, labels=len(bundle.manifest.labels))

    def run(self, batch: TokenBatch) -> Logits:
        """Returns float32 logits of shape ``(batch, labels)``.

        Raises:
            LayoutError: The model cannot answer, or its answer has another shape or type.
        """
        try:
            found = self._request.infer(batch.select(self._inputs))[0]
        except RuntimeError as error:
            raise LayoutError(
                f"{self.describe()} cannot run {self._model} on {batch.input_ids.shape[1]} tokens "
                f"of ids up to {batch.input_ids.max(initial=0)}: {error}",
                hint=OTHER_MODEL,
            ) from None
        return checked_logits(found, texts=len(batch), labels=self._labels, model=self._model)

    def describe(self) -> str:
        """Returns the library and its version."""
        return f"openvino {openvino.__version__.partition('-')[0]}"
