"""JSON values as dataclasses: errors name the wrong value, valid values are unchanged."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Annotated, Any, Literal, NotRequired, TypedDict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeadapt.errors import DataError, EdgeAdaptError, LayoutError
from edgeadapt.typed import Check, Count, Names, from_json


class Colour(StrEnum):
    RED = "red"
    GREEN = "green"


@dataclass(frozen=True)
class Size:
    width: Count
    height: Count = 1

    def __post_init__(self) -> None:
        if self.width < self.height:
            raise ValueError(f"a box of width {self.width} stands on its side")


class Known(TypedDict):
    id: str
    commit: NotRequired[str | None]


@dataclass(frozen=True)
class Box:
    names: Names
    size: Size
    colour: Colour
    share: float
    full: bool = False
    note: str | None = None
    corners: tuple[float, float] = (0.0, 0.0)
    sizes: Mapping[str, Size] = field(default_factory=dict)
    rows: Sequence[Sequence[int | None]] = field(default_factory=list)
    mode: Literal["a", "b", 3] = "a"
    origin: Annotated[Mapping[str, Any], Known] | None = None
    odd: Annotated[int, Check("an odd number", lambda n: n % 2 == 1)] = 1
    either: int | str | bool = 0
    rest: Any = None


GOOD: dict[str, Any] = {
    "names": ["x", "y"],
    "size": {"width": 3},
    "colour": "green",
    "share": 1,
    "sizes": {"a": {"width": 9, "height": 2}},
    "rows": [[1, None], []],
    "origin": {"id": "somewhere", "more": [1]},
    "rest": {"any": ["thing"]},
}
HALF = "\ud800"

WRONG: list[tuple[str, object, str]] = [
    ("names", None, "names: expected a list, found null"),
    ("names", "xy", "names: expected a list, found 'xy'"),
    ("names", [], "names: expected at least one name, all different, found a list of 0"),
    ("names", ["x", "x"], "names: expected at least one name, all different"),
    ("names", ["x", 3], "names[1]: expected a string, found 3"),
    ("names", ["x", HALF], r"names[1]: expected a string of characters, found '\ud800'"),
    ("names", {"x": 1}, "names: expected a list, found an object"),
    ("size", [3], "size: expected an object, found a list of 1"),
    ("size", {}, "size: the key 'width' is missing"),
    ("size", {"width": 3, "depth": 1}, "size: unknown key 'depth': expected width, height"),
    ("size", {"width": 2.5}, "size.width: expected a whole number, found 2.5"),
    ("size", {"width": 2.0}, "size.width: expected a whole number, found 2.0"),
    ("size", {"width": True}, "size.width: expected a whole number, found true"),
    ("size", {"width": "2"}, "size.width: expected a whole number, found '2'"),
    ("size", {"width": -1}, "size.width: expected a whole number from 0, found -1"),
    ("size", {"width": 2**63}, "size.width: expected a whole number of at most 64 bits"),
    ("size", {"width": 1, "height": 2}, "size: a box of width 1 stands on its side"),
    ("colour", "blue", "colour: expected one of red, green, found 'blue'"),
    ("colour", ["red"], "colour: expected one of red, green, found a list of 1"),
    ("colour", None, "colour: expected one of red, green, found null"),
    ("share", "1.0", "share: expected a number, found '1.0'"),
    ("share", True, "share: expected a number, found true"),
    ("share", 10**400, "share: expected a number, found a larger one"),
    ("share", float("nan"), "share: expected a finite number, found nan"),
    ("share", float("inf"), "share: expected a finite number, found inf"),
    ("full", 1, "full: expected true or false, found 1"),
    ("note", 1, "note: expected a string, found 1"),
    ("corners", [1], "corners: expected a list of 2, found a list of 1"),
    ("corners", [1, "x"], "corners[1]: expected a number, found 'x'"),
    ("sizes", [], "sizes: expected an object, found a list of 0"),
    ("sizes", {"a": {"width": None}}, "sizes.a.width: expected a whole number, found null"),
    ("sizes", {"\x1b[0m": 1}, r"sizes.'\x1b[0m': expected an object, found 1"),
    ("sizes", {HALF: 1}, r"sizes: expected keys of characters, found '\ud800'"),
    ("rows", [[1], 2], "rows[1]: expected a list, found 2"),
    ("rows", [[1, "x"]], "rows[0][1]: expected a whole number, found 'x'"),
    ("mode", "c", "mode: expected one of a, b, 3, found 'c'"),
    ("mode", 3.0, "mode: expected one of a, b, 3, found 3.0"),
    ("origin", 7, "origin: expected an object, found 7"),
    ("origin", {}, "origin: the key 'id' is missing"),
    ("origin", {"id": 7}, "origin.id: expected a string, found 7"),
    ("origin", {"id": "x", "commit": 7}, "origin.commit: expected a string, found 7"),
    ("odd", 2, "odd: expected an odd number, found 2"),
    ("either", None, "either: expected a whole number or a string or true or false, found null"),
    ("surprise", 1, "unknown key 'surprise': expected names, size"),
]


@pytest.mark.parametrize(("key", "value", "expected"), WRONG)
def test_what_is_wrong_is_named_with_its_place(key: str, value: object, expected: str) -> None:
    with pytest.raises(DataError) as caught:
        from_json(Box, GOOD | {key: value}, where="box.json", refusal=DataError)

    assert caught.value.message.startswith("box.json: ")
    assert expected in caught.value.message
    assert caught.value.message.isprintable()


def test_what_is_right_becomes_the_dataclass() -> None:
    assert from_json(Box, GOOD, where="box.json") == Box(
        names=("x", "y"),
        size=Size(3),
        colour=Colour.GREEN,
        share=1.0,
        sizes={"a": Size(9, 2)},
        rows=[[1, None], []],
        origin={"id": "somewhere", "more": [1]},
        rest={"any": ["thing"]},
    )


def test_a_whole_number_that_stands_for_a_float_is_one() -> None:
    assert type(from_json(Box, GOOD, where="x").share) is float


@pytest.mark.parametrize("value", [5, "five", True])
def test_a_union_takes_each_of_its_types_as_it_is(value: object) -> None:
    found = from_json(Box, GOOD | {"either": value}, where="x").either

    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize("key", ["names", "size", "colour", "share"])
def test_a_key_without_a_default_may_not_be_missing(key: str) -> None:
    left = {name: value for name, value in GOOD.items() if name != key}

    with pytest.raises(LayoutError, match=f"^box: the key '{key}' is missing"):
        from_json(Box, left, where="box")


@pytest.mark.parametrize("value", [None, [], "box", 3, True])
def test_only_an_object_is_a_dataclass(value: object) -> None:
    with pytest.raises(LayoutError, match=r"^box: expected an object, found"):
        from_json(Box, value, where="box")


def test_a_long_value_is_shown_in_part() -> None:
    with pytest.raises(LayoutError) as caught:
        from_json(Box, GOOD | {"colour": "x" * 10_000}, where="box")
    assert len(caught.value.message) < 200


def test_a_type_that_is_not_known_is_a_mistake_in_the_program() -> None:
    @dataclass(frozen=True)
    class Odd:
        value: complex

    with pytest.raises(TypeError, match="complex"):
        from_json(Odd, {"value": 1}, where="x")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None)
@given(key=st.sampled_from(sorted(Box.__dataclass_fields__)), value=JSON)
def test_any_value_is_taken_or_refused(key: str, value: object) -> None:
    try:
        found = from_json(Box, GOOD | {key: value}, where="box")
    except EdgeAdaptError as error:
        assert error.message.startswith(f"box: {key}")  # noqa: PT017 - either may happen
    else:
        written = json.dumps(asdict(found))
        again = from_json(Box, json.loads(written), where="again")
        assert json.dumps(asdict(again)) == written
