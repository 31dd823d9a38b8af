"""Export through Hugging Face optimum."""

from pathlib import Path

from optimum.exporters.onnx import export as optimum_export
from optimum.exporters.tasks import TasksManager
from transformers import PreTrainedModel

from edgeadapt.exporters.quiet import quiet_tracing

__all__ = ["export"]


def export(model: PreTrainedModel, path: Path) -> None:
    """Writes ``model`` to ``path`` with optimum's own opset and input names."""
    constructor = TasksManager.get_exporter_config_constructor(
        "onnx", model=model, task="text-classification", library_name="transformers"
    )
    config = constructor(model.config)
    with quiet_tracing():
        optimum_export(model, config, path, opset=config.DEFAULT_ONNX_OPSET)
