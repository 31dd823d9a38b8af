"""Convert between AdapterHub's options of a bottleneck and edgeadapt's configuration.

Source: ``BnConfig`` and ``ADAPTER_CONFIG_MAP`` of the package adapters 1.3 (documented at
docs.adapterhub.ml/classes/adapter_config.html), and its loader's conversion of older files.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from transformers.activations import ACT2FN

from edgeadapt.errors import ModelError
from edgeadapt.interop.files import finite_number, refused
from edgeadapt.interop.layers import bottleneck_width, chosen_layers, layer_numbers
from edgeadapt.recipe import AdapterConfig, AdapterKind, Placement

__all__ = ["Backbone", "from_options", "options_of", "to_options"]

_SUPPORTED = "bottlenecks as of seq_bn, double_seq_bn and par_bn"

_SEQ_BN: Mapping[str, object] = {
    "mh_adapter": False,
    "output_adapter": True,
    "non_linearity": "relu",
    "reduction_factor": 16,
    "original_ln_before": True,
}
_DOUBLE_SEQ_BN: Mapping[str, object] = {
    "mh_adapter": True,
    "output_adapter": True,
    "non_linearity": "swish",
    "reduction_factor": 16,
}
_PAR_BN: Mapping[str, object] = {
    "mh_adapter": False,
    "output_adapter": True,
    "non_linearity": "relu",
    "reduction_factor": 2,
    "is_parallel": True,
    "scaling": 4.0,
}

_NAMED: Mapping[str, Mapping[str, object]] = MappingProxyType(
    {
        "pfeiffer": _SEQ_BN,
        "seq_bn": _SEQ_BN,
        "houlsby": _DOUBLE_SEQ_BN,
        "double_seq_bn": _DOUBLE_SEQ_BN,
        "parallel": _PAR_BN,
        "par_bn": _PAR_BN,
        "scaled_parallel": {**_PAR_BN, "scaling": "learned"},
        "scaled_par_bn": {**_PAR_BN, "scaling": "learned"},
    }
)
"""Name that a file may hold instead of a table of options -> these options."""

_REQUIRED = ("mh_adapter", "output_adapter", "reduction_factor", "non_linearity")

_DEFAULTS: Mapping[str, object] = MappingProxyType(
    {
        "original_ln_before": False,
        "residual_before_ln": True,
        "is_parallel": False,
        "scaling": 1.0,
        "leave_out": (),
        "dropout": 0.0,
    }
)
"""Values of missing options."""

_FIXED: Mapping[str, object] = MappingProxyType(
    {
        "original_ln_after": True,
        "ln_before": False,
        "ln_after": False,
        "adapter_residual_before_ln": False,
        "use_gating": False,
        "cross_adapter": False,
        "phm_layer": False,
        "inv_adapter": None,
    }
)
"""Options that affect the computation -> the only value that edgeadapt supports."""

_IDLE: Mapping[str, object] = MappingProxyType(
    {
        "init_weights": "bert",
        "init_weights_seed": None,
        "inv_adapter_reduction_factor": None,
        "stochastic_depth": 0.0,
        "phm_dim": 4,
        "factorized_phm_W": True,
        "shared_W_phm": False,
        "shared_phm_rule": True,
        "factorized_phm_rule": False,
        "phm_c_init": "normal",
        "phm_init_range": 0.0001,
        "learn_phm": True,
        "hypercomplex_nonlinearity": "glorot-uniform",
        "phm_rank": 1,
        "phm_bias": True,
    }
)
"""Options that affect only initialization or training, or depend on unsupported ones -> the value
to write."""

_OTHER_NAMES = {"leakyrelu": "leaky_relu"}
"""AdapterHub's name of an activation -> transformers' name."""
_WITH_WEIGHTS = {"prelu", "xielu"}
"""Activations with trained parameters, which edgeadapt's bottlenecks do not have."""
_TANH_GELU = {"gelu": "gelu_new", "gelu_orig": "gelu"}
"""Activation in files without a version -> its name in newer files."""
_SMALLEST_FACTOR = 1e-3
"""Smallest reduction factor: the bottleneck is a thousand times as wide as the backbone."""


@dataclass(frozen=True)
class Backbone:
    """The properties of a backbone that options depend on."""

    hidden: int
    """Width of the hidden states."""
    stored: Sequence[int]
    """For each layer, the number of the stored layer whose weights it uses."""
    activation: str
    """Activation function of the FFN."""


def options_of(file: Mapping[str, object], *, where: Path, invertible: bool) -> dict[str, object]:
    """Returns all options of a bottleneck, missing ones filled in, by their current names.

    Args:
        file: Content of adapter_config.json.
        where: Path of that file, for messages.
        invertible: Whether the weights hold an invertible adapter.

    Raises:
        ModelError: They are not options of a bottleneck, or not supported.
    """
    given = file.get("config")
    if isinstance(given, str):
        if given not in _NAMED:
            raise refused(where, f"the configuration {given!r}", supported=_SUPPORTED)
        options = dict(_NAMED[given])
    elif given is None:
        options = dict(_SEQ_BN)
    elif isinstance(given, dict):
        options = dict(given)
        if "version" not in file:
            name = options.get("non_linearity")
            options["non_linearity"] = _TANH_GELU.get(name, name) if isinstance(name, str) else name
    else:
        raise refused(where, f"a configuration that is {given!r}", supported=_SUPPORTED)
    if architecture := options.pop("architecture", None):
        raise refused(where, f"the architecture {architecture!r}", supported=_SUPPORTED)
    # Version 1 nests the invertible adapter's two options in one. Task adapters of version 1 have
    # the option, but no invertible adapter.
    if nested := options.pop("invertible_adapter", None):
        options["inv_adapter"] = nested
    if file.get("type") == "text_task" and not invertible:
        options["inv_adapter"] = None
    missing = [name for name in _REQUIRED if options.get(name) is None]
    if missing:
        raise ModelError(
            f"{where}: expected the options {', '.join(_REQUIRED)}, found no {', '.join(missing)}.",
            hint="Is it the configuration of a bottleneck adapter?",
        )
    _check_fixed(options, where)
    return {**_DEFAULTS, **options}


def from_options(
    options: Mapping[str, object], backbone: Backbone, *, where: Path
) -> AdapterConfig:
    """Returns the configuration of the adapter to attach.

    Args:
        options: All options, as returned by ``options_of``.
        backbone: The backbone to attach it to.
        where: Path of the file, for messages.

    Raises:
        ModelError: edgeadapt does not support an option.
    """
    parallel, before = bool(options["is_parallel"]), bool(options["original_ln_before"])
    residual = options["residual_before_ln"]
    if not parallel and residual is not True and (before or residual is not False):
        raise refused(where, f"residual_before_ln = {residual!r}", supported="true")
    placement = _placement(options, where)
    layers = _layers(options, backbone, where)
    scaling, learned = _scaling(options["scaling"], where)
    return AdapterConfig(
        method=str(_kind(parallel=parallel, placement=placement)),
        dimension=_width(options["reduction_factor"], layers, backbone, where),
        activation=_activation(options["non_linearity"], where),
        scaling=scaling,
        learn_scaling=learned,
        placement=placement,
        layers=chosen_layers(layers, len(backbone.stored)),
        dropout=_dropout(options["dropout"], where),
        original_ln_before=before and not parallel,
    )


def to_options(
    config: AdapterConfig, placement: Placement, backbone: Backbone
) -> dict[str, object]:
    """Returns AdapterHub's options for an adapter.

    Args:
        config: The configuration of one bottleneck kind.
        placement: Its placement, with the kind's default filled in.
        backbone: The backbone that it is attached to.

    Raises:
        ModelError: Only some layers of a group that shares its weights have an adapter.
    """
    layers = layer_numbers(config.layers, len(backbone.stored))
    kept = {backbone.stored[layer] for layer in layers}
    _check_whole(layers, kept, backbone)
    parallel = config.method == AdapterKind.PARALLEL
    return {
        **_IDLE,
        **_FIXED,
        **_DEFAULTS,
        "mh_adapter": "attention" in placement.sublayers,
        "output_adapter": "ffn" in placement.sublayers,
        "non_linearity": config.activation or backbone.activation,
        "reduction_factor": _reduction_factor(
            backbone.hidden, bottleneck_width(config, backbone.hidden)
        ),
        "original_ln_before": config.original_ln_before and not parallel,
        "is_parallel": parallel,
        "init_weights": "mam_adapter" if parallel else "bert",
        "scaling": "learned" if config.learn_scaling else float(config.scaling),
        "leave_out": sorted(set(backbone.stored) - kept),
        "dropout": config.dropout,
    }


def _check_whole(layers: Sequence[int], kept: set[int], backbone: Backbone) -> None:
    whole = [layer for layer, stored in enumerate(backbone.stored) if stored in kept]
    if list(layers) != whole:
        raise ModelError(
            f"Adapters on layers {chosen_layers(layers, len(backbone.stored))} cannot be written: "
            f"expected all layers that share their weights, {min(whole)} to {max(whole)}.",
            hint="Train them with --layers left out.",
        )


def _check_fixed(options: Mapping[str, object], where: Path) -> None:
    for name, value in options.items():
        if name in _FIXED and bool(value) != bool(_FIXED[name]):
            raise refused(where, f"{name} = {value!r}", supported=f"{name} = {_FIXED[name]!r}")
        known = name in _FIXED or name in _IDLE or name in _DEFAULTS or name in _REQUIRED
        if not known and value:
            raise refused(
                where,
                f"the unknown option {name} = {value!r}",
                supported="the options of adapters 1.3",
                hint="It may change what is computed. Upgrade edgeadapt, or leave it out.",
            )


def _placement(options: Mapping[str, object], where: Path) -> Placement:
    match bool(options["mh_adapter"]), bool(options["output_adapter"]):
        case True, True:
            return Placement.BOTH
        case True, False:
            return Placement.ATTENTION
        case False, True:
            return Placement.FFN
    raise refused(where, "neither mh_adapter nor output_adapter", supported="one of them, or both")


def _kind(*, parallel: bool, placement: Placement) -> AdapterKind:
    if parallel:
        return AdapterKind.PARALLEL
    return AdapterKind.HOULSBY if placement is Placement.BOTH else AdapterKind.SEQUENTIAL


def _layers(options: Mapping[str, object], backbone: Backbone, where: Path) -> list[int]:
    left_out = options["leave_out"] or ()
    if not isinstance(left_out, list | tuple):
        raise refused(where, f"leave_out = {left_out!r}", supported="a list of layers")
    layers = [n for n, stored in enumerate(backbone.stored) if stored not in left_out]
    if not layers:
        raise refused(where, f"leave_out = {list(left_out)}", supported="at least one layer kept")
    return layers


def _scaling(scaling: object, where: Path) -> tuple[float, bool]:
    """Returns the factor and whether it is learned."""
    if scaling == "learned":
        return 1.0, True
    return finite_number(scaling, "scaling", where=where), False


def _activation(name: object, where: Path) -> str:
    """Returns the name of an activation that transformers has and that has no weights."""
    lower = str(name).lower()
    standard = _OTHER_NAMES.get(lower, lower)
    if standard not in ACT2FN or standard in _WITH_WEIGHTS:
        raise refused(
            where,
            f"non_linearity = {name!r}",
            supported=", ".join(sorted(set(ACT2FN) - _WITH_WEIGHTS)),
        )
    return standard


def _dropout(value: object, where: Path) -> float:
    dropout = finite_number(value, "dropout", where=where)
    if not 0 <= dropout < 1:
        raise refused(where, f"dropout = {value!r}", supported="from 0 to below 1")
    return dropout


def _width(factor: object, layers: Sequence[int], backbone: Backbone, where: Path) -> int:
    """Returns the width that all layers share, in neurons."""
    factors = {_factor_of(factor, backbone.stored[layer], where) for layer in layers}
    widths = {max(1, int(backbone.hidden // divisor)) for divisor in factors}
    if len(widths) > 1:
        raise refused(
            where,
            f"reduction_factor = {factor}, which gives widths of {sorted(widths)}",
            supported="one width for all layers",
        )
    return widths.pop()


def _factor_of(factor: object, layer: int, where: Path) -> float:
    value = factor.get(str(layer), factor.get("default")) if isinstance(factor, dict) else factor
    number = finite_number(value, "reduction_factor", where=where)
    if number < _SMALLEST_FACTOR:
        raise refused(
            where,
            f"reduction_factor = {factor!r}",
            supported=f"numbers from {_SMALLEST_FACTOR}",
        )
    return number


def _reduction_factor(hidden: int, width: int) -> float:
    """Returns a factor from which the library computes exactly this width."""
    if hidden % width == 0:
        return hidden // width
    exact = hidden / width
    return exact if int(hidden // exact) == width else hidden / (width + 0.5)
