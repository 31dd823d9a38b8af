"""Read tensors from untrusted files: without running code, and only finite floating tensors."""

import pickle
import re
import struct
import sys
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from edgeadapt.errors import MissingError, ModelError
from edgeadapt.parsing import check_downloaded

__all__ = ["Shapes", "check_tensors", "finite_number", "read_tensors", "refused", "write_tensors"]

Shapes = Mapping[str, tuple[int, ...]]
"""Name of a tensor -> its shape."""


_LARGEST = sys.float_info.max


def refused(where: Path | str, found: str, *, supported: str, hint: str = "") -> ModelError:
    """Returns the error for something that edgeadapt does not support."""
    return ModelError(
        f"{where}: found {found}; supported: {supported}.",
        hint=hint or "Train such an adapter again with `edgeadapt train`; see --method.",
    )


def finite_number(value: object, name: str, *, where: Path) -> float:
    """Returns the value of an option that has to be a number.

    Raises:
        ModelError: The value is not a number, infinite or NaN.
    """
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= _LARGEST:
        return float(value)
    raise refused(where, f"{name} = {value!r}", supported="a finite number")


def read_tensors(folder: Path, *, safe: str, pickled: str) -> tuple[Path, dict[str, Tensor]]:
    """Reads tensors from a safetensors file or, if there is none, from a ``.bin`` file.

    Args:
        folder: Folder of the files.
        safe: Name of the safetensors file.
        pickled: Name of the file written by ``torch.save``. Only tensors are unpickled.

    Returns:
        The file that was read, and name -> fp32 tensor on the CPU.

    Raises:
        MissingError: Neither file exists.
        ModelError: The file is damaged, or holds anything but finite floating tensors.
    """
    if (folder / safe).is_file():
        path = folder / safe
        check_downloaded(path)
        found: Mapping[str, object] = _read_safetensors(path)
    elif (folder / pickled).is_file():
        path = folder / pickled
        check_downloaded(path)
        found = _read_pickled(path)
    else:
        raise MissingError(
            f"{folder} holds no weights: expected {safe} or {pickled}.",
            hint="Copy or download the whole folder again.",
        )
    return path, {name: _plain(tensor, name, path) for name, tensor in found.items()}


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Writes fp32 tensors as safetensors or, if the suffix is ``.bin``, with ``torch.save``."""
    values = {
        name: tensor.detach().to("cpu", torch.float32, copy=True).contiguous()
        for name, tensor in tensors.items()
    }
    if path.suffix == ".bin":
        torch.save(values, path)
    else:
        save_file(values, path, metadata={"format": "pt"})


def check_tensors(found: Mapping[str, Tensor], expected: Shapes, *, where: Path | str) -> None:
    """Checks names and shapes of tensors.

    Raises:
        ModelError: A tensor is missing, unexpected or of another shape.
    """
    missing, unexpected = expected.keys() - found.keys(), found.keys() - expected.keys()
    if missing or unexpected:
        raise ModelError(
            f"{where}: expected {len(expected)} tensors, found {len(found)}: "
            f"{len(missing)} missing {_some(missing)}, {len(unexpected)} unexpected "
            f"{_some(unexpected)}.",
            hint="The files do not belong together, or the adapter is for another backbone.",
        )
    for name, shape in expected.items():
        if tuple(found[name].shape) != shape:
            raise ModelError(
                f"{where}: {name}: expected the shape {shape}, found {tuple(found[name].shape)}.",
                hint="The adapter is for a backbone of another width, or its configuration belongs "
                "to another adapter.",
            )


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        tensors: dict[str, Tensor] = load_file(path, device="cpu")
    except (OSError, SafetensorError) as error:
        raise _damaged(path, error) from None
    return tensors


def _read_pickled(path: Path) -> dict[str, object]:
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        code = re.search(r"GLOBAL (\S+)", str(error))
        found_code = f" (found {code[1]})" if code else ""
        raise ModelError(
            f"{path}: expected a pickle that holds only tensors, found one that needs code to be "
            f"run{found_code}, or that is damaged. No code was run.",
            hint="Ask its author for safetensors, or convert it yourself if you trust it.",
        ) from None
    except (
        ArithmeticError, AssertionError, AttributeError, EOFError, LookupError, MemoryError,
        OSError, RuntimeError, TypeError, ValueError, struct.error,
    ) as error:  # fmt: skip
        raise _damaged(path, error) from None
    if not isinstance(found, dict):
        raise ModelError(
            f"{path}: expected a table of tensors, found a {type(found).__name__}.",
            hint="Was the file saved by the library that the folder names?",
        )
    return found


def _plain(tensor: object, name: object, path: Path) -> Tensor:
    """Returns a contiguous fp32 tensor, after checking that it is dense, floating and finite."""
    if not isinstance(name, str) or not isinstance(tensor, Tensor) or not _is_plain(tensor):
        kind = f"{tensor.dtype}" if isinstance(tensor, Tensor) else type(tensor).__name__
        raise ModelError(
            f"{path}: {name}: expected a tensor of floating numbers, found {kind}.",
            hint="Quantized or otherwise packed adapters cannot be read: save them in floats.",
        )
    values = tensor.detach().to(torch.float32).contiguous()
    if not bool(values.isfinite().all()):
        raise ModelError(
            f"{path}: {name}: expected finite numbers, found infinite ones or NaN.",
            hint="Its training went wrong; take an earlier checkpoint.",
        )
    return values


def _is_plain(tensor: Tensor) -> bool:
    dense = tensor.layout == torch.strided and not tensor.is_meta
    return dense and tensor.is_floating_point()


def _damaged(path: Path, error: Exception) -> ModelError:
    first = (str(error).splitlines() or [type(error).__name__])[0]
    return ModelError(
        f"{path} cannot be read: {first}", hint="Copy or download the whole folder again."
    )


def _some(names: set[str]) -> str:
    return "[" + ", ".join(sorted(names)[:3]) + (", …]" if len(names) > 3 else "]")
