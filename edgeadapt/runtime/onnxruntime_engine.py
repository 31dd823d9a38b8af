"""ONNX Runtime on the CPU."""

import contextlib
import ctypes
from pathlib import Path
from typing import Self

import onnxruntime

from edgeadapt.bundle import Bundle
from edgeadapt.errors import LayoutError
from edgeadapt.metrics import Logits
from edgeadapt.text import TokenBatch

__all__ = ["OnnxRuntimeEngine"]


class OnnxRuntimeEngine:
    """One inference session.

    Args:
        model: An ONNX file whose inputs are fields of ``TokenBatch`` and whose first output is
            the logits.
        threads: Threads within an operator; ONNX Runtime's default where none is given.
    """

    def __init__(self, model: Path, *, threads: int | None = None) -> None:
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
        self._model = model
        self._inputs = [value.name for value in self._session.get_inputs()]
        _return_freed_memory()

    @classmethod
    def load(cls, bundle: Bundle, variant: str, *, threads: int | None = None) -> Self:
        """Loads a variant of a bundle, verified."""
        return cls(bundle.file(bundle.variant(variant).file), threads=threads)

    def run(self, batch: TokenBatch) -> Logits:
        """Returns float32 logits of shape ``(batch, labels)``.

        Raises:
            LayoutError: The model does not take such a batch, or has no embedding for a token.
        """
        try:
            logits: Logits = self._session.run(None, batch.select(self._inputs))[0]
        except Exception as error:  # noqa: BLE001 - its exceptions share no public base class
            raise LayoutError(
                f"{self.describe()} cannot run {self._model} on tokens of ids up to "
                f"{batch.input_ids.max(initial=0)}: {error}"
            ) from None
        return logits

    def describe(self) -> str:
        """Returns the library and its version."""
        return f"onnxruntime {onnxruntime.__version__}"


def _return_freed_memory() -> None:
    """Gives the system back what building the session needed and freed: about 10 MB of MiniLM.

    glibc would keep it; other C libraries have no such function and need none.
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)
