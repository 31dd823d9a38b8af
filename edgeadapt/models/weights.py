"""A checkpoint's weights, looked at before a library loads them."""

import pickle
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from edgeadapt.errors import LayoutError, ModelError
from edgeadapt.parsing import check_fetched
from edgeadapt.storage import read_json

__all__ = ["check_finite_weights", "check_weight_files", "weight_files"]

SAFE, PICKLED = "model.safetensors", "pytorch_model.bin"
_INDEX = ".index.json"
_FLOATS = frozenset({"F64", "F32", "F16", "BF16"})
"""Types of weights, as safetensors calls them."""
_COUNTERS = ("position_ids", "token_type_ids")
"""How the names of saved buffers end that hold 0, 1, 2 …; models make their own."""
_AGAIN = "Copy or download the whole folder again."


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


def check_weight_files(folder: Path) -> None:
    """Checks that every file of weights is there, whole, and holds floating numbers.

    Raises:
        ModelError: A file is missing, damaged, needs code to be run, or holds packed weights.
        IntegrityError: A file is a git-lfs pointer.
    """
    for file in weight_files(folder):
        check_fetched(file)
        types = _safe_types(file) if file.suffix == ".safetensors" else _pickled_types(file)
        for name, kind in types:
            if kind not in _FLOATS and not name.endswith(_COUNTERS):
                raise ModelError(
                    f"{file}: {name}: expected floating weights ({', '.join(sorted(_FLOATS))}), "
                    f"found {kind}.",
                    hint="Quantized and packed weights cannot be trained on. Use the checkpoint "
                    "that this one was made from.",
                )


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
        names = set(read_json(index)["weight_map"].values())
        odd = [name for name in names if Path(name).name != name]
    except (KeyError, AttributeError, TypeError):
        raise ModelError(
            f"{index}: expected weight_map, an object of weights and their files.", hint=_AGAIN
        ) from None
    except LayoutError as error:
        raise ModelError(error.message, hint=error.hint) from None
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


def _safe_types(file: Path) -> Iterator[tuple[str, str]]:
    try:
        with safe_open(file, framework="pt") as opened:
            for name in opened.keys():  # noqa: SIM118 - it is no mapping
                yield name, opened.get_slice(name).get_dtype()
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{file} cannot be loaded: {error}", hint=_AGAIN) from None


def _pickled_types(file: Path) -> Iterator[tuple[str, str]]:
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
            yield str(name), "F32" if is_float else str(value.dtype)
