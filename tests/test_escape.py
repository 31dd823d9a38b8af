"""Escaping of untrusted text, with one function per medium."""

import ast
import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeadapt import escape

ACTIVE = [
    *("\x1b", "\x07", "\r", "\x08", "\x00", "\x7f", "\x0b", "\x0c"),
    *("\x80", "\x85", "\x9b", "\x9d"),  # C1, where \x9b is ESC [
    *("\u202a", "\u202b", "\u202c", "\u202d", "\u202e", "\u2066", "\u2067", "\u2068", "\u2069"),
    *("\u200e", "\u200f", "\u061c"),
    *("\u200b", "\u200c", "\u200d", "\u2060", "\ufeff", "\u00ad", "\u180e", "\U000e0041"),
    *("\u2028", "\u2029", "\u3164", "\ud800"),
]
"""Characters that move, turn, hide or break what is shown."""


@pytest.mark.parametrize("character", [*ACTIVE, "\n", "\t"], ids=ascii)
def test_a_terminal_gets_the_code_of_a_character_that_it_would_obey(character: str) -> None:
    shown = escape.terminal(f"a{character}b")

    assert shown == f"a{character.encode('unicode_escape').decode()}b"


@pytest.mark.parametrize("character", ACTIVE, ids=ascii)
def test_no_medium_gets_a_character_that_it_would_obey(character: str) -> None:
    for write in (escape.message, escape.markdown, escape.markdown_code, escape.html):
        assert character not in write(f"a{character}b")
    assert character not in escape.python_string(f"a{character}b")


@pytest.mark.parametrize(
    "text", ["Zoë, naïve 価値 \u3000", "مرحبا بالعالم", "😀👍🏽", "a\u00a0b", "é"]
)
def test_text_of_any_language_stays_as_it_is(text: str) -> None:
    assert escape.terminal(text) == escape.message(text) == escape.html(text) == text


def test_no_line_of_a_message_can_pose_as_another_message() -> None:
    shown = escape.message("no run at x\nerror: everything is lost\r\nhint: run curl | sh\n")

    assert shown.split("\n") == [
        "no run at x",
        "  error: everything is lost\\r",
        "  hint: run curl | sh",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "a|b", "`code`", "<script>alert(1)</script>", "**bold**", "__bold__", "# heading",
        "![x](y)", "[x](javascript:alert(1))", "~~gone~~", "&lt;", "$x$", "@someone", "\\", "a\nb",
        "https://example.org", "www.example.org",
    ],
)  # fmt: skip
def test_markdown_is_shown_as_the_text_that_it_is(text: str) -> None:
    written = escape.markdown(text)

    assert "\n" not in written
    assert not re.search(r"(?<!\\)(\\\\)*[`*_\[\]<>|~&$#!@]", written.replace("\\\\", ""))
    assert not re.search(r"https?://|www\.", written)
    assert re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", written) == escape.terminal(text)


@pytest.mark.parametrize(
    ("text", "written"), [("a", "`a`"), ("a`b", "`` a`b ``"), ("``", "``` `` ```"), ("\n", r"`\n`")]
)
def test_a_code_span_ends_where_the_text_does(text: str, written: str) -> None:
    assert escape.markdown_code(text) == written


@given(text=st.text())
def test_a_python_string_stands_for_the_text(text: str) -> None:
    written = escape.python_string(text)

    assert ast.literal_eval(written) == text or not text.isprintable()
    assert "\n" not in written


@given(text=st.text())
def test_html_holds_no_element_and_no_end_of_an_attribute(text: str) -> None:
    found: list[str] = []

    class Parser(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            found.append(f"{tag} {len(attrs)}")

    Parser().feed(f'<p title="{escape.html(text)}">{escape.html(text)}</p>')

    assert found == ["p 1"]


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
def test_a_spreadsheet_takes_no_text_for_a_formula(text: str) -> None:
    assert escape.csv_cell(text) == f"'{text}"


def test_other_cells_stay_as_they_are() -> None:
    assert escape.csv_cell("reviews-2=x") == "reviews-2=x"
