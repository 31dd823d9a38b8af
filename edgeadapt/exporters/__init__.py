"""Export a torch classifier to ONNX, with one of several exporters."""

from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType

from transformers import PreTrainedModel

from edgeadapt.errors import ExportError, MissingExtraError
from edgeadapt.recipe import Exporter

__all__ = ["EXPORTERS", "export_onnx"]


def _optimum(model: PreTrainedModel, path: Path) -> None:
    try:
        from edgeadapt.exporters.optimum_exporter import export
    except ModuleNotFoundError as error:
        raise MissingExtraError("--exporter optimum", extra="optimum", missing=error.name) from None
    export(model, path)


def _torch(model: PreTrainedModel, path: Path) -> None:
    from edgeadapt.exporters.torch_exporter import export

    export(model, path)


EXPORTERS: Mapping[Exporter, Callable[[PreTrainedModel, Path], None]] = MappingProxyType(
    {Exporter.OPTIMUM: _optimum, Exporter.TORCH: _torch}
)


def export_onnx(model: PreTrainedModel, path: Path, *, exporter: Exporter) -> Exporter:
    """Writes a classifier as one ONNX file without external data.

    Inputs are int64 ``input_ids``, ``attention_mask`` and, if the model has segments,
    ``token_type_ids``, of shape ``(batch, seq)``. The output is float32 ``logits`` of shape
    ``(batch, labels)``.

    Args:
        model: The model; adapters in it are exported too.
        path: The file to write.
        exporter: ``auto`` selects optimum if it is installed, else torch.

    Returns:
        The exporter that was used.

    Raises:
        MissingExtraError: The exporter is not installed.
        ExportError: The exporter wrote more than one file.
    """
    if exporter is Exporter.AUTO:
        exporter = Exporter.OPTIMUM if _has_optimum() else Exporter.TORCH
    path.parent.mkdir(parents=True, exist_ok=True)
    before = {path, *path.parent.iterdir()}
    EXPORTERS[exporter](model, path)
    extra = sorted(file.name for file in set(path.parent.iterdir()) - before)
    if extra:
        raise ExportError(f"The {exporter} exporter wrote more than one file: {', '.join(extra)}.")
    return exporter


def _has_optimum() -> bool:
    # find_spec raises an error for a dotted name whose parent package is missing.
    return find_spec("optimum") is not None and find_spec("optimum.exporters.onnx") is not None
