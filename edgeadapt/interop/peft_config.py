"""Convert between PEFT's options of a LoRA and edgeadapt's.

Source: ``LoraConfig`` of the package peft 0.21
(huggingface.co/docs/peft/package_reference/lora).
"""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from edgeadapt.interop.files import finite_number, refused

__all__ = ["Options", "options_of", "to_options"]

_READ = {
    "peft_type", "task_type", "r", "lora_alpha", "lora_dropout", "use_rslora", "bias",
    "init_lora_weights", "rank_pattern", "alpha_pattern", "base_model_name_or_path",
    "id2label", "label2id",
}  # fmt: skip
"""Options that are read or checked one by one."""

_IDLE = {
    "peft_version", "auto_mapping", "revision", "inference_mode", "megatron_core",
    "qalora_group_size", "loftq_config", "eva_config", "corda_config", "lora_ga_config",
    "runtime_config", "target_modules", "exclude_modules", "layers_to_transform",
    "layers_pattern", "modules_to_save",
}  # fmt: skip
"""Options that are ignored: they describe places, which the names of the weights give as well, or
affect only initialization and training."""

_TASKS = (None, "SEQ_CLS", "FEATURE_EXTRACTION")
_INITIALIZATIONS = (None, True, False, "gaussian", "eva", "orthogonal")
"""Supported initializations. The others change the backbone's weights before the first step."""


@dataclass(frozen=True)
class Options:
    """The options that, with the weights, determine what a LoRA computes."""

    rank: int
    scaling: float
    """Factor on each product."""
    dropout: float
    base_model: str | None


def options_of(file: Mapping[str, object], *, where: Path) -> Options:
    """Reads adapter_config.json.

    Raises:
        ModelError: The method is not LoRA, or an unsupported variant of it.
    """
    _check_method(file, where)
    rank = finite_number(file.get("r", 8), "r", where=where)
    alpha = finite_number(file.get("lora_alpha", 8), "lora_alpha", where=where)
    dropout = finite_number(file.get("lora_dropout") or 0.0, "lora_dropout", where=where)
    if rank < 1 or int(rank) != rank:
        raise refused(where, f"r = {file['r']!r}", supported="a whole number from 1")
    if not 0 <= dropout < 1:
        raise refused(where, f"lora_dropout = {dropout!r}", supported="from 0 to below 1")
    for name, usual in (("rank_pattern", rank), ("alpha_pattern", alpha)):
        given = file.get(name) or {}
        if not isinstance(given, dict) or any(value != usual for value in given.values()):
            raise refused(
                where, f"{name} = {given!r}", supported=f"one value for all modules, {usual:g}"
            )
    return Options(
        rank=int(rank),
        scaling=alpha / (math.sqrt(rank) if file.get("use_rslora") else rank),
        dropout=dropout,
        base_model=str(file.get("base_model_name_or_path") or "") or None,
    )


def to_options(
    options: Options, *, layers: str, modules: Iterable[tuple[int, str]], head: Iterable[str]
) -> dict[str, object]:
    """Returns the content of adapter_config.json.

    Args:
        options: Options of the written products.
        layers: Dotted name of the layer list in the classifier.
        modules: The dense layers with a product: number of the layer, and name in the layer.
        head: Names of the modules that are stored in full.
    """
    alpha = options.scaling * options.rank
    names = sorted(set(modules))
    numbers = "|".join(str(number) for number in sorted({number for number, _ in names}))
    dense = "|".join(re.escape(name) for name in sorted({name for _, name in names}))
    # A pattern, because PEFT matches names in a list by their endings, and "output.dense" is the
    # ending of two dense layers of BERT.
    pattern = rf"(.*\.)?{re.escape(layers.rpartition('.')[2])}\.({numbers})\.({dense})"
    return {
        "peft_type": "LORA",
        "task_type": "SEQ_CLS" if head else None,
        "base_model_name_or_path": options.base_model,
        "r": options.rank,
        "lora_alpha": int(alpha) if alpha == int(alpha) else alpha,
        "lora_dropout": options.dropout,
        "target_modules": pattern,
        "modules_to_save": list(head) or None,
        "bias": "none",
        "fan_in_fan_out": False,
        "use_rslora": False,
        "use_dora": False,
        "init_lora_weights": True,
        "layers_to_transform": None,
        "layers_pattern": None,
        "rank_pattern": {},
        "alpha_pattern": {},
        "inference_mode": True,
    }


def _check_method(file: Mapping[str, object], where: Path) -> None:
    found = file.get("peft_type")
    if found != "LORA":
        raise refused(where, f"peft_type = {found!r}", supported="peft_type = 'LORA'")
    for name, allowed in (("task_type", _TASKS), ("init_lora_weights", _INITIALIZATIONS)):
        if file.get(name) not in allowed:
            supported = ", ".join(map(repr, allowed))
            raise refused(where, f"{name} = {file[name]!r}", supported=supported)
    if file.get("bias", "none") != "none":
        raise refused(where, f"bias = {file['bias']!r}", supported="bias = 'none'")
    for name, value in file.items():
        if name not in _READ and name not in _IDLE and value:
            raise refused(
                where,
                f"{name} = {value!r}",
                supported="plain LoRA, without its variants",
                hint="If the option has no effect after training, set it to null.",
            )
