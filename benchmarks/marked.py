"""Writing documents from records: what stands between two markers is made anew.

A table stands on lines of its own between ``<!-- NAME: begin -->`` and ``<!-- NAME: end -->``, a
figure inside a sentence between ``<!-- figure: NAME -->`` and ``<!-- end -->``. Neither of these
two may begin a line: Markdown ends the paragraph at a line that begins with a comment.
"""

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from statistics import fmean, stdev
from typing import Any

from common import load

__all__ = ["Make", "fastest", "figures_in", "recorded", "render", "rows_of", "spread", "table"]

Make = Callable[[], str]
"""Makes a table or a figure from records."""

_AT_LINE_START = re.compile(r"^\s*<!-- (figure: [\w-]+|end) -->", re.M)
_FIGURE = re.compile(r"(<!-- figure: ([\w-]+) -->)(.*?)(<!-- end -->)", re.S)


def render(
    text: str, tables: Mapping[str, Make], figures: Mapping[str, Make], *, where: str
) -> str:
    """Returns a document with every table and every figure between its markers made anew."""
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
    """Returns the names of the figures that stand in a document."""
    return {at[2] for at in _FIGURE.finditer(text)}


def recorded(make: Make) -> str:
    """Returns a table or figure, or says that it has no record yet."""
    try:
        return make()
    except FileNotFoundError:
        return "no record yet"


def rows_of(name: str, **wanted: Any) -> list[dict[str, Any]]:
    """Returns a record's rows with these values.

    Raises:
        FileNotFoundError: There are none.
    """
    found = [row for row in load(name)["rows"] if wanted.items() <= row.items()]
    if not found:
        raise FileNotFoundError
    return found


def table(headers: Sequence[str], lines: Sequence[Sequence[Any]]) -> str:
    """Returns a Markdown table."""
    head = f"| {' | '.join(headers)} |\n|{'---|' * len(headers)}"
    return "\n".join([head, *(f"| {' | '.join(map(str, line))} |" for line in lines)])


def spread(values: Sequence[float]) -> str:
    """Mean and standard deviation over the seeds."""
    return f"{fmean(values):.2f}" + (f" ± {stdev(values):.2f}" if len(values) > 1 else "")


def fastest(times: Sequence[float], *, part: int = 3) -> float:
    """The mean of the fastest third, or another part: a shared machine only adds time."""
    return fmean(sorted(times)[: max(1, len(times) // part)])
