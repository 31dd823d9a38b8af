"""Check a checkpoint's weight files before transformers loads them."""

import pickle
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypedDict

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from edgeadapt.backbones import BACKBONES, BackboneSpec
from edgeadapt.errors import LayoutError, ModelError
from edgeadapt.parsing import check_downloaded
from edgeadapt.store.files import read_json
from edgeadapt.typed import from_json

__all__ = ["check_finite_weights", "check_weight_files", "check_weight_names", "weight_files"]

SAFE, PICKLED = "model.safetensors", "pytorch_model.bin"
_SUFFIXES = frozenset({".safetensors", ".bin", ".pt", ".pth", ".ckpt"})
"""Suffixes of weight files, including formats that are not read."""
_INDEX = ".index.json"
_FLOATS = frozenset({"F64", "F32", "F16", "BF16"})
"""Types of weights, by their names in safetensors."""
_COUNTERS = ("position_ids", "token_type_ids")
"""Suffixes of saved integer buffers (0, 1, 2 …), ignored because models create their own."""
_PEFT = "base_model.model"
_WRAPPERS: Mapping[str, str] = MappingProxyType(
    {
        _PEFT: "PEFT",
        "_fsdp_wrapped_module": "FSDP",
        "_checkpoint_wrapped_module": "activation checkpointing",
        "_orig_mod": "torch.compile",
        "module": "DataParallel",
    }
)
"""Name that a training wrapper adds to the names of weights -> the wrapper, for messages."""
_MERGE = (
    "Save the model without the adapter's modules, in PEFT: "
    "model.merge_and_unload().save_pretrained(FOLDER)"
)
_LEVELS = 4
"""Depth to which nested dicts in a pickle are searched for weights."""
_AGAIN = "Copy or download the whole folder again."


class _Index(TypedDict):
    """The key of a sharded checkpoint's index that is read."""

    weight_map: Mapping[str, str]


def weight_files(folder: Path) -> list[Path]:
    """Returns the files that transformers loads a checkpoint's weights from.

    Raises:
        ModelError: There are none, or the index of a sharded checkpoint does not match its files.
    """
    for name in (SAFE, PICKLED):
        if (folder / name).is_file():
            return [folder / name]
        if (folder / f"{name}{_INDEX}").is_file():
            return _shards(folder / f"{name}{_INDEX}")
    others = sorted(path.name for path in folder.iterdir() if path.suffix in _SUFFIXES)
    found = f", found {', '.join(others[:5])}" if others else ""
    raise ModelError(
        f"{folder} cannot be loaded: it holds no weights: expected {SAFE}, {PICKLED} or shards of "
        f"these with an index{found}.",
        hint=f"{_AGAIN} Weights of TensorFlow and Flax are not read.",
    )


def check_weight_files(folder: Path) -> dict[str, tuple[int, ...]]:
    """Checks that every weight file exists, is complete, and holds floating-point tensors.

    Returns:
        Name of each tensor in the files -> its shape.

    Raises:
        ModelError: A file is missing or damaged, would run code, or holds quantized weights.
        IntegrityError: A file is a git-lfs pointer or the remains of a failed download.
    """
    shapes = {}
    for file in weight_files(folder):
        check_downloaded(file)
        types = _safe_types(file) if file.suffix == ".safetensors" else _pickled_types(file)
        for name, kind, shape in types:
            shapes[name] = shape
            # A single integer is a counter, such as the steps of averaged weights, not a weight.
            if kind not in _FLOATS and shape and not name.endswith(_COUNTERS):
                raise ModelError(
                    f"{file}: {name}: expected floating weights ({', '.join(sorted(_FLOATS))}), "
                    f"found {kind}.",
                    hint="Quantized and packed weights cannot be trained. Use the checkpoint that "
                    "this one was made from.",
                )
    if not shapes:
        raise ModelError(
            f"{folder} cannot be loaded: its files of weights hold no tensors.", hint=_AGAIN
        )
    return shapes


def check_weight_names(names: Iterable[str], spec: BackboneSpec, *, folder: Path) -> None:
    """Checks that the names of weights contain no prefix of a training wrapper, such as FSDP.

    transformers would recognize none of them, and initialize all weights at random.

    Args:
        names: Names of the tensors in the files.
        spec: The backbone's description, for the names of its layers.
        folder: The checkpoint's folder, for the message.

    Raises:
        ModelError: Names of the layers' weights have a prefix, or contain a wrapper's name.
    """
    inner = spec.layers.removeprefix(f"{spec.encoder}.")
    pattern = re.compile(rf"(.*?\.)??(?:{re.escape(spec.encoder)}\.)?{re.escape(inner)}\.\d+\.")
    bare = {name: _unwrapped(name) for name in names}
    prefixes = {n: at[1] or "" for n, own in bare.items() if (at := pattern.match(own))}
    odd = {name for name, prefix in prefixes.items() if prefix or bare[name] != name}
    inside = {name for name in odd if (at := pattern.match(name)) and not at[1]}
    if not odd or (len(odd) < len(prefixes) and not inside):
        return  # only some names have a prefix: those of a second model, which is not loaded
    name = min(inside or odd)
    parts = [f"{part}." for part in _WRAPPERS if f".{part}." in f".{name}"]
    change = "".join(f".replace({part!r}, '')" for part in parts)
    change += f".removeprefix({prefixes[name]!r})" if prefixes[name] else ""
    file = weight_files(folder)[0]
    shown = ", ".join(f"{part!r} (added by {_WRAPPERS[part[:-1]]})" for part in parts)
    raise ModelError(
        f"{file}: the names of its weights have the prefix {shown or repr(prefixes[name])}: "
        f"expected names like {spec.layers}.0.… or {inner}.0.…, found {name}.",
        hint=_whose(prefixes[name])
        or (_MERGE if f"{_PEFT}." in parts else _renaming(file, change)),
    )


def _unwrapped(name: str) -> str:
    """Returns the name of a weight without the names of wrappers."""
    name = f".{name}"
    for wrapper in _WRAPPERS:
        name = name.replace(f".{wrapper}.", ".")
    return name[1:]


def _whose(prefix: str) -> str:
    """Returns a hint naming the model type whose prefix this is; empty if it is of none."""
    other = next((spec for spec in BACKBONES.values() if prefix == f"{spec.encoder}."), None)
    # "model", ModernBERT's prefix, is too common to identify a model type.
    if other is None or other.encoder == "model":
        return ""
    return (
        f"They look like the weights of a {other.model_type} model: config.json and weights do not "
        "belong together."
    )


def _renaming(file: Path, change: str) -> str:
    """Returns a hint with Python code, to be copied, that renames the weights of a file."""
    load, save = "torch.load(file, weights_only=True)", "torch.save(weights, file)"
    imports = "import torch"
    if file.suffix == ".safetensors":
        imports = "from safetensors.torch import load_file, save_file"
        load, save = "load_file(file)", "save_file(weights, file, metadata={'format': 'pt'})"
    return (
        f"Save them under their own names, in Python: {imports}; file = {str(file)!r}; "
        f"weights = {{name{change}: tensor for name, tensor in {load}.items()}}; {save}"
    )


def check_finite_weights(parameters: Mapping[str, nn.Parameter], *, where: Path) -> None:
    """Checks that all weights are finite in fp32.

    Raises:
        ModelError: A weight is NaN or infinite; the message names its tensor.
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
    outside = [name for name in names if Path(name).name != name]
    files = sorted(index.parent / name for name in names)
    missing = [file.name for file in files if not file.is_file()]
    if outside or missing or not files:
        problem = f"missing {', '.join(missing)}"
        if outside:
            problem = f"found a path outside it: {outside[0]}"
        raise ModelError(
            f"{index} names {len(files)} files of weights: expected all of them in the same "
            f"folder, {problem}.",
            hint=_AGAIN,
        )
    return files


def _safe_types(file: Path) -> Iterator[tuple[str, str, tuple[int, ...]]]:
    try:
        with safe_open(file, framework="pt") as opened:
            for name in opened.keys():  # noqa: SIM118 - it is no mapping
                tensor = opened.get_slice(name)
                yield name, tensor.get_dtype(), tuple(tensor.get_shape())
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{file} cannot be loaded: {error}", hint=_AGAIN) from None


def _pickled_types(file: Path) -> Iterator[tuple[str, str, tuple[int, ...]]]:
    try:
        found = torch.load(file, map_location="meta", weights_only=True)
    except pickle.UnpicklingError as error:
        code = re.search(r"GLOBAL (\S+)", str(error))
        raise ModelError(
            f"{file}: expected a pickle that holds only tensors, found one that is damaged or "
            f"needs code to be run{f' ({code[1]})' if code else ''}. No code was run.",
            hint="Ask its author for safetensors, or convert it yourself if you trust it.",
        ) from None
    except Exception as error:  # noqa: BLE001 - torch raises many kinds
        raise ModelError(f"{file} cannot be loaded: {error}", hint=_AGAIN) from None
    if not isinstance(found, dict):
        raise ModelError(
            f"{file}: expected a table of tensors, found a {type(found).__name__}.", hint=_AGAIN
        )
    if inside := _tables_inside(found):
        keys = max(inside, key=lambda keys: inside[keys])
        where = "".join(f"[{key!r}]" for key in keys)
        raise ModelError(
            f"{file}: expected a table of tensors, found {inside[keys]} of them in the nested "
            f"table {where}: it is a training checkpoint, not a model.",
            hint=f"Save the weights alone, in Python: import torch; file = {str(file)!r}; "
            f"torch.save(torch.load(file, weights_only=True){where}, file)",
        )
    for name, value in found.items():
        if not isinstance(name, str):
            raise ModelError(
                f"{file}: expected tensors by their names, found the key {repr(name)[:80]}.",
                hint=_AGAIN,
            )
        if isinstance(value, Tensor):
            is_float = value.is_floating_point() and value.element_size() > 1
            yield name, "F32" if is_float else str(value.dtype), tuple(value.shape)


def _tables_inside(
    table: Mapping[Any, Any], keys: tuple[object, ...] = ()
) -> dict[tuple[object, ...], int]:
    """Returns keys that lead to a nested table of tensors -> the number of tensors in it."""
    inside: dict[tuple[object, ...], int] = {}
    for key, value in table.items():
        if isinstance(value, Mapping) and len(keys) < _LEVELS:
            inside |= _tables_inside(value, (*keys, key))
            if count := sum(isinstance(tensor, Tensor) for tensor in value.values()):
                inside[*keys, key] = count
    return inside
