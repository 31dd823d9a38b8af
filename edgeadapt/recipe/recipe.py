"""The recipe: its tables, how they are updated, and the checks across tables."""

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Self

from edgeadapt.errors import RecipeError
from edgeadapt.recipe.adapter import AdapterConfig
from edgeadapt.recipe.data import DataConfig
from edgeadapt.recipe.export import ExportConfig
from edgeadapt.recipe.fields import check_value, settings_of
from edgeadapt.recipe.files import (
    BUILTIN,
    builtin_recipes,
    read_tables,
    toml_scalar,
    with_split_seed,
)
from edgeadapt.recipe.kinds import Precision, listed
from edgeadapt.recipe.model import ModelConfig
from edgeadapt.recipe.training import TrainingConfig
from edgeadapt.recipe.tuned import Tuned
from edgeadapt.recipe.values import Scalar, updated_section

__all__ = ["Recipe"]


@dataclass(frozen=True)
class Recipe:
    """All settings that determine the result of a training run and of its export."""

    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    adapter: AdapterConfig = field(default_factory=AdapterConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    export: ExportConfig = field(default_factory=ExportConfig)

    @classmethod
    def load(cls, source: str) -> Self:
        """Reads a recipe by name, from a TOML file, a ``run.json`` or a run folder.

        Raises:
            RecipeError: It is none of these, or contains an unknown key or a wrong value.
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
    def from_dict(cls, tables: Mapping[str, object], *, origin: str) -> Self:
        """Builds a recipe from nested tables, checking names, types and ranges.

        Raises:
            RecipeError: A name, type or range is wrong; the message names ``origin``.
        """
        return cls().updated(tables, origin=origin)

    @classmethod
    def from_recorded(cls, tables: Mapping[str, object], *, origin: str) -> Self:
        """Builds a recipe from the tables recorded in a run or an unfinished training.

        Before ``data.split_seed`` existed, ``training.seed`` also seeded the splits. A record
        without the key keeps that meaning, so that its splits can be reproduced.

        Raises:
            RecipeError: A name, type or range is wrong; the message names ``origin``.
        """
        return cls.from_dict(with_split_seed(tables), origin=origin)

    def updated(self, tables: Mapping[str, object], *, origin: str) -> Self:
        """Returns a copy with the given values replaced.

        Values that belong to a replaced value are reset with it: the learning rate with the method
        that it was tuned for, the revision with its model, columns and revision with their data
        set, schemes with their engine.

        Raises:
            RecipeError: A name, type or range is wrong; the message names ``origin``.
        """
        sections = {section.name: getattr(self, section.name) for section in fields(self)}
        given = _tables(tables, sections, origin)
        if given["model"].get("id", self.model.id) != self.model.id:
            sections["model"] = replace(self.model, revision=None)
        if given["data"].get("dataset", self.data.dataset) != self.data.dataset:
            sections["data"] = replace(
                DataConfig(),
                validation_fraction=self.data.validation_fraction,
                test_fraction=self.data.test_fraction,
                split_seed=self.data.split_seed,
            )
        if given["adapter"].get("method", self.adapter.method) != self.adapter.method:
            sections["training"] = replace(self.training, learning_rate=None)
        if given["export"].get("engine", self.export.engine) != self.export.engine:
            sections["export"] = replace(self.export, scheme=None)
        for name, values in given.items():
            sections[name] = updated_section(sections[name], values, f"{origin}: [{name}]")
        recipe = replace(self, **sections)
        _check(recipe, origin)
        return recipe

    def resolved(self) -> Self:
        """Returns a copy in which every default that depends on another value is filled in."""
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

    def to_dict(self) -> dict[str, dict[str, Scalar]]:
        """Returns nested tables; the inverse of ``from_dict``."""
        return asdict(self)

    def to_toml(self) -> str:
        """Returns the recipe as TOML, without values that are ``None``."""
        lines: list[str] = []
        for name, table in self.to_dict().items():
            lines.append(f"[{name}]")
            given = {key: value for key, value in table.items() if value is not None}
            lines += [f"{key} = {toml_scalar(value)}" for key, value in given.items()]
            lines.append("")
        return "\n".join(lines)


def _tables(
    tables: Mapping[str, object], known: Collection[str], origin: str
) -> dict[str, Mapping[str, object]]:
    """Returns all tables; those that are not given are empty.

    Raises:
        RecipeError: One is unknown, or not a table.
    """
    found: dict[str, Mapping[str, object]] = {name: {} for name in known}
    for name, values in tables.items():
        if name not in found:
            raise RecipeError(f"{origin}: unknown table [{name}]: expected {listed(known)}.")
        if not isinstance(values, Mapping):
            raise RecipeError(f"{origin}: [{name}]: expected a table, found {values!r}.")
        found[name] = values
    return found


def _check(recipe: Recipe, origin: str) -> None:
    """Raises ``RecipeError`` for values that training or export cannot use."""
    for table in fields(recipe):
        values = getattr(recipe, table.name)
        for name, about in settings_of(values.__class__).items():
            check_value(about, getattr(values, name), origin=origin, name=f"{table.name}.{name}")
    recipe.export.check_engine(origin)
    training = recipe.training
    if training.quant_aware and (training.compile or training.precision is Precision.BF16):
        raise RecipeError(
            f"{origin}: training.quant_aware: expected compile = false and precision = fp32 or "
            f"auto, found compile = {str(training.compile).lower()} and precision = "
            f"{training.precision}: bfloat16 is as coarse as int8's rounding, and a simulation is "
            "not compiled.",
            hint="Leave --compile and --precision out.",
        )
