"""Writes the options of every command into docs/reference/commands.md, from the command line.

python scripts/command_reference.py
"""

import re
from collections.abc import Iterator
from dataclasses import fields
from itertools import groupby
from pathlib import Path

import typer
from typer.core import TyperArgument, TyperCommand, TyperOption

from edgeadapt.cli.app import app
from edgeadapt.recipe import Recipe
from edgeadapt.recipe.fields import settings_of

PAGE = Path(__file__).resolve().parents[1] / "docs" / "reference" / "commands.md"
HEADING = "## Options"
"""What follows it on the page is written here."""
GENERAL = "Options"
"""The panel of what has none of its own, as --help calls it."""
_COUNTS = {
    (True, True): "one",
    (True, False): "one or more",
    (False, True): "one or none",
    (False, False): "any number",
}
"""Whether an argument is required, and is one -> how many it takes."""
_NAME = re.compile(r"(?<![\w`/-])(--?[a-z][a-z-]*)")
"""An option in a sentence: two dashes outside of code become one."""


def main() -> None:
    """Rewrites the page."""
    PAGE.write_text(with_options(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


def with_options(page: str) -> str:
    """Returns the page with every command's arguments and options in place of what it has."""
    head, heading, _ = page.partition(f"{HEADING}\n")
    assert heading, HEADING
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    return f"{head}{heading}\n" + "\n".join(_command(name, it) for name, it in commands.items())


def _command(name: str, command: TyperCommand) -> str:
    parts = [f"### `edgeadapt {name}`\n\n{_sentence(command.help or '')}\n"]
    shown = [parameter for parameter in command.params if not parameter.hidden]
    if arguments := [it for it in shown if isinstance(it, TyperArgument)]:
        rows = map(_argument, arguments)
        parts.append(_table(("argument", "how many", "default", "what it is"), rows))
    options = [it for it in shown if isinstance(it, TyperOption)]
    # As --help does: what has no panel first, then the panels in the order of their first option.
    panels = list(dict.fromkeys([GENERAL, *map(_panel, options)]))
    for panel, found in groupby(sorted(options, key=lambda it: panels.index(_panel(it))), _panel):
        rows = map(_option, found)
        table = _table(("option", "value", "default", "what it is"), rows)
        # Not a heading: a panel of one name in most commands would give many headings that name.
        parts.append(table if panel == GENERAL else f"**{panel}**\n\n{table}")
    return "\n".join(parts)


def _table(head: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> str:
    lines = [f"| {' | '.join(cells)} |\n" for cells in (head, *rows)]
    return "".join([lines[0], f"|{'---|' * len(head)}\n", *lines[1:]])


def _argument(argument: TyperArgument) -> tuple[str, ...]:
    name = (argument.metavar or argument.name or "").strip("[]. ")
    count = _COUNTS[argument.required, argument.nargs == 1]
    return _code(name), count, _default(argument), _sentence(argument.help or "")


def _option(option: TyperOption) -> tuple[str, ...]:
    names = ", ".join(map(_code, [*option.opts, *option.secondary_opts]))
    return names, _value(option), _default(option), _sentence(option.help or "")


def _value(option: TyperOption) -> str:
    if option.is_flag:
        return ""
    choices = getattr(option.type, "choices", ())
    return _code(option.metavar or "|".join(choices) or option.type.name.upper())


def _panel(option: TyperOption) -> str:
    return option.rich_help_panel or GENERAL


def _default(parameter: TyperArgument | TyperOption) -> str:
    """Its default, the recipe's where it sets a key of that; a switch is off where it is left out.

    Several commands give an option of the recipe a help, and a default, of their own.
    """
    if isinstance(parameter, TyperOption) and parameter.required:
        return "required"
    value = parameter.default
    if value is None and isinstance(parameter, TyperOption):
        value = _RECIPE.get((parameter.opts[0], parameter.help or ""))
    if callable(value):
        value = value()
    return "" if value is None or isinstance(value, bool) else _code(str(value))


_RECIPE = {
    (about.option, about.help): about.default
    for table in fields(Recipe)
    for about in settings_of(type(getattr(Recipe(), table.name))).values()
    if about.flag
}
"""Option and help -> default of the key that it sets."""


def _sentence(text: str) -> str:
    return _NAME.sub(r"`\1`", " ".join(text.split())).replace("|", "&#124;")


def _code(text: str) -> str:
    return f"`{text}`".replace("|", "\\|")


if __name__ == "__main__":
    main()
