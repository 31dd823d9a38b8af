"""Enums for the choices of a recipe, and names joined by ``+``."""

from collections.abc import Iterable
from enum import StrEnum

from edgeadapt.errors import RecipeError

__all__ = [
    "AdapterKind",
    "Calibration",
    "Device",
    "Dropout",
    "EngineName",
    "Exporter",
    "Format",
    "GraphPass",
    "LoraTarget",
    "Objective",
    "Placement",
    "Platform",
    "Precision",
    "Scheme",
    "Task",
    "check_joined",
    "listed",
]


class AdapterKind(StrEnum):
    """Kind of adapter. Kinds combine with ``+``, as in ``parallel+bitfit``."""

    PARALLEL = "parallel"
    SEQUENTIAL = "sequential"
    HOULSBY = "houlsby"
    COMPACTER = "compacter"
    LORA = "lora"
    IA3 = "ia3"
    BITFIT = "bitfit"
    LAYERNORM = "layernorm"
    HEAD = "head"
    FULL = "full"


class Placement(StrEnum):
    """Which sublayers of a transformer layer get a bottleneck."""

    ATTENTION = "attention"
    FFN = "ffn"
    BOTH = "both"

    @property
    def sublayers(self) -> tuple[str, ...]:
        """``attention``, ``ffn`` or both."""
        return ("attention", "ffn") if self is Placement.BOTH else (self.value,)


class LoraTarget(StrEnum):
    """The dense layers that LoRA can be added to."""

    QUERY = "query"
    KEY = "key"
    VALUE = "value"
    DENSE = "dense"
    """The output layer of the attention."""
    FFN = "ffn"
    """Both layers of the FFN."""
    FFN_IN = "ffn-in"
    FFN_OUT = "ffn-out"


class Device(StrEnum):
    """Where training runs."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


class Precision(StrEnum):
    """Number format of the computation in training; weights and optimizer states are float32."""

    AUTO = "auto"
    """bfloat16 on GPUs and CPUs with instructions for it, float32 on others."""
    FP32 = "fp32"
    BF16 = "bf16"


class Dropout(StrEnum):
    """Dropout inside the backbone during training; adapters have their own."""

    NONE = "none"
    HIDDEN = "hidden"
    """Only of hidden states: without attention dropout a fused attention kernel is faster, by a
    quarter on long texts."""
    ALL = "all"
    """All dropout of the pretraining."""


class Task(StrEnum):
    """Whether a text has one label or any number of labels."""

    SINGLE_LABEL = "single-label"
    """Exactly one: the most probable."""
    MULTI_LABEL = "multi-label"
    """Any number: every label that is more probable than not."""

    @property
    def problem_type(self) -> str:
        """Name of the task in the config.json of a Hugging Face classifier."""
        return f"{self.value.replace('-', '_')}_classification"


class Exporter(StrEnum):
    """Library that converts a torch model to ONNX."""

    AUTO = "auto"
    OPTIMUM = "optimum"
    TORCH = "torch"


class Format(StrEnum):
    """File format of an adapter, named after its library."""

    ADAPTERHUB = "adapterhub"
    PEFT = "peft"


class GraphPass(StrEnum):
    """Exact optimizations of an exported graph, in the order in which they run."""

    ATTENTION = "attention"
    """Each layer's attention becomes one node."""
    TOKEN_TYPES = "token-types"
    """The embedding of the only segment is added to the position embeddings."""
    POSITIONS = "positions"
    """Position embeddings are sliced from their table instead of gathered."""
    FIRST_POSITION = "first-position"
    """The last layer computes only the first position, which the classifier reads."""
    RESIDUAL_SUMS = "residual-sums"
    """Residual sums are written in a form that is not fused with LayerNormalization."""
    SHARED_ROWS = "shared-rows"
    """Embedding tables store equal rows only once."""


class Scheme(StrEnum):
    """How weights and activations are quantized."""

    DYNAMIC_INT8 = "dynamic-int8"
    """Scales of activations are computed at run time, for every text."""
    STATIC_INT8 = "static-int8"
    """Scales of activations are calibrated on training texts and fixed."""
    INT8_WEIGHTS = "int8-weights"
    """Only weights are quantized, in blocks."""
    INT4_WEIGHTS = "int4-weights"


class Calibration(StrEnum):
    """How the fixed range of activations is derived from those on calibration texts."""

    MIN_MAX = "min-max"
    ENTROPY = "entropy"
    """The range with the smallest Kullback-Leibler divergence."""
    PERCENTILE = "percentile"
    """The range that holds 99.99 % of the values."""


class Objective(StrEnum):
    """Criterion for the best of several quantized models."""

    LATENCY = "latency"
    SIZE = "size"
    """Bytes of the model file."""
    MEMORY = "memory"
    """Peak memory of a process that runs it."""


class Platform(StrEnum):
    """Platform that a model is quantized for."""

    AUTO = "auto"
    """The machine that exports."""
    X86_AVX2 = "x86-avx2"
    """Without VNNI: pairs of 8-bit products are summed in 16 bits, so weights have 7 bits."""
    X86_VNNI = "x86-vnni"
    ARM64 = "arm64"
    WASM = "wasm"
    PORTABLE = "portable"
    """Any CPU: no sum can overflow on any of them."""


class EngineName(StrEnum):
    """Engine that runs a variant of a bundle."""

    ONNXRUNTIME = "onnxruntime"
    OPENVINO = "openvino"
    TORCH = "torch"


def check_joined(joined: str, known: type[StrEnum], origin: str, *, word: str) -> None:
    """Checks names joined by ``+``.

    Args:
        joined: The names.
        known: The valid names.
        origin: The file or option that they come from, for messages.
        word: The kind of thing that they name, for messages.

    Raises:
        RecipeError: One is unknown, or occurs twice.
    """
    names = joined.split("+")
    unknown = [name for name in names if name not in set(known)]
    if unknown:
        raise RecipeError(
            f"{origin}: unknown {word} {unknown[0]!r}: expected one of {listed(known)}.",
            hint=f"Several are joined by +, as in {'+'.join(list(known)[::2][:2])}.",
        )
    if len(set(names)) < len(names):
        raise RecipeError(f"{origin}: {word} {joined!r} names one twice.")


def listed(names: Iterable[object]) -> str:
    """Returns names joined by commas, for messages."""
    return ", ".join(str(name) for name in names)
