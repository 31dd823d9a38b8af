"""Read and write adapters of other libraries, without these libraries.

To add a format, write a module with ``read`` and ``write`` and add it to ``FORMATS``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from edgeadapt.errors import MissingError, ModelError
from edgeadapt.interop import adapterhub, peft
from edgeadapt.interop.base import ForeignAdapter, Read, Write
from edgeadapt.interop.identity import IDENTITY_FILE, Identity, check_identity
from edgeadapt.recipe import Format
from edgeadapt.store.files import read_json

__all__ = [
    "FORMATS",
    "IDENTITY_FILE",
    "Codec",
    "ForeignAdapter",
    "Format",
    "Identity",
    "base_model",
    "check_identity",
    "detect",
]


@dataclass(frozen=True)
class Codec:
    """The functions that read and write a format."""

    read: Read
    write: Write


FORMATS: Mapping[Format, Codec] = MappingProxyType(
    {
        Format.ADAPTERHUB: Codec(adapterhub.read, adapterhub.write),
        Format.PEFT: Codec(peft.read, peft.write),
    }
)


def detect(folder: Path) -> Format:
    """Returns the format of the adapter in a folder.

    Raises:
        ModelError: The folder holds something other than a single adapter.
        LayoutError: adapter_config.json is missing or damaged.
    """
    for name, content in (
        ("adapter_fusion_config.json", "an AdapterFusion"),
        ("adapter_setup.json", "a composition of adapters"),
    ):
        if (folder / name).is_file():
            raise ModelError(
                f"{folder}: found {content} ({name}); supported: single adapters.",
                hint="Name the folder of one adapter.",
            )
    path = folder / "adapter_config.json"
    if not path.is_file() and (folder / "config.json").is_file():
        raise MissingError(
            f"{path} does not exist: found config.json, of a whole model.",
            hint=f"For a finished classifier: edgeadapt export {folder} --dataset DATA --quantize. "
            f"For an encoder to train: edgeadapt train --model {folder} --dataset DATA",
        )
    file = read_json(path)
    if "peft_type" in file:
        return Format.PEFT
    if "config" in file or "model_class" in file:
        return Format.ADAPTERHUB
    raise ModelError(
        f"{path}: expected a configuration of {' or '.join(Format)}, found neither a peft_type nor "
        f"a config, but {', '.join(sorted(file)[:5]) or 'nothing'}.",
        hint="Name a folder that `save_adapter` of adapters or `save_pretrained` of peft wrote.",
    )


def base_model(folder: Path) -> tuple[str, str | None] | None:
    """Returns the backbone in an adapter's configuration: hub id or folder, and revision.

    ``None`` if it names none. Only PEFT's format has a revision.
    """
    file = read_json(folder / "adapter_config.json")
    named = file.get("base_model_name_or_path") or file.get("model_name")
    if not isinstance(named, str):
        return None
    revision = file.get("revision")
    return named, revision if isinstance(revision, str) else None
