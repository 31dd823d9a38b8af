"""What can be configured: enums, the recipe, and how a recipe is read and written.

A recipe is a TOML file with the tables ``[model]``, ``[data]``, ``[adapter]`` and
``[training]``; every key is a field of the dataclass of the same name below. A run saves its
effective recipe in ``run.json``, and every place that takes a recipe takes that file too.
"""

import json
import math
import re
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from enum import StrEnum
from pathlib import Path
from types import UnionType
from typing import Any, Self, get_args, get_origin

from edgeadapt.errors import RecipeError
from edgeadapt.parsing import (
    MANIFEST_BYTES,
    RECIPE_BYTES,
    parse_json,
    parse_toml,
    read_bounded,
)

__all__ = [
    "AdapterConfig",
    "AdapterKind",
    "Calibration",
    "DataConfig",
    "Device",
    "Dropout",
    "EngineName",
    "Exporter",
    "Format",
    "GraphPass",
    "ModelConfig",
    "Objective",
    "Placement",
    "Platform",
    "Precision",
    "Recipe",
    "Scheme",
    "Target",
    "Task",
    "TrainingConfig",
    "Tuned",
    "builtin_recipes",
    "check_joined",
]

_RECIPES = Path(__file__).parent / "recipes"
_NUMBER = rf"\d{{1,{sys.int_info.default_max_str_digits}}}"  # longer ones Python does not convert
_LAYERS = re.compile(rf"{_NUMBER}(-{_NUMBER})?(,{_NUMBER}(-{_NUMBER})?)*", re.ASCII)

_FOLD = re.compile(r"[1-9]\d{0,3}/[1-9]\d{0,3}", re.ASCII)


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


class Target(StrEnum):
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


@dataclass(frozen=True)
class ModelConfig:
    """The backbone."""

    id: str = "sentence-transformers/all-MiniLM-L6-v2"
    """A hub id or a folder with a Hugging Face checkpoint."""
    revision: str | None = None
    """Commit, tag or branch of a hub id."""
    max_length: int = 128
    """Longest input in tokens, special tokens counted; longer texts are cut."""
    layers: int | None = None
    """Keep only the first so many transformer layers; all of them where none is given."""


@dataclass(frozen=True)
class DataConfig:
    """The labelled examples."""

    dataset: str = "demo"
    """``demo``, a hub id, a CSV / JSONL / parquet file, or a folder of such files."""
    name: str | None = None
    """Configuration of a hub dataset that has several."""
    revision: str | None = None
    """Commit, tag or branch of a hub id."""
    text_column: str = "text"
    """Column that holds the text."""
    text_pair_column: str | None = None
    """Column that holds the second text, where the model takes pairs."""
    label_column: str = "label"
    """Column that holds the label."""
    multi_label: bool = False
    """Whether a text has any number of labels: a list, or in CSV names joined by ``|``."""
    skip_empty: bool = False
    """Whether rows with an empty text are left out."""
    skip_unlabelled: bool = False
    """Whether rows without a label are left out, and a split that has none."""
    validation_fraction: float = 0.1
    """Share of train that becomes validation where the data has none (stratified, seeded)."""
    test_fraction: float = 0.1
    """Share of train that becomes test where the data has none (stratified, seeded)."""
    split_seed: int = 0
    """Seeds which texts are held out and how folds are drawn, whatever ``training.seed`` is: runs
    with different training seeds are tested on the same texts."""
    fold: str | None = None
    """A part of a cross-validation, such as ``2/5``: test on the second of five parts."""

    @property
    def fold_of(self) -> tuple[int, int]:
        """The number of the part, from 1, and how many there are."""
        assert self.fold is not None
        number, _, count = self.fold.partition("/")
        return int(number), int(count)

    @property
    def task(self) -> Task:
        """How many labels a text has."""
        return Task.MULTI_LABEL if self.multi_label else Task.SINGLE_LABEL

    @property
    def pairs(self) -> bool:
        """Whether the model takes pairs of texts."""
        return self.text_pair_column is not None


@dataclass(frozen=True)
class AdapterConfig:
    """What is trained, and its shape."""

    start: str | None = None
    """A run, or the folder of an AdapterHub or PEFT adapter, whose weights training starts from;
    what is trained and its shape are then that adapter's."""
    method: str = "parallel+bitfit"
    """One kind of ``AdapterKind`` or several joined by ``+``. These two fold wholly into the
    backbone, so that they cost nothing there."""
    dimension: int = 64
    """Width of a bottleneck, in neurons."""
    reduction_factor: float | None = None
    """Hidden size over the width of a bottleneck; where given, it takes the place of
    ``dimension``."""
    activation: str | None = None
    """Non-linearity of a bottleneck; the backbone's own where none is given."""
    scaling: float = 1.0
    """Factor on the output of a bottleneck or LoRA. AdamW's steps do not see it, so that it acts
    like a factor on the learning rate of the up-projection: at 4 (He et al. 2022) halve the
    rate."""
    learn_scaling: bool = False
    """Train that factor, one per bottleneck, from ``scaling`` on."""
    placement: Placement | None = None
    """Sublayers that get a bottleneck; the kind's own where none is given."""
    layers: str | None = None
    """Transformer layers that get adapters, counted from 0, such as ``6-11`` or ``0,2-4``; all of
    them where none is given."""
    dropout: float = 0.0
    """Probability of dropping a bottleneck's output or LoRA's input neuron while training."""
    rank: int = 8
    """Rank of LoRA's products."""
    targets: str = "query+value"
    """Dense layers that LoRA is put on, joined by ``+``: see ``Target``."""
    original_ln_before: bool = False
    """Bottlenecks after a sublayer read the LayerNorm of its residual sum, not its output: the
    form of AdapterHub's ``seq_bn``."""

    @property
    def kinds(self) -> tuple[AdapterKind, ...]:
        """The kinds that ``method`` names, in its order."""
        return tuple(AdapterKind(part) for part in self.method.split("+"))

    @property
    def lora_targets(self) -> tuple[Target, ...]:
        """The dense layers that ``targets`` names, in its order."""
        return tuple(Target(part) for part in self.targets.split("+"))


@dataclass(frozen=True)
class Tuned:
    """What each kind trains best with, found on validation text (``benchmarks/notes/``).

    Adapters want 20 to 100 times the rate of full fine-tuning, and half its epochs. Where kinds
    combine, the smallest rate and the most epochs count.
    """

    rates: Mapping[AdapterKind, float] = field(
        default_factory=lambda: {
            AdapterKind.PARALLEL: 2e-3,
            AdapterKind.SEQUENTIAL: 2e-3,
            AdapterKind.HOULSBY: 2e-3,
            AdapterKind.COMPACTER: 1e-2,
            AdapterKind.LORA: 3e-3,
            AdapterKind.IA3: 1e-2,
            AdapterKind.BITFIT: 5e-3,
            AdapterKind.LAYERNORM: 5e-3,
            AdapterKind.HEAD: 3e-3,
            AdapterKind.FULL: 1e-4,
        }
    )

    epochs: Mapping[AdapterKind, int] = field(
        default_factory=lambda: {kind: 8 if kind is AdapterKind.FULL else 4 for kind in AdapterKind}
    )

    def rate_of(self, kinds: tuple[AdapterKind, ...]) -> float:
        """Returns the peak learning rate for the combined kinds."""
        return min(self.rates[kind] for kind in kinds)

    def epochs_of(self, kinds: tuple[AdapterKind, ...]) -> int:
        """Returns the passes over the training examples for the combined kinds."""
        return max(self.epochs[kind] for kind in kinds)


@dataclass(frozen=True)
class TrainingConfig:
    """The optimization."""

    epochs: int | None = None
    """Passes over the training examples; the kind's tuned number where none is given."""
    batch_size: int = 32
    """Examples per optimizer step."""
    micro_batch_tokens: int | None = None
    """Most tokens, padding counted, that go through the model at once; a batch with more goes in
    parts, with the same gradients (pretraining's are the same on average). The device's own where
    none is given."""
    learning_rate: float | None = None
    """Peak rate of AdamW; the kind's tuned rate where none is given."""
    head_rate: float = 1.0
    """The task head's rate over that of all else."""
    weight_decay: float = 0.01
    """Decoupled decay of weight matrices (biases and LayerNorms have none)."""
    warmup: float = 0.1
    """Share of all steps in which the rate rises to its peak."""
    patience: int | None = None
    """Stop after so many epochs in a row without a better one; never where none is given."""
    label_smoothing: float = 0.1
    """Probability mass spread over all labels."""
    clip_norm: float = 1.0
    """Gradients are scaled down to at most this norm."""
    seed: int = 0
    """Seeds initialization, shuffling and dropout; ``data.split_seed`` seeds the splits."""
    device: Device = Device.AUTO
    """``auto`` is CUDA where there is a GPU."""
    precision: Precision = Precision.AUTO
    """``auto`` is bf16 on GPUs and on x86 CPUs with instructions for it (Zen 4, Sapphire Rapids and
    later)."""
    threads: int | None = None
    """CPU threads of torch; all cores where none is given."""
    backbone_dropout: Dropout = Dropout.ALL
    """What drops out of the backbone's own layers while training, beside the adapters."""
    quant_aware: bool = False
    """Whether the model computes as its int8 graph will, so that adapters make up for it."""
    compile: bool = False
    """Whether torch.compile makes faster code of the model, which takes a minute or more."""
    activation_checkpointing: bool = False
    """Whether layers are run again on the way back, which takes time and saves memory."""
    tensorboard: str | None = None
    """Folder for TensorBoard's event files; none are written where none is given."""
    memory_mb: int = 1024
    """Most megabytes for the output of layers below all that is trained, which then run once."""
    checkpoint_steps: int = 200
    """Steps between two saved states, beside those at the ends of epochs; 0 for these alone."""


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the outcome of a training run."""

    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    adapter: AdapterConfig = field(default_factory=AdapterConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)

    @classmethod
    def load(cls, source: str) -> Self:
        """Reads a recipe by name, from a TOML file, a ``run.json`` or a run folder.

        Raises:
            RecipeError: It is none of these, or holds an unknown or wrong value.
        """
        path = Path(source)
        if path.is_dir() and (path / "run.json").is_file():
            path = path / "run.json"
        if path.is_file():
            return cls.from_dict(_read(path), origin=str(path))
        if source not in builtin_recipes():
            raise RecipeError(
                f"Unknown recipe {source!r}: expected a file or one of "
                f"{', '.join(builtin_recipes())}.",
                hint="Write a TOML file and pass its path, or start from `edgeadapt train --help`.",
            )
        return cls.from_dict(_read(_RECIPES / f"{source}.toml"), origin=f"recipe {source}")

    @classmethod
    def from_dict(cls, tables: Mapping[str, Any], *, origin: str) -> Self:
        """Builds a recipe from nested tables, checking names, types and ranges.

        Raises:
            RecipeError: A name, type or range is wrong; the message names ``origin``.
        """
        return cls().updated(tables, origin=origin)

    @classmethod
    def from_recorded(cls, tables: Mapping[str, Any], *, origin: str) -> Self:
        """Builds the recipe that a run or an unfinished training recorded, also an older one.

        Before ``data.split_seed`` existed, ``training.seed`` drew the splits as well: a record
        without the key keeps that meaning, so that its splits can be drawn again.

        Raises:
            RecipeError: A name, type or range is wrong; the message names ``origin``.
        """
        return cls.from_dict(_with_split_seed(tables), origin=origin)

    def updated(self, tables: Mapping[str, Any], *, origin: str) -> Self:
        """Returns a copy with the given values replaced.

        What belongs to a replaced value goes with it: a learning rate with the method it was
        tuned for, a revision with its model, columns and revision with their data set.

        Raises:
            RecipeError: A name, type or range is wrong; the message names ``origin``.
        """
        sections = {section.name: getattr(self, section.name) for section in fields(self)}
        for name, values in tables.items():
            if name not in sections:
                raise RecipeError(
                    f"{origin}: unknown table [{name}]: expected {_listed(sections)}."
                )
            if not isinstance(values, Mapping):
                raise RecipeError(f"{origin}: [{name}]: expected a table, found {values!r}.")
        if tables.get("model", {}).get("id", self.model.id) != self.model.id:
            sections["model"] = replace(self.model, revision=None)
        if tables.get("data", {}).get("dataset", self.data.dataset) != self.data.dataset:
            sections["data"] = replace(
                DataConfig(),
                validation_fraction=self.data.validation_fraction,
                test_fraction=self.data.test_fraction,
                split_seed=self.data.split_seed,
            )
        if tables.get("adapter", {}).get("method", self.adapter.method) != self.adapter.method:
            sections["training"] = replace(self.training, learning_rate=None)
        for name, values in tables.items():
            sections[name] = _updated_section(sections[name], values, f"{origin}: [{name}]")
        recipe = replace(self, **sections)
        _check_ranges(recipe, origin)
        return recipe

    def resolved(self) -> Self:
        """Returns a copy in which every value that depends on another is filled in."""
        tuned, given = Tuned(), self.training
        kinds = self.adapter.kinds
        training = replace(
            given,
            learning_rate=tuned.rate_of(kinds)
            if given.learning_rate is None
            else given.learning_rate,
            epochs=tuned.epochs_of(kinds) if given.epochs is None else given.epochs,
        )
        return replace(self, training=training)

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """Returns nested tables; ``from_dict`` takes them back."""
        return asdict(self)

    def to_toml(self) -> str:
        """Returns the recipe as TOML; values that are not set are left out."""
        lines: list[str] = []
        for name, table in self.to_dict().items():
            lines.append(f"[{name}]")
            given = {key: value for key, value in table.items() if value is not None}
            lines += [f"{key} = {_toml_scalar(value)}" for key, value in given.items()]
            lines.append("")
        return "\n".join(lines)


def builtin_recipes() -> tuple[str, ...]:
    """Returns the names of the recipes that ship with the package, sorted."""
    return tuple(sorted(path.stem for path in _RECIPES.glob("*.toml")))


def _read(path: Path) -> Mapping[str, Any]:
    if path.suffix != ".json":
        content = read_bounded(path, limit=RECIPE_BYTES, refusal=RecipeError)
        return parse_toml(
            content, where=f"{path} cannot be read as a recipe: it", refusal=RecipeError
        )
    content = read_bounded(path, limit=MANIFEST_BYTES, refusal=RecipeError)
    value = parse_json(content, where=f"{path} cannot be read as a recipe: it", refusal=RecipeError)
    if not isinstance(value, dict) or not isinstance(value.get("recipe"), dict):
        raise RecipeError(f'{path} holds no "recipe".', hint="Pass a TOML file or a run.json.")
    return _with_split_seed(value["recipe"])


def _with_split_seed(recorded: Mapping[str, Any]) -> dict[str, Any]:
    """Returns recorded tables with the seed of their splits."""
    tables = dict(recorded)
    data, training = tables.get("data"), tables.get("training")
    if isinstance(data, Mapping) and isinstance(training, Mapping) and "seed" in training:
        tables["data"] = {"split_seed": training["seed"], **data}
    return tables


def _toml_scalar(value: object) -> str:
    """JSON's form of a scalar is TOML's, but for surrogate pairs and the delete character."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _updated_section(section: Any, values: Mapping[str, Any], where: str) -> Any:
    known = {f.name: f for f in fields(section)}
    for key, value in values.items():
        if key not in known:
            raise RecipeError(f"{where} has no key {key!r}: expected one of {_listed(known)}.")
        section = replace(section, **{key: _typed(value, known[key].type, f"{where} {key}")})
    return section


def _typed(value: Any, kind: Any, where: str) -> Any:
    """Returns ``value`` as the field's type, or says what was expected."""
    options = get_args(kind) if isinstance(kind, UnionType) or get_origin(kind) else (kind,)
    for option in options:
        if option is type(None):
            if value is None:
                return None
        elif issubclass(option, StrEnum):
            if value in [member.value for member in option]:
                return option(value)
        elif option is float and type(value) in (int, float):
            try:
                return float(value)
            except OverflowError:
                break
        elif type(value) is option:
            return value
    enum = next((o for o in options if isinstance(o, type) and issubclass(o, StrEnum)), None)
    names = [o.__name__ for o in options if o is not type(None)]
    expected = _listed([m.value for m in enum]) if enum else " or ".join(names)
    raise RecipeError(f"{where}: expected {expected}, found {value!r}.")


def _check_ranges(recipe: Recipe, origin: str) -> None:
    """Raises ``RecipeError`` for a value that no training can use."""
    check_joined(recipe.adapter.method, AdapterKind, origin, word="method")
    check_joined(recipe.adapter.targets, Target, origin, word="target")
    if (layers := recipe.adapter.layers) is not None and not _LAYERS.fullmatch(layers):
        raise RecipeError(
            f"{origin}: adapter.layers: expected numbers and ranges such as 6-11 or 0,2-4, "
            f"found {layers!r}."
        )
    if (fold := recipe.data.fold) is not None and not (
        _FOLD.fullmatch(fold) and recipe.data.fold_of[0] <= recipe.data.fold_of[1] >= 2
    ):
        raise RecipeError(f"{origin}: data.fold: expected a part such as 2/5, found {fold!r}.")
    model, data, adapter, training = recipe.model, recipe.data, recipe.adapter, recipe.training
    rate = training.learning_rate
    rules: list[tuple[str, float | int | None, bool, str]] = [
        ("model.max_length", model.max_length, model.max_length >= 3, "at least 3 tokens"),
        *(
            (f"data.{name}", value, 0 < value < 1, "between 0 and 1")
            for name, value in (
                ("validation_fraction", data.validation_fraction),
                ("test_fraction", data.test_fraction),
            )
        ),
        ("model.layers", model.layers, model.layers is None or model.layers >= 1, "at least 1"),
        ("adapter.dimension", adapter.dimension, adapter.dimension >= 1, "at least 1"),
        (
            "adapter.reduction_factor",
            adapter.reduction_factor,
            adapter.reduction_factor is None or adapter.reduction_factor > 0,
            "above 0",
        ),
        ("adapter.rank", adapter.rank, adapter.rank >= 1, "at least 1"),
        ("adapter.scaling", adapter.scaling, True, "a number"),
        ("adapter.dropout", adapter.dropout, 0 <= adapter.dropout < 1, "from 0 to below 1"),
        (
            "training.epochs",
            training.epochs,
            training.epochs is None or training.epochs >= 1,
            "at least 1",
        ),
        ("training.batch_size", training.batch_size, training.batch_size >= 1, "at least 1"),
        ("training.learning_rate", rate, rate is None or rate > 0, "above 0"),
        ("training.head_rate", training.head_rate, training.head_rate > 0, "above 0"),
        ("training.weight_decay", training.weight_decay, training.weight_decay >= 0, "at least 0"),
        ("training.warmup", training.warmup, 0 <= training.warmup <= 1, "from 0 to 1"),
        (
            "training.label_smoothing",
            training.label_smoothing,
            0 <= training.label_smoothing < 1,
            "from 0 to below 1",
        ),
        (
            "training.patience",
            training.patience,
            training.patience is None or training.patience >= 1,
            "at least 1",
        ),
        (
            "training.micro_batch_tokens",
            training.micro_batch_tokens,
            training.micro_batch_tokens is None or training.micro_batch_tokens >= 1,
            "at least 1",
        ),
        ("training.memory_mb", training.memory_mb, training.memory_mb >= 0, "at least 0"),
        (
            "training.checkpoint_steps",
            training.checkpoint_steps,
            training.checkpoint_steps >= 0,
            "at least 0",
        ),
        ("training.clip_norm", training.clip_norm, training.clip_norm > 0, "above 0"),
        ("training.seed", training.seed, 0 <= training.seed < 2**32, "from 0 to 2^32 - 1"),
        ("data.split_seed", data.split_seed, 0 <= data.split_seed < 2**32, "from 0 to 2^32 - 1"),
        (
            "training.threads",
            training.threads,
            training.threads is None or training.threads >= 1,
            "at least 1",
        ),
    ]
    for name, value, holds, expected in rules:
        if value is not None and not math.isfinite(value):
            raise RecipeError(f"{origin}: {name}: expected a finite number, found {value}.")
        if not holds:
            raise RecipeError(f"{origin}: {name}: expected {expected}, found {value}.")
    if training.quant_aware and (training.compile or training.precision is Precision.BF16):
        raise RecipeError(
            f"{origin}: training.quant_aware: expected compile = false and precision = fp32 or "
            f"auto, found compile = {str(training.compile).lower()} and precision = "
            f"{training.precision}: bfloat16 is as coarse as int8's rounding, and a simulation is "
            "not compiled.",
            hint="Leave --compile and --precision out.",
        )


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
            f"{origin}: unknown {word} {unknown[0]!r}: expected one of {_listed(known)}.",
            hint=f"Several are joined by +, as in {'+'.join(list(known)[::2][:2])}.",
        )
    if len(set(names)) < len(names):
        raise RecipeError(f"{origin}: {word} {joined!r} names one twice.")


def _listed(names: Any) -> str:
    return ", ".join(str(name) for name in names)
