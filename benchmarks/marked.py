"""Replace the content between markers in a document.

A table is on separate lines between ``<!-- NAME: begin -->`` and ``<!-- NAME: end -->``, a
figure inside a sentence between ``<!-- figure: NAME -->`` and ``<!-- end -->``. Neither of the
figure's markers may begin a line: Markdown ends the paragraph at a line that begins with a comment.
"""

import re
import sys
from collections.abc import Mapping

from common import Make

__all__ = ["figures_in", "recorded", "render"]

_AT_LINE_START = re.compile(r"^\s*<!-- (figure: [\w-]+|end) -->", re.M)
_FIGURE = re.compile(r"(<!-- figure: ([\w-]+) -->)(.*?)(<!-- end -->)", re.S)


def render(
    text: str, tables: Mapping[str, Make], figures: Mapping[str, Make], *, where: str
) -> str:
    """Returns a document with all tables and figures rendered again from the records."""
    for name, make in tables.items():
        begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
        head, found, rest = text.partition(begin)
        _, closed, tail = rest.partition(end)
        if not (found and closed):
            sys.exit(f"{where} lacks the markers of the table {name!r}.")
        text = f"{head}{begin}\n{recorded(make)}\n{end}{tail}"
    if broken := _AT_LINE_START.search(text):
        sys.exit(f"{where}: {broken[0].strip()} begins a line, which ends the paragraph there.")
    if unknown := sorted(figures_in(text) - figures.keys()):
        sys.exit(f"{where}: no such figure: {', '.join(unknown)}.")
    return _FIGURE.sub(lambda at: f"{at[1]}{recorded(figures[at[2]])}{at[4]}", text)


def figures_in(text: str) -> set[str]:
    """Returns the names of the figures in a document."""
    return {at[2] for at in _FIGURE.finditer(text)}


def recorded(make: Make) -> str:
    """Returns a table or figure, or the words ``no record yet``."""
    try:
        return make()
    except FileNotFoundError:
        return "no record yet"
