"""The enums of what can be chosen, and names that are joined by ``+``."""

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
    """What is trained. Kinds combine with ``+``, as in ``parallel+bitfit``."""

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
        """``attention``, ``ffn`` or both of them."""
        return ("attention", "ffn") if self is Placement.BOTH else (self.value,)


class LoraTarget(StrEnum):
    """The dense layers that LoRA can be put on."""

    QUERY = "query"
    KEY = "key"
    VALUE = "value"
    DENSE = "dense"
    """The last of the attention."""
    FFN = "ffn"
    """Both of the FFN."""
    FFN_IN = "ffn-in"
    FFN_OUT = "ffn-out"


class Device(StrEnum):
    """Where training runs."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


class Precision(StrEnum):
    """In what numbers the model computes while training; weights and their updates are float32."""

    AUTO = "auto"
    """bfloat16 on a GPU or a CPU that is made for it, float32 on others."""
    FP32 = "fp32"
    BF16 = "bf16"


class Dropout(StrEnum):
    """What drops out of a backbone while it is trained, beside the adapters."""

    NONE = "none"
    HIDDEN = "hidden"
    """Hidden states, not the attention where it is fused: faster, by a quarter on long texts."""
    ALL = "all"
    """What it dropped when it was pretrained."""


class Task(StrEnum):
    """How many labels a text has."""

    SINGLE_LABEL = "single-label"
    """Exactly one: the most probable."""
    MULTI_LABEL = "multi-label"
    """Any number: every label that is more probable than not."""

    @property
    def problem_type(self) -> str:
        """Its name in the config.json of a Hugging Face classifier."""
        return f"{self.value.replace('-', '_')}_classification"


class Exporter(StrEnum):
    """What turns a torch model into ONNX."""

    AUTO = "auto"
    OPTIMUM = "optimum"
    TORCH = "torch"


class Format(StrEnum):
    """Whose library reads and writes an adapter's files."""

    ADAPTERHUB = "adapterhub"
    PEFT = "peft"


class GraphPass(StrEnum):
    """An exact rewriting of an exported graph, in the order in which they run."""

    ATTENTION = "attention"
    """Each layer's attention becomes one node."""
    TOKEN_TYPES = "token-types"
    """The embedding of the only segment is added to the positions'."""
    POSITIONS = "positions"
    """Embeddings of positions are sliced off their table, not looked up."""
    FIRST_POSITION = "first-position"
    """The last layer computes what the classifier reads, and no more."""
    RESIDUAL_SUMS = "residual-sums"
    """Residual sums are written so that they are not fused with LayerNormalization."""
    SHARED_ROWS = "shared-rows"
    """Tables of embeddings hold rows that are alike once."""


class Scheme(StrEnum):
    """How weights and activations are quantized."""

    DYNAMIC_INT8 = "dynamic-int8"
    """Activations' scales are found at run time, for every text."""
    STATIC_INT8 = "static-int8"
    """Activations' scales are fixed ahead, from training texts."""
    INT8_WEIGHTS = "int8-weights"
    """Weights alone, in blocks."""
    INT4_WEIGHTS = "int4-weights"


class Calibration(StrEnum):
    """How a fixed range of activations follows from those of real texts."""

    MIN_MAX = "min-max"
    ENTROPY = "entropy"
    """What tells most of their distribution."""
    PERCENTILE = "percentile"
    """All but the outermost of 10,000."""


class Objective(StrEnum):
    """What the best of several quantized models is best at."""

    LATENCY = "latency"
    SIZE = "size"
    """Bytes of the model file."""
    MEMORY = "memory"
    """Peak memory of a process that runs it."""


class Platform(StrEnum):
    """What a quantized model is made for."""

    AUTO = "auto"
    """The machine that exports."""
    X86_AVX2 = "x86-avx2"
    """Without VNNI: products of 8 bits are added up in pairs of 16, so that weights take 7."""
    X86_VNNI = "x86-vnni"
    ARM64 = "arm64"
    WASM = "wasm"
    PORTABLE = "portable"
    """Any CPU: nothing in it overflows on one that does not on another."""


class EngineName(StrEnum):
    """What runs a variant of a bundle."""

    ONNXRUNTIME = "onnxruntime"
    OPENVINO = "openvino"
    TORCH = "torch"


def check_joined(joined: str, known: type[StrEnum], origin: str, *, word: str) -> None:
    """Checks names that are joined by ``+``.

    Args:
        joined: The names.
        known: What there is.
        origin: Where they are from, for messages.
        word: What they name, for messages.

    Raises:
        RecipeError: One is unknown, or there twice.
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
    """Returns names with commas between them, for messages."""
    return ", ".join(str(name) for name in names)
