"""A checkpoint's config.json, read as data before any library sees the folder.

The libraries that load a folder run Python files that its JSON names, after a question on the
terminal. Here such a folder is refused, so that there is neither code nor question.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeadapt.backbones import BACKBONES, BackboneSpec, backbone_spec
from edgeadapt.bundle import Bundle
from edgeadapt.errors import ModelError

__all__ = ["CheckpointConfig", "bundled_checkpoint_config", "read_checkpoint_config"]

_CONFIG = "config.json"
_OTHER_CONFIGS = (
    "tokenizer_config.json",
    "processor_config.json",
    "preprocessor_config.json",
    "generation_config.json",
)
"""The other files in which transformers looks for names of classes."""
_CODE_KEYS = ("auto_map", "custom_pipelines")
"""Keys whose values name Python files, in the folder or in another repository."""


@dataclass(frozen=True)
class CheckpointConfig:
    """What config.json says, and where the parts of such a model are."""

    file: Path
    values: Mapping[str, Any]
    spec: BackboneSpec


def read_checkpoint_config(folder: Path) -> CheckpointConfig:
    """Reads the config.json of a checkpoint of a listed model type.

    Raises:
        ModelError: There is none, it is damaged or of another model type, or it or a file beside
            it names code to run.
    """
    file = folder / _CONFIG
    if not file.is_file():
        raise ModelError(
            f"{folder} holds no checkpoint: there is no {_CONFIG}.",
            hint="--model takes a folder with config.json, model.safetensors and tokenizer files.",
        )
    values = _read_object(file)
    _check_no_code(file, values)
    for name in _OTHER_CONFIGS:
        if (folder / name).is_file():
            _check_no_code(folder / name, _read_object(folder / name))
    return CheckpointConfig(file, values, backbone_spec(values.get("model_type")))


def bundled_checkpoint_config(bundle: Bundle, variant: str) -> CheckpointConfig:
    """Verifies every file of a variant that is a checkpoint, and reads its config.json.

    Raises:
        IntegrityError: A file is missing, changed, or not listed in the manifest.
        ModelError: The checkpoint is of another model type, or names code to run.
    """
    return read_checkpoint_config(bundle.folder_of(variant))


def _read_object(file: Path) -> dict[str, Any]:
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:  # ValueError: encoding, syntax, huge integers
        raise ModelError(f"{file} is not valid JSON: {error}.") from None
    if not isinstance(value, dict):
        raise ModelError(f"{file}: expected a JSON object, found a {type(value).__name__}.")
    return value


def _check_no_code(file: Path, values: Mapping[str, Any]) -> None:
    for key in _CODE_KEYS:
        if values.get(key):
            raise ModelError(
                f"{file} names code to run: {key} = {json.dumps(values[key])[:200]}. Expected a "
                f"checkpoint of a stock model type ({', '.join(BACKBONES)}) and tokenizer.",
                hint="edgeadapt runs no code from a checkpoint, and nothing of it was run. If the "
                f"stock classes of transformers load it correctly, remove {key!r} from the file.",
            )
