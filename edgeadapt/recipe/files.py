"""Read recipe files, find built-in recipes, and write TOML."""

import json
from collections.abc import Mapping
from pathlib import Path

from edgeadapt.errors import RecipeError
from edgeadapt.parsing import MANIFEST_BYTES, RECIPE_BYTES, parse_json, parse_toml, read_bounded

__all__ = ["BUILTIN", "builtin_recipes", "read_tables", "toml_scalar", "with_split_seed"]

BUILTIN = Path(__file__).parent / "builtin"
"""Folder of the built-in recipes."""


def builtin_recipes() -> tuple[str, ...]:
    """Returns the names of the built-in recipes, sorted."""
    return tuple(sorted(path.stem for path in BUILTIN.glob("*.toml")))


def read_tables(path: Path) -> Mapping[str, object]:
    """Returns the tables of a TOML file or a ``run.json``.

    Raises:
        RecipeError: The file cannot be read, or contains no recipe.
    """
    if path.suffix != ".json":
        content = read_bounded(path, limit=RECIPE_BYTES, refusal=RecipeError)
        return parse_toml(
            content, where=f"{path} cannot be read as a recipe: it", refusal=RecipeError
        )
    content = read_bounded(path, limit=MANIFEST_BYTES, refusal=RecipeError)
    value = parse_json(content, where=f"{path} cannot be read as a recipe: it", refusal=RecipeError)
    if not isinstance(value, dict) or not isinstance(value.get("recipe"), dict):
        raise RecipeError(f'{path} holds no "recipe".', hint="Pass a TOML file or a run.json.")
    return with_split_seed(value["recipe"])


def with_split_seed(recorded: Mapping[str, object]) -> dict[str, object]:
    """Returns recorded tables with ``data.split_seed``, which older records lack."""
    tables = dict(recorded)
    data, training = tables.get("data"), tables.get("training")
    if isinstance(data, Mapping) and isinstance(training, Mapping) and "seed" in training:
        tables["data"] = {"split_seed": training["seed"], **data}
    return tables


def toml_scalar(value: object) -> str:
    """Returns a scalar in TOML syntax.

    JSON syntax is valid TOML, except for surrogate pairs and the delete character.
    """
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
