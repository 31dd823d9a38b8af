"""Escape text from users and files for a terminal, Markdown, HTML, Python or CSV.

Labels, names, texts and library messages may contain terminal escape sequences, marks that change
the direction of writing, invisible characters or markup. There is one function per medium. The
code that writes to a medium calls it, so that the code that builds a message does not have to.
"""

import html as _html
import json
import re
import unicodedata

__all__ = ["csv_cell", "html", "markdown", "markdown_code", "message", "python_string", "terminal"]

_ACTIVE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Unicode categories that are shown as a code: control and format characters (bidi marks,
zero-width ones), lone surrogates, separators of lines and paragraphs."""
_INVISIBLE = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0")
"""Characters that Unicode counts as letters or marks although they are invisible."""
_MARKDOWN = re.compile(r"[\\`*_\[\]<>|~&$#!@]|:(?=/)|(?<=www)\.")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def terminal(text: str, *, lines: bool = False) -> str:
    r"""Returns text whose control, format and invisible characters are codes such as ``\x1b``.

    Args:
        text: Any text.
        lines: Keep line breaks and tabs.
    """
    if text.isprintable() and _INVISIBLE.isdisjoint(text):
        return text
    kept = "\n\t" if lines else ""
    return "".join(
        character if character in kept or not _is_active(character) else _code(character)
        for character in text
    )


def message(text: str) -> str:
    """Returns a message for a terminal with all lines but the first indented.

    The indent keeps a line break in embedded text from imitating a separate message.

    Args:
        text: A message in which text from elsewhere may be embedded.
    """
    return terminal(text, lines=True).rstrip("\n").replace("\n", "\n  ")


def markdown(text: str) -> str:
    """Returns text for one line or table cell of Markdown, all its markup and links escaped."""
    return _MARKDOWN.sub(lambda found: f"\\{found[0]}", terminal(text))


def markdown_code(text: str) -> str:
    """Returns a code span of Markdown, fenced by more backticks than the text has in a row."""
    shown = terminal(text)
    fence = "`" * (1 + max(map(len, re.findall("`+", shown)), default=0))
    space = " " if "`" in shown else ""
    return f"{fence}{space}{shown}{space}{fence}"


def python_string(text: str) -> str:
    """Returns a literal of Python that stands for the text, for examples to copy."""
    return terminal(json.dumps(text, ensure_ascii=False))


def html(text: str) -> str:
    """Returns text for an element or attribute of HTML; line breaks stay."""
    return _html.escape(terminal(text, lines=True))


def csv_cell(text: str) -> str:
    """Returns text for a cell of CSV that a spreadsheet takes for no formula.

    What begins like a formula gets an apostrophe in front, as OWASP advises.
    """
    return f"'{text}" if text.startswith(_FORMULA) else text


def _is_active(character: str) -> bool:
    return unicodedata.category(character) in _ACTIVE or character in _INVISIBLE


def _code(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
