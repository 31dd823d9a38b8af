"""Create command-line options from the fields of the recipe, and collect the given values."""

import functools
import inspect
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, fields
from typing import Annotated, Any

import typer

from edgeadapt.recipe import Recipe
from edgeadapt.recipe.fields import Setting, check_value, settings_of

__all__ = ["Given", "takes"]

Parser = Callable[[str], Any]
Values = dict[str, Any]  # each value is checked, and has the type of its field in the recipe


def _fields_of_recipes() -> Mapping[str, Setting]:
    """Every field, by table and name, as in ``training.epochs``."""
    empty = Recipe()
    return {
        f"{table.name}.{name}": about
        for table in fields(empty)
        for name, about in settings_of(getattr(empty, table.name).__class__).items()
    }


_FIELDS = _fields_of_recipes()


@dataclass(frozen=True)
class Given:
    """The values that the user gave, by table and name, as in ``training.epochs``."""

    values: Values

    @property
    def flags(self) -> tuple[str, ...]:
        """The options that were given, for messages."""
        return tuple(_FIELDS[name].option for name in self.values)

    def of(self, *names: str) -> "Given":
        """Returns only the values of these tables or fields."""
        return Given({name: self.values[name] for name in self.values if _is_in(name, names)})

    def without(self, *names: str) -> "Given":
        """Returns the values without those of these tables or fields."""
        return Given({name: self.values[name] for name in self.values if not _is_in(name, names)})

    def table(self, name: str) -> Values:
        """Returns the values of one table, by field."""
        return self.tables().get(name, {})

    def mapped(self, name: str, function: Callable[[str], str]) -> "Given":
        """Returns a copy with a function applied to one value; an empty result is removed."""
        if name not in self.values:
            return self
        if not self.values[name]:
            return self.without(name)
        return Given({**self.values, name: function(self.values[name])})

    def tables(self) -> dict[str, Values]:
        """Returns nested tables, for ``Recipe.updated``."""
        found: dict[str, Values] = {}
        for path, value in self.values.items():
            table, _, name = path.partition(".")
            found.setdefault(table, {})[name] = value
        return found


def takes(
    *names: str,
    help: Mapping[str, str] | None = None,
    parsers: Mapping[str, Parser] | None = None,
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Gives a command the options of fields of the recipe.

    The parameter ``given`` of the command is replaced by one parameter per field, in this order.
    The command receives the given values, checked, as a ``Given``.

    Args:
        names: Tables, for all of their fields with an option, or single fields: ``training``, or
            ``training.epochs``.
        help: Field -> help text, where it differs for this command.
        parsers: Field -> function that parses the text of the option.
    """
    taken = _taken(names)
    options = {
        _parameter_name(about): _parameter(
            path,
            about,
            help=(help or {}).get(path, about.help),
            parser=(parsers or {}).get(path),
        )
        for path, about in taken.items()
    }

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(command)
        def wrapper(**values: Any) -> None:
            given = {
                path: _checked(about, value)
                for path, about in taken.items()
                if (value := values.pop(_parameter_name(about))) is not None
            }
            command(given=Given(given), **values)

        parameters = [
            parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
            for own in inspect.signature(command).parameters.values()
            for parameter in (options.values() if own.name == "given" else [own])
        ]
        # typer reads both.
        wrapper.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        wrapper.__annotations__ = {each.name: each.annotation for each in parameters}
        return wrapper

    return decorate


def _taken(names: Collection[str]) -> Mapping[str, Setting]:
    """The fields with an option, in the order of the names, which is the order of the help."""
    found = {
        path: about
        for name in names
        for path, about in _FIELDS.items()
        if about.flag and _is_in(path, (name,))
    }
    absent = [name for name in names if not any(_is_in(path, (name,)) for path in found)]
    assert not absent, absent
    return found


def _checked(about: Setting, value: Any) -> Any:
    """Converts the value of an option to that of its field."""
    check_value(about, value, origin=about.option)
    return value != about.turns_off if isinstance(value, bool) else value


def _is_in(path: str, names: Collection[str]) -> bool:
    return path in names or path.partition(".")[0] in names


def _parameter_name(about: Setting) -> str:
    """The name of the parameter, as typer derives it from the first spelling of the option."""
    return about.option.lstrip("-").replace("-", "_")


def _parameter(path: str, about: Setting, *, help: str, parser: Parser | None) -> inspect.Parameter:
    """The parameter for typer's option."""
    # The default is None for all types, so that the value of the recipe is used.
    kind = str if parser else about.kinds[0]
    panel = about.panel or path.partition(".")[0].title()
    made = typer.Option(
        about.flag, metavar=about.metavar, help=help, rich_help_panel=panel, parser=parser
    )
    return inspect.Parameter(
        _parameter_name(about),
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[kind | None, made],
    )
