"""Writes the keys of recipes into docs/reference/recipes.md, from the fields that declare them.

python scripts/recipe_reference.py
"""

import re
from dataclasses import fields
from enum import StrEnum
from pathlib import Path

from edgeadapt.recipe import Recipe
from edgeadapt.recipe.fields import Choice, Setting, settings_of

PAGE = Path(__file__).resolve().parents[1] / "docs" / "reference" / "recipes.md"
HEADING = "## Keys"
"""What follows it on the page is written here."""
TABLES = {
    "model": "The backbone.",
    "data": "The labelled examples.",
    "adapter": "What is trained, and its shape.",
    "training": "The optimization.",
    "export": "What `edgeadapt export` makes of the run.",
}
_FLAG = re.compile(r"(?<![\w`-])(--[a-z][a-z-]*)")
"""An option in a sentence: two dashes outside of code become one."""
TYPES = {bool: "true or false", int: "integer", float: "number", str: "string"}


def main() -> None:
    """Rewrites the page."""
    PAGE.write_text(with_keys(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


def with_keys(page: str) -> str:
    """Returns the page with every table's keys in place of those that it has."""
    head, heading, _ = page.partition(f"{HEADING}\n")
    assert heading, HEADING
    tables = [
        f"### `[{table.name}]`\n\n{TABLES[table.name]}\n\n"
        "| key | type | default | option | what it is |\n|---|---|---|---|---|\n"
        + "".join(
            _row(about) for about in settings_of(type(getattr(Recipe(), table.name))).values()
        )
        for table in fields(Recipe)
    ]
    return f"{head}{heading}\n" + "\n".join(tables)


def _row(about: Setting) -> str:
    # The help of a switch that turns something off says the opposite of the key.
    text = about.details if about.turns_off else f"{about.help} {about.details}".strip()
    cells = (
        f"`{about.name}`",
        _expected(about),
        _default(about.default),
        f"`{about.option}`" if about.flag else "",
        _FLAG.sub(r"`\1`", text),
    )
    return f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |\n"


def _expected(about: Setting) -> str:
    if isinstance(about.rule, Choice):
        return ", ".join(about.rule.members)
    kinds = " or ".join(map(_type, about.kinds))
    return f"{kinds}: {about.rule.words}" if about.rule else kinds


def _type(kind: type) -> str:
    return ", ".join(kind) if issubclass(kind, StrEnum) else TYPES[kind]


def _default(value: object) -> str:
    if value is None:
        return ""
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


if __name__ == "__main__":
    main()
