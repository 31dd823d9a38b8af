"""The normal form of labels: spelling and type of a value do not create another label."""

import math
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeadapt.data.label_values import (
    NotALabelError,
    is_missing,
    is_number,
    key_of,
    label_name,
    written_list,
)


@pytest.mark.parametrize(
    ("value", "name"),
    [
        *[(one, "1") for one in (1, 1.0, "1", " 1 ", "1.0", "1.", "1.00", np.int8(1), b"1")],
        *[(one, "1") for one in (np.float32(1), np.array(1), Decimal("1.0"), pa.scalar(1.0))],
        ("01", "01"),
        (-0.0, "0"),
        (True, "True"),
        (np.False_, "False"),
        (pa.scalar("a "), "a"),
        (" a\n", "a"),
        (b"caf\xc3\xa9", "café"),
        (date(2024, 1, 2), "2024-01-02"),
        (datetime(2024, 1, 2, tzinfo=None), "2024-01-02"),  # noqa: DTZ001 - as pandas gives it
        (datetime(2024, 1, 2, tzinfo=UTC), "2024-01-02 00:00:00+00:00"),
        (np.datetime64("2024-01-02"), "2024-01-02"),
        (1.5, "1.5"),
        ("None", "None"),
        ("NA", "NA"),
        ("banana", "banana"),
    ],
)
def test_a_label_has_one_name_however_it_is_typed(value: Any, name: str) -> None:
    assert label_name(value) == name


@pytest.mark.parametrize(
    "value",
    [
        None,
        math.nan,
        np.float64("nan"),
        Decimal("nan"),
        pa.scalar(None),
        "",
        " \t",
        b"",
        "nan",
        "NaN",
        " nan ",
        "<NA>",
        "NaT",
        np.datetime64("NaT"),
    ],
)
def test_what_stands_for_nothing_is_a_missing_label(value: Any) -> None:
    assert label_name(value) is None
    assert is_missing(value)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ({"name": "a"}, "an object"),
        ([1], "a list"),
        (("a",), "a list"),
        ({"a"}, "a list"),
        (np.array([0, 1]), "a list"),
        (pa.scalar(["a"]), "a list"),
        (math.inf, "an infinite number"),
        (Decimal("-inf"), "an infinite number"),
        (10**200, "an integer of more than 100 digits"),
        (1e300, "an integer of more than 100 digits"),
        (Decimal("1e999999"), "an integer of more than 100 digits"),
        ("half \ud83d", "half a character"),
        (b"\xff", "bytes that are not UTF-8"),
        (1j, "a complex"),
        (object, "a type"),
    ],
    ids=str,
)
def test_what_is_no_name_is_refused_and_said(value: Any, kind: str) -> None:
    with pytest.raises(NotALabelError) as caught:
        label_name(value)

    assert str(caught.value) == kind
    assert not is_missing(value)


@given(st.integers(-(10**50), 10**50))
def test_an_integer_is_the_same_label_in_every_type_and_spelling(number: int) -> None:
    spelled = {label_name(value) for value in (number, str(number), f"{number}.0", Decimal(number))}
    if abs(number) < 2**53:
        spelled.add(label_name(float(number)))

    assert spelled == {str(number)}
    sign, digits = ("-", str(number)[1:]) if number < 0 else ("", str(number))
    assert key_of(f"{sign}00{digits}") == key_of(f"{number}.00") == key_of(str(number))


@given(st.one_of(st.text(), st.integers(), st.booleans(), st.floats(-1e9, 1e9), st.dates()))
def test_the_name_of_a_name_is_that_name(value: Any) -> None:
    try:
        name = label_name(value)
    except NotALabelError:
        return

    assert name is None or label_name(name) == name
    assert name is None or key_of(key_of(name)) == key_of(name)


@pytest.mark.parametrize(
    "spelled",
    [
        ("1", "01", "+1", "1.0"),
        ("True", "true", "TRUE"),
        ("é", "e\u0301"),
        ("0", "-0"),
        ("pos", "pos\u200b"),
        ("1", "\uff11"),
        ("ab", "\uff41b"),
    ],
)
def test_spellings_of_one_label_have_one_key(spelled: tuple[str, ...]) -> None:
    assert len(set(map(key_of, spelled))) == 1


@pytest.mark.parametrize(
    "spelled", [("a", "A"), ("1", "-1"), ("1", "1.5"), ("x2", "x²"), ("1", "a")]
)
def test_different_labels_have_different_keys(spelled: tuple[str, ...]) -> None:
    assert len(set(map(key_of, spelled))) == len(spelled)


@pytest.mark.parametrize("name", ["1", "-2", "1.5", "2,5", ".5", "1e-3", "+3"])
def test_numbers_are_told(name: str) -> None:
    assert is_number(name)


@pytest.mark.parametrize("name", ["", "a", "1a", "1.5.2", "v1", "-", ".", "2024-01-01"])
def test_names_are_no_numbers(name: str) -> None:
    assert not is_number(name)


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("['rain', 'wind']", ["rain", "wind"]),
        ('["rain"]', ["rain"]),
        ("[ 'it\\'s', \"it's\" ]", ["it's", "it's"]),
        ('["caf\\u00e9"]', ["café"]),
        ("('rain', 'wind')", ["rain", "wind"]),
        ("('rain',)", ["rain"]),
        ("[0, 1, 1]", [0, 1, 1]),
        ("[0.0, 1.]", [0.0, 1.0]),
        ("[True, false]", [True, False]),
        ("['rain', None]", ["rain", None]),
        ("['rain, or [not]']", ["rain, or [not]"]),
        ("[]", []),
    ],
)
def test_a_list_that_is_written_out_is_read(text: str, items: list[Any]) -> None:
    assert written_list(text) == items


@pytest.mark.parametrize(
    "text", ["rain", "[OTHER]", "[PAD]", "(none)", "(1)", "{x}", "rain, wind", ""]
)
def test_a_name_in_brackets_is_no_list(text: str) -> None:
    assert written_list(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "[0 1 1]",
        "['a' 'b']",
        "[['a'], ['b']]",
        "{'a': 1}",
        '{"a": true}',
        "{'a', 'b'}",
        "[(0, 1)]",
        "array([0, 1])",
        "tensor([1])",
        "['a\\nb']",
        "[0. 1.]",
    ],
)
def test_what_is_written_out_otherwise_is_refused(text: str) -> None:
    with pytest.raises(NotALabelError):
        written_list(text)
