"""Check that a checkpoint's configuration matches the size of its weights before allocation.

A config.json of a few bytes can ask for more memory than the machine has. All code that builds a
model from one calls this check first.
"""

from typing import Any

from edgeadapt.backbones import BackboneSpec
from edgeadapt.errors import ModelError
from edgeadapt.store.structure import Structure

__all__ = ["MOST_LAYERS", "check_declared_sizes"]

MOST_LAYERS = 1_000
"""Most layers of a model; published encoders have up to 48. The size of the files cannot limit
layers that share weights."""
_TABLES = (
    "vocab_size", "max_position_embeddings", "type_vocab_size", "position_buckets",
    "relative_attention_num_buckets", "max_relative_positions",
)  # fmt: skip
"""Settings that are numbers of rows of embedding tables."""
_SLACK = 1_000_000
"""Number of values that are always allowed, in addition to a multiple of the files' values."""


def check_declared_sizes(
    config: Any,
    spec: BackboneSpec,
    values: int,
    *,
    where: str,
    structure: Structure | None = None,
) -> None:
    """Checks that a model with this configuration is not much larger than the weight files.

    Args:
        config: The configuration of a stock model.
        spec: The names of its settings.
        values: Number of values in the weight files.
        where: Path of config.json, for the message.
        structure: Widths of the layers, where they differ from those of the configuration.

    Raises:
        ModelError: The model would be several times larger; the message names the setting with the
            largest share.
    """
    wanted = _declared(config, spec, structure)
    most = 4 * values + _SLACK
    if sum(wanted.values()) > most:
        key = max(wanted, key=lambda key: wanted[key])
        raise ModelError(
            f"{where}: {key} = {getattr(config, key)} asks for about {wanted[key]:,} values: "
            f"expected about the {values:,} that the files of weights hold.",
            hint="config.json and the weights do not match, or a file is damaged. Copy or "
            "download the whole folder again.",
        )


def _declared(config: Any, spec: BackboneSpec, structure: Structure | None) -> dict[str, int]:
    """Setting -> estimated number of values of the tables or layers that it sizes."""
    hidden = config.hidden_size
    width = getattr(config, "embedding_size", None) or hidden
    inner = getattr(config, spec.intermediate_key)
    layers = getattr(config, spec.groups_key or spec.depth_key)
    tables = {key: max(getattr(config, key, None) or 0, 0) for key in _TABLES}
    wanted = {key: rows * width for key, rows in tables.items()}
    # A product is attributed to its disproportionate factor.
    if width > max(hidden, *tables.values()):
        wanted = {"embedding_size": sum(wanted.values())}
    wanted |= _of_few_types(config, layers)
    wanted[spec.groups_key or spec.depth_key] = layers * hidden * 4
    wanted["hidden_size"] = layers * hidden * hidden * 4
    wanted[spec.intermediate_key] = layers * hidden * inner * 2
    if layers > max(hidden, inner):
        wanted[spec.groups_key or spec.depth_key] = sum(
            wanted.pop(key) for key in ("hidden_size", spec.intermediate_key)
        )
    if structure is not None:
        # A stock layer is made first, one at a time, and cut to its widths.
        size = hidden // max(config.num_attention_heads, 1)
        widest = max(sum(structure.heads) * size, hidden)
        wanted["hidden_size"] = widest * hidden * 4
        wanted[spec.intermediate_key] = sum(structure.neurons) * hidden * 2
    return wanted


def _of_few_types(config: Any, layers: int) -> dict[str, int]:
    """The same for settings that only some model types have."""
    hidden = config.hidden_size
    wanted = {}
    if repeats := getattr(config, "inner_group_num", 0):  # layers per group in ALBERT
        wanted["inner_group_num"] = (repeats - 1) * layers * hidden * hidden * 4
    if size := getattr(config, "attention_head_size", 0):  # DeBERTa: heads with their own width
        wanted["attention_head_size"] = layers * hidden * size * config.num_attention_heads * 3
    if kernel := getattr(config, "conv_kernel_size", 0):  # DeBERTa: convolution
        wanted["conv_kernel_size"] = kernel * hidden * hidden
    if pooled := getattr(config, "pooler_hidden_size", 0):
        wanted["pooler_hidden_size"] = pooled * pooled
    return wanted
