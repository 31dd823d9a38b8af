"""Convert values of a recipe file to the types of a table's fields."""

from collections.abc import Mapping
from dataclasses import fields, replace
from enum import StrEnum
from types import UnionType
from typing import Any, get_args, get_origin

from edgeadapt.errors import RecipeError
from edgeadapt.recipe.kinds import listed

__all__ = ["Scalar", "updated_section"]

Scalar = str | int | float | bool | None
"""A value of a recipe, as a JSON type."""


def updated_section(section: Any, values: Mapping[str, object], where: str) -> Any:
    """Returns a table of the recipe (a dataclass) with the given values replaced.

    Raises:
        RecipeError: A key is unknown, or a value has another type.
    """
    by_name = {f.name: f for f in fields(section)}
    for key, value in values.items():
        if key not in by_name:
            raise RecipeError(f"{where} has no key {key!r}: expected one of {listed(by_name)}.")
        section = replace(section, **{key: _typed(value, by_name[key].type, f"{where} {key}")})
    return section


def _typed(value: Any, kind: Any, where: str) -> Any:
    """Returns ``value`` as the field's type; raises ``RecipeError`` if it has another type."""
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
    expected = listed([m.value for m in enum]) if enum else " or ".join(names)
    raise RecipeError(f"{where}: expected {expected}, found {value!r}.")
