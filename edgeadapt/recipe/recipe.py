"""The recipe: its tables, how they are updated, and the rules across them."""

import math
import re
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Self

from edgeadapt.errors import RecipeError
from edgeadapt.recipe.adapter import AdapterConfig
from edgeadapt.recipe.data import DataConfig
from edgeadapt.recipe.files import (
    BUILTIN,
    builtin_recipes,
    read_tables,
    toml_scalar,
    with_split_seed,
)
from edgeadapt.recipe.kinds import AdapterKind, Precision, Target, check_joined, listed
from edgeadapt.recipe.model import ModelConfig
from edgeadapt.recipe.training import TrainingConfig
from edgeadapt.recipe.tuned import Tuned
from edgeadapt.recipe.values import updated_section

__all__ = ["Recipe"]

_NUMBER = rf"\d{{1,{sys.int_info.default_max_str_digits}}}"  # longer ones Python does not convert
_LAYERS = re.compile(rf"{_NUMBER}(-{_NUMBER})?(,{_NUMBER}(-{_NUMBER})?)*", re.ASCII)

_FOLD = re.compile(r"[1-9]\d{0,3}/[1-9]\d{0,3}", re.ASCII)


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
            return cls.from_dict(read_tables(path), origin=str(path))
        if source not in builtin_recipes():
            raise RecipeError(
                f"Unknown recipe {source!r}: expected a file or one of "
                f"{', '.join(builtin_recipes())}.",
                hint="Write a TOML file and pass its path, or start from `edgeadapt train --help`.",
            )
        return cls.from_dict(read_tables(BUILTIN / f"{source}.toml"), origin=f"recipe {source}")

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
        return cls.from_dict(with_split_seed(tables), origin=origin)

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
                raise RecipeError(f"{origin}: unknown table [{name}]: expected {listed(sections)}.")
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
            sections[name] = updated_section(sections[name], values, f"{origin}: [{name}]")
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
            lines += [f"{key} = {toml_scalar(value)}" for key, value in given.items()]
            lines.append("")
        return "\n".join(lines)


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
