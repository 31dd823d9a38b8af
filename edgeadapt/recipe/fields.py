"""Fields of the recipe's tables, with the metadata for their option, check and reference page.

A field is declared once: with ``option`` where the command line has an option for it, otherwise
with ``setting``.
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
    """A condition on a value, in addition to its type."""

    @property
    def words(self) -> str:
        """What is expected, as in "at least 1"."""

    def check(self, value: Any, *, origin: str, name: str) -> None:
        """Checks a value.

        Args:
            value: The value, never ``None``.
            origin: The file or option that it comes from, for messages.
            name: Table and key, for messages; empty where ``origin`` is specific enough.

        Raises:
            RecipeError: The condition does not hold.
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
    """One of some members of an enum."""

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
    """Members of an enum joined by ``+``, or a word such as ``all``."""

    kinds: type[StrEnum]
    word: str
    """Name for a member in messages, such as ``scheme``."""
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
    """Returns the rule for numbers not below ``least``."""
    return Range(f"at least {least:g} {unit}".rstrip(), lambda value: value >= least)


def above(bound: float) -> Range:
    """Returns the rule for numbers above ``bound``."""
    return Range(f"above {bound:g}", lambda value: value > bound)


def between(least: float, most: float) -> Range:
    """Returns the rule for numbers from ``least`` to ``most``, inclusive."""
    return Range(f"from {least:g} to {most:g}", lambda value: least <= value <= most)


SEEDS = Range("from 0 to 2^32 - 1", lambda value: 0 <= value < 2**32)
"""Valid seeds: the range that both PyTorch and NumPy accept."""


FRACTION = Range("from 0 to below 1", lambda value: 0 <= value < 1)
"""Valid probabilities, where 1 would make no sense, such as dropout."""


def _unexpected(words: str, value: object, origin: str, name: str) -> RecipeError:
    where = f"{origin}: {name}" if name else origin
    shown = str(value) if isinstance(value, Enum) else repr(value)
    return RecipeError(f"{where}: expected {words}, found {shown}.")


@dataclass(frozen=True)
class Setting:
    """A field of one of the recipe's tables, with its metadata."""

    name: str
    kind: Any
    """Its type."""
    default: Any
    help: str
    """Text for the option's help and the reference page."""
    details: str = ""
    """Additional text for the reference page."""
    rule: Rule | None = None
    flag: str | None = None
    """The option, after a slash also the one that sets the opposite; ``None`` without an option."""
    metavar: str | None = None
    """Placeholder for the value in the help; by default the choices or the type."""
    panel: str | None = None
    """Heading in the help; by default that of the table."""
    turns_off: bool = False
    """Whether the option is a switch that sets the field to false."""

    @property
    def option(self) -> str:
        """The option's name, for messages."""
        assert self.flag is not None
        return self.flag.partition("/")[0]

    @property
    def kinds(self) -> tuple[Any, ...]:
        """The types that the value may have, without ``None``."""
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
        default: Default value.
        help: Text for the option's help and the reference page; ``{default}`` is replaced.
        details: Additional text for the reference page.
        rule: A condition on the value.
        flag: The option; by default the name of the field with dashes.
        metavar: Placeholder for the value in the help.
        panel: Heading in the help; by default that of the table.
        turns_off: Whether the option is a switch that sets the field to false.
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
    """Declares a field that can be set in recipes only.

    Args:
        default: Default value.
        help: Text for the reference page.
        rule: A condition on the value.
    """
    return field(default=default, metadata={"help": help, "rule": rule})


@cache
def settings_of(table: type) -> Mapping[str, Setting]:
    """Returns the fields of a table (a dataclass) by name."""
    settings = {}
    for item in fields(table):
        assert item.default is not MISSING
        about = dict(item.metadata)
        if about.get("flag") == "":
            about["flag"] = "--" + item.name.replace("_", "-")
        settings[item.name] = Setting(item.name, item.type, item.default, **about)
    return MappingProxyType(settings)


def check_value(about: Setting, value: Any, *, origin: str, name: str = "") -> None:
    """Checks a value of the right type: numbers must be finite, and the field's rule must hold.

    Args:
        about: The field.
        value: The value.
        origin: The file or option that it comes from, for messages.
        name: Table and key, for messages; empty where ``origin`` is specific enough.

    Raises:
        RecipeError: The value is not valid for the field.
    """
    if value is None:
        return
    if isinstance(value, float) and not math.isfinite(value):
        raise _unexpected("a finite number", value, origin, name)
    if about.rule:
        about.rule.check(value, origin=origin, name=name)


def _shown(default: object) -> str:
    return f"{default:g}" if isinstance(default, float) else str(default)
