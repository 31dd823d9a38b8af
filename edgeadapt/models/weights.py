"""A checkpoint's weights, looked at before a library loads them."""

import pickle
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypedDict

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from edgeadapt.backbones import BackboneSpec
from edgeadapt.errors import LayoutError, ModelError
from edgeadapt.parsing import check_fetched
from edgeadapt.store.files import read_json
from edgeadapt.typed import from_json

__all__ = ["check_declared_sizes", "check_finite_weights", "check_weight_files", "weight_files"]

SAFE, PICKLED = "model.safetensors", "pytorch_model.bin"
_INDEX = ".index.json"
_FLOATS = frozenset({"F64", "F32", "F16", "BF16"})
"""Types of weights, as safetensors calls them."""
_COUNTERS = ("position_ids", "token_type_ids")
"""How the names of saved buffers end that hold 0, 1, 2 …; models make their own."""
_TABLES = (
    "vocab_size", "max_position_embeddings", "type_vocab_size", "position_buckets",
    "relative_attention_num_buckets",
)  # fmt: skip
"""Settings that are numbers of rows of embeddings."""
_SLACK = 1_000_000
"""Values that a configuration may ask for beyond a multiple of the files'."""
_AGAIN = "Copy or download the whole folder again."


class _Index(TypedDict):
    """The key of a sharded checkpoint's index that is read."""

    weight_map: Mapping[str, str]


def weight_files(folder: Path) -> list[Path]:
    """Returns the files that transformers takes a checkpoint's weights from.

    Raises:
        ModelError: There are none, or the index of a sharded checkpoint does not fit its files.
    """
    for name in (SAFE, PICKLED):
        if (folder / name).is_file():
            return [folder / name]
        if (folder / f"{name}{_INDEX}").is_file():
            return _shards(folder / f"{name}{_INDEX}")
    raise ModelError(
        f"{folder} cannot be loaded: it holds no weights: expected {SAFE}, {PICKLED} or shards of "
        "these with an index.",
        hint=f"{_AGAIN} Weights of TensorFlow and Flax are not read.",
    )


def check_weight_files(folder: Path) -> dict[str, tuple[int, ...]]:
    """Checks that every file of weights is there, whole, and holds floating numbers.

    Returns:
        Name of each tensor in the files -> its shape.

    Raises:
        ModelError: A file is missing, damaged, needs code to be run, or holds packed weights.
        IntegrityError: A file is a git-lfs pointer.
    """
    shapes = {}
    for file in weight_files(folder):
        check_fetched(file)
        types = _safe_types(file) if file.suffix == ".safetensors" else _pickled_types(file)
        for name, kind, shape in types:
            shapes[name] = shape
            if kind not in _FLOATS and not name.endswith(_COUNTERS):
                raise ModelError(
                    f"{file}: {name}: expected floating weights ({', '.join(sorted(_FLOATS))}), "
                    f"found {kind}.",
                    hint="Quantized and packed weights cannot be trained on. Use the checkpoint "
                    "that this one was made from.",
                )
    return shapes


def check_declared_sizes(config: Any, spec: BackboneSpec, values: int, *, file: Path) -> None:
    """Checks, before anything is allocated, that a configuration suits the size of the files.

    Args:
        config: The configuration of the stock model that is to be built.
        spec: Where its settings are.
        values: How many values the files of weights hold.
        file: Its config.json, for the message.

    Raises:
        ModelError: It asks for several times as many; the message names the setting that asks
            for most.
    """
    wanted = _declared(config, spec)
    most = 4 * values + _SLACK
    if sum(wanted.values()) > most:
        key = max(wanted, key=lambda key: wanted[key])
        raise ModelError(
            f"{file}: {key} = {getattr(config, key)} asks for about {wanted[key]:,} values: "
            f"expected about the {values:,} that the files of weights hold.",
            hint="config.json and weights do not belong together, or a file is damaged. " + _AGAIN,
        )


def _declared(config: Any, spec: BackboneSpec) -> dict[str, int]:
    """Setting -> about how many values the tables or layers have that it is the size of."""
    hidden = config.hidden_size
    width = getattr(config, "embedding_size", None) or hidden
    inner = getattr(config, spec.intermediate_key)
    layers = getattr(config, spec.groups_key or spec.depth_key)
    tables = {key: getattr(config, key, None) or 0 for key in _TABLES}
    wanted = {key: rows * width for key, rows in tables.items()}
    wanted[spec.groups_key or spec.depth_key] = layers * hidden * 4
    wanted["hidden_size"] = layers * hidden * hidden * 4
    wanted[spec.intermediate_key] = layers * hidden * inner * 2
    # Of a product the factor is named that is out of proportion.
    if layers > max(hidden, inner):
        wanted[spec.groups_key or spec.depth_key] = sum(
            wanted.pop(key) for key in ("hidden_size", spec.intermediate_key)
        )
    return wanted


def check_finite_weights(parameters: Mapping[str, nn.Parameter], *, where: Path) -> None:
    """Checks that weights are numbers.

    Raises:
        ModelError: One is NaN or infinite in fp32; the message names it.
    """
    for name, parameter in parameters.items():
        if not bool(parameter.detach().isfinite().all()):
            raise ModelError(
                f"{where}: {name}: expected finite weights, found NaN or infinite ones.",
                hint="Its training went wrong; use an earlier checkpoint.",
            )


def _shards(index: Path) -> list[Path]:
    try:
        content = read_json(index)
    except LayoutError as error:
        raise ModelError(error.message, hint=error.hint) from None
    try:
        names = set(from_json(_Index, content, where=str(index))["weight_map"].values())
    except LayoutError as error:
        raise ModelError(error.message, hint=_AGAIN) from None
    odd = [name for name in names if Path(name).name != name]
    files = sorted(index.parent / name for name in names)
    missing = [file.name for file in files if not file.is_file()]
    if odd or missing or not files:
        found = f"found names that leave it: {odd[0]}" if odd else f"missing {', '.join(missing)}"
        raise ModelError(
            f"{index} names {len(files)} files of weights: expected all of them in the same "
            f"folder, {found}.",
            hint=_AGAIN,
        )
    return files


def _safe_types(file: Path) -> Iterator[tuple[str, str, tuple[int, ...]]]:
    try:
        with safe_open(file, framework="pt") as opened:
            for name in opened.keys():  # noqa: SIM118 - it is no mapping
                found = opened.get_slice(name)
                yield name, found.get_dtype(), tuple(found.get_shape())
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{file} cannot be loaded: {error}", hint=_AGAIN) from None


def _pickled_types(file: Path) -> Iterator[tuple[str, str, tuple[int, ...]]]:
    try:
        found = torch.load(file, map_location="meta", weights_only=True)
    except pickle.UnpicklingError as error:
        code = re.search(r"GLOBAL (\S+)", str(error))
        raise ModelError(
            f"{file}: expected a pickle of tensors alone, found one that is damaged or needs code "
            f"to be run{f' ({code[1]})' if code else ''}. Nothing of it was run.",
            hint="Ask its author for safetensors, or convert it where you trust it.",
        ) from None
    except Exception as error:  # noqa: BLE001 - torch raises many kinds
        raise ModelError(f"{file} cannot be loaded: {error}", hint=_AGAIN) from None
    if not isinstance(found, dict):
        raise ModelError(
            f"{file}: expected a table of tensors, found a {type(found).__name__}.", hint=_AGAIN
        )
    for name, value in found.items():
        if isinstance(value, Tensor):
            is_float = value.is_floating_point() and value.element_size() > 1
            yield str(name), "F32" if is_float else str(value.dtype), tuple(value.shape)
