"""ONNX Runtime on the CPU."""

import contextlib
import ctypes
from pathlib import Path
from typing import Self

import onnxruntime

from edgeadapt.errors import LayoutError
from edgeadapt.metrics import Logits
from edgeadapt.runtime.base import OTHER_MODEL, check_inputs, checked_logits
from edgeadapt.store.bundle import Bundle
from edgeadapt.text import TokenBatch

__all__ = ["OnnxRuntimeEngine"]


class OnnxRuntimeEngine:
    """One inference session.

    Args:
        model: An ONNX file whose inputs are fields of ``TokenBatch`` and whose first output is
            the logits.
        threads: Threads within an operator; by default ONNX Runtime decides.
        labels: Expected number of logits per text; not checked by default.

    Raises:
        LayoutError: The file is not an ONNX model, or has other inputs.
    """

    def __init__(
        self, model: Path, *, threads: int | None = None, labels: int | None = None
    ) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or 0
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(
                str(model), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # noqa: BLE001 - its exceptions share no public base class
            raise LayoutError(
                f"ONNX Runtime {onnxruntime.__version__} cannot load {model}: {error}"
            ) from None
        self._inputs = [value.name for value in self._session.get_inputs()]
        self._model, self._labels = model, labels
        check_inputs(self._inputs, model=model)
        _return_freed_memory()

    @classmethod
    def load(cls, bundle: Bundle, variant: str, *, threads: int | None = None) -> Self:
        """Loads a variant of a bundle, verified."""
        model = bundle.file(bundle.variant(variant).file)
        return cls(model, threads=threads, labels=len(bundle.manifest.labels))

    def run(self, batch: TokenBatch) -> Logits:
        """Returns float32 logits of shape ``(batch, labels)``.

        Raises:
            LayoutError: The model fails, for example because a token has no embedding, or its
                output has another shape or type.
        """
        try:
            logits = self._session.run(None, batch.select(self._inputs))[0]
        except Exception as error:  # noqa: BLE001 - its exceptions share no public base class
            raise LayoutError(
                f"{self.describe()} cannot run {self._model} on {batch.input_ids.shape[1]} "
                f"tokens of ids up to {batch.input_ids.max(initial=0)}: {error}",
                hint=OTHER_MODEL,
            ) from None
        return checked_logits(logits, texts=len(batch), labels=self._labels, model=self._model)

    def describe(self) -> str:
        """Returns the library and its version."""
        return f"onnxruntime {onnxruntime.__version__}"


def _return_freed_memory() -> None:
    """Returns freed memory of the session's construction to the system: about 10 MB for MiniLM.

    glibc keeps it otherwise; other C libraries have no such function.
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)
