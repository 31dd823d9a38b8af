"""Sizes and layers of a backbone, from its config.json."""

from collections.abc import Iterable, Mapping
from typing import Any

from edgeadapt.backbones import BackboneSpec
from edgeadapt.errors import ModelError
from edgeadapt.recipe import AdapterConfig

__all__ = [
    "bottleneck_width",
    "chosen_layers",
    "hidden_size",
    "layer_numbers",
    "setting",
    "stored_layers",
]


def setting(config: Mapping[str, object], *keys: str) -> Any:
    """Returns the value of the first key that exists.

    Raises:
        ModelError: None of the keys exists.
    """
    for key in keys:
        if key in config:
            return config[key]
    raise ModelError(f"The backbone's config.json has no {' or '.join(keys)}.")


def hidden_size(config: Mapping[str, object]) -> int:
    """Returns the width of the hidden states."""
    return int(setting(config, "hidden_size", "dim"))


def bottleneck_width(adapter: AdapterConfig, hidden: int) -> int:
    """Returns a bottleneck's width in neurons."""
    if adapter.reduction_factor is None:
        return adapter.dimension
    return int(hidden // adapter.reduction_factor)


def stored_layers(spec: BackboneSpec, config: Mapping[str, object]) -> tuple[int, ...]:
    """Returns, for each layer, the number of the stored layer whose weights it uses.

    The two numbers differ if layers share weights, as in ALBERT.
    """
    depth = int(setting(config, spec.depth_key))
    groups = depth
    if spec.groups_key is not None:
        groups = int(setting(config, spec.groups_key)) if spec.groups_key in config else 1
    return tuple(layer * groups // depth for layer in range(depth))


def layer_numbers(chosen: str | None, depth: int) -> tuple[int, ...]:
    """Parses layer numbers: ``0,2-4`` -> (0, 2, 3, 4); ``None`` -> all layers.

    Raises:
        ModelError: A number is beyond the last layer.
    """
    if chosen is None:
        return tuple(range(depth))
    numbers: set[int] = set()
    for piece in chosen.split(","):
        first, _, last = piece.partition("-")
        numbers.update(range(int(first), int(last or first) + 1))
    if not numbers or max(numbers) >= depth:
        raise ModelError(
            f"Adapter layers {chosen}: expected numbers from 0 to {depth - 1}, the backbone's "
            "layers."
        )
    return tuple(sorted(numbers))


def chosen_layers(numbers: Iterable[int], depth: int) -> str | None:
    """Formats layer numbers: (0, 2, 3, 4) -> ``0,2-4``; all layers -> ``None``."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    if runs == [list(range(depth))]:
        return None
    return ",".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs)
