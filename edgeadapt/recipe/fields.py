"""Fields of the recipe's tables: each carries what its option, its check and its page take.

A field is declared once, with ``option`` where the command line has it, else with ``setting``.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from enum import Enum, StrEnum
from functools import cache
from types import MappingProxyType, UnionType
from typing import Any, Protocol, get_args

from edgeadapt.errors import RecipeError
from edgeadapt.recipe.kinds import check_joined, listed

__all__ = [
    "FRACTION",
    "SEEDS",
    "Choice",
    "Joined",
    "Range",
    "Rule",
    "Setting",
    "above",
    "at_least",
    "between",
    "check_value",
    "option",
    "setting",
    "settings_of",
]


class Rule(Protocol):
    """What a value must be, beside its type."""

    @property
    def words(self) -> str:
        """What is expected, as in "at least 1"."""

    def check(self, value: Any, *, origin: str, name: str) -> None:
        """Checks a value.

        Args:
            value: It, never ``None``.
            origin: The file or option that it is from, for messages.
            name: Table and key, for messages; empty where the origin says it all.

        Raises:
            RecipeError: It is something else.
        """


@dataclass(frozen=True)
class Range:
    """A value for which a condition holds."""

    words: str
    holds: Callable[[Any], bool]

    def check(self, value: Any, *, origin: str, name: str) -> None:
        """Checks a value, as ``Rule`` says."""
        if not self.holds(value):
            raise _unexpected(self.words, value, origin, name)


@dataclass(frozen=True)
class Choice:
    """Some of an enum's members."""

    members: tuple[StrEnum, ...]

    @property
    def words(self) -> str:
        """What is expected."""
        return f"one of {listed(self.members)}"

    def check(self, value: Any, *, origin: str, name: str) -> None:
        """Checks a value, as ``Rule`` says."""
        if value not in self.members:
            raise _unexpected(self.words, value, origin, name)


@dataclass(frozen=True)
class Joined:
    """Members of an enum that are joined by ``+``, or a word that stands for several."""

    kinds: type[StrEnum]
    word: str
    """What a member is called in messages."""
    also: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """What is expected."""
        return "names joined by +" + "".join(f", or {name}" for name in self.also)

    def check(self, value: Any, *, origin: str, name: str) -> None:
        """Checks a value, as ``Rule`` says."""
        if value not in self.also:
            check_joined(value, self.kinds, origin, word=self.word)


def at_least(least: float, unit: str = "") -> Range:
    """Returns the rule for numbers from ``least`` on."""
    return Range(f"at least {least:g} {unit}".rstrip(), lambda value: value >= least)


def above(bound: float) -> Range:
    """Returns the rule for numbers above ``bound``."""
    return Range(f"above {bound:g}", lambda value: value > bound)


def between(least: float, most: float) -> Range:
    """Returns the rule for numbers from ``least`` to ``most``, both of them allowed."""
    return Range(f"from {least:g} to {most:g}", lambda value: least <= value <= most)


SEEDS = Range("from 0 to 2^32 - 1", lambda value: 0 <= value < 2**32)
"""What seeds may be: PyTorch and NumPy take these."""


FRACTION = Range("from 0 to below 1", lambda value: 0 <= value < 1)
"""What probabilities may be that 1 makes no sense of."""


def _unexpected(words: str, value: object, origin: str, name: str) -> RecipeError:
    where = f"{origin}: {name}" if name else origin
    found = str(value) if isinstance(value, Enum) else repr(value)
    return RecipeError(f"{where}: expected {words}, found {found}.")


@dataclass(frozen=True)
class Setting:
    """A field of one of the recipe's tables, and all that is known of it."""

    name: str
    kind: Any
    """Its type."""
    default: Any
    help: str
    """What the option's help and the reference say."""
    details: str = ""
    """What the reference says beside it."""
    rule: Rule | None = None
    flag: str | None = None
    """The option, and after a slash that which sets the opposite; ``None`` where the command
    line has none."""
    metavar: str | None = None
    """What stands for the value in the help; the choices or the type where none is given."""
    panel: str | None = None
    """Heading in the help; the table's where none is given."""
    turns_off: bool = False
    """Whether the option, a switch, sets false."""

    @property
    def option(self) -> str:
        """The option's name, for messages."""
        assert self.flag is not None
        return self.flag.partition("/")[0]

    @property
    def kinds(self) -> tuple[Any, ...]:
        """The types that its value may have, ``None`` left out."""
        given = get_args(self.kind) if isinstance(self.kind, UnionType) else (self.kind,)
        return tuple(kind for kind in given if kind is not type(None))


def option(
    default: Any,
    help: str,
    *,
    details: str = "",
    rule: Rule | None = None,
    flag: str | None = None,
    metavar: str | None = None,
    panel: str | None = None,
    turns_off: bool = False,
) -> Any:
    """Declares a field that the command line has an option for.

    Args:
        default: Its value where none is given.
        help: What it is, for the option's help and the reference; ``{default}`` stands for that.
        details: What the reference says beside it.
        rule: What a value must be.
        flag: The option; the field's name with dashes where none is given.
        metavar: What stands for the value in the help.
        panel: Heading in the help; the table's where none is given.
        turns_off: Whether the option, a switch, sets false.
    """
    about = {
        "help": help.replace("{default}", _shown(default)),
        "details": details,
        "rule": rule,
        "flag": flag or "",
        "metavar": metavar,
        "panel": panel,
        "turns_off": turns_off,
    }
    return field(default=default, metadata=about)


def setting(default: Any, help: str, *, rule: Rule | None = None) -> Any:
    """Declares a field that recipes alone have.

    Args:
        default: Its value where none is given.
        help: What it is, for the reference.
        rule: What a value must be.
    """
    return field(default=default, metadata={"help": help, "rule": rule})


@cache
def settings_of(table: type) -> Mapping[str, Setting]:
    """Returns the fields of a table, a dataclass, by name."""
    found = {}
    for each in fields(table):
        assert each.default is not MISSING
        about = dict(each.metadata)
        if about.get("flag") == "":
            about["flag"] = "--" + each.name.replace("_", "-")
        found[each.name] = Setting(each.name, each.type, each.default, **about)
    return MappingProxyType(found)


def check_value(about: Setting, value: Any, *, origin: str, name: str = "") -> None:
    """Checks a value of the right type against the field's rule; numbers are finite.

    Args:
        about: The field.
        value: It.
        origin: The file or option that it is from, for messages.
        name: Table and key, for messages; empty where the origin says it all.

    Raises:
        RecipeError: It is not what the field takes.
    """
    if value is None:
        return
    if isinstance(value, float) and not math.isfinite(value):
        raise _unexpected("a finite number", value, origin, name)
    if about.rule:
        about.rule.check(value, origin=origin, name=name)


def _shown(default: object) -> str:
    return f"{default:g}" if isinstance(default, float) else str(default)
