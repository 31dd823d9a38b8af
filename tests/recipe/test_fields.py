"""Metadata of recipe fields for options, checks and the reference page."""

from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any

import pytest

from edgeadapt.errors import RecipeError
from edgeadapt.recipe import Recipe
from edgeadapt.recipe.fields import (
    FRACTION,
    SEEDS,
    Choice,
    Joined,
    Rule,
    Setting,
    above,
    at_least,
    between,
    check_value,
    option,
    setting,
    settings_of,
)


class Color(StrEnum):
    RED = "red"
    GREEN = "green"
    BLUE = "blue"


@dataclass(frozen=True)
class Paint:
    coats: int = option(2, "Coats of paint; {default}.", rule=at_least(1), metavar="N")
    thinned: float = option(0.0, "Share of water; {default}.", flag="--water", rule=FRACTION)
    color: Color | None = setting(None, "What it looks like.")


EVERY = [
    (table.name, about)
    for table in fields(Recipe)
    for about in settings_of(type(getattr(Recipe(), table.name))).values()
]


@pytest.mark.parametrize(("table", "about"), EVERY, ids=lambda each: getattr(each, "name", each))
def test_every_field_of_a_recipe_says_what_it_is_in_sentences(table: str, about: Setting) -> None:
    assert about.help.endswith(".")
    assert "{" not in about.help
    assert not about.details or about.details.endswith(".")


@pytest.mark.parametrize(("table", "about"), EVERY, ids=lambda each: getattr(each, "name", each))
def test_the_default_of_every_field_keeps_its_rule(table: str, about: Setting) -> None:
    check_value(about, about.default, origin="default")


def test_a_declared_field_is_a_field_of_the_dataclass() -> None:
    assert Paint() == Paint(coats=2, thinned=0.0, color=None)
    assert Paint.coats == 2


def test_what_a_field_carries_is_found_by_its_name() -> None:
    about = settings_of(Paint)

    assert list(about) == ["coats", "thinned", "color"]
    assert (about["coats"].flag, about["coats"].metavar) == ("--coats", "N")
    assert about["thinned"].flag == "--water"
    assert about["color"].flag is None
    assert about["color"].kinds == (Color,)


def test_the_help_tells_the_default_where_it_is_asked_to() -> None:
    about = settings_of(Paint)

    assert about["coats"].help == "Coats of paint; 2."
    assert about["thinned"].help == "Share of water; 0."


def refusal(rule: Rule, value: Any, *, name: str = "paint.coats") -> str:
    with pytest.raises(RecipeError) as caught:
        rule.check(value, origin="mine.toml", name=name)
    return caught.value.message


@pytest.mark.parametrize(
    ("rule", "inside", "outside", "words"),
    [
        (at_least(1), (1, 2), (0, -1), "at least 1"),
        (at_least(3, "tokens"), (3,), (2,), "at least 3 tokens"),
        (above(0), (1e-300,), (0.0, -1.0), "above 0"),
        (between(0, 1), (0.0, 1.0), (-0.1, 1.1), "from 0 to 1"),
        (FRACTION, (0.0, 0.99), (-0.1, 1.0), "from 0 to below 1"),
        (SEEDS, (0, 2**32 - 1), (-1, 2**32), "from 0 to 2^32 - 1"),
        (Choice((Color.RED, Color.BLUE)), (Color.BLUE,), (Color.GREEN,), "one of red, blue"),
    ],
)
def test_a_rule_says_in_words_what_it_takes(
    rule: Rule, inside: tuple[Any, ...], outside: tuple[Any, ...], words: str
) -> None:
    assert rule.words == words
    for value in inside:
        rule.check(value, origin="mine.toml", name="paint.coats")
    for value in outside:
        assert refusal(rule, value) == f"mine.toml: paint.coats: expected {words}, found {value}."


def test_a_rule_of_joined_names_takes_them_and_the_words_that_stand_for_several() -> None:
    rule = Joined(Color, "color", also=("all",))

    for value in ("red", "red+blue", "all"):
        rule.check(value, origin="mine.toml", name="paint.color")
    assert refusal(rule, "red+all").startswith("mine.toml: unknown color 'all'")
    assert refusal(rule, "red+red") == "mine.toml: color 'red+red' names one twice."


def test_of_an_option_the_flag_alone_is_named() -> None:
    assert refusal(at_least(1), 0, name="") == "mine.toml: expected at least 1, found 0."
