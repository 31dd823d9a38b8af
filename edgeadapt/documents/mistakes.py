"""The page of a run's most confident mistakes, for manual inspection."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edgeadapt.data import Examples, join_labels
from edgeadapt.escape import html
from edgeadapt.metrics import Logits, confidence, decide, label_sets
from edgeadapt.recipe import Task
from edgeadapt.text import parts_of

__all__ = ["MISTAKES_FILE", "write_mistakes"]

MISTAKES_FILE = "mistakes.html"
"""Name of the page in the folder of a run."""
MOST = 100
"""Number of mistakes on the page."""

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}: mistakes</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 16px/1.45 system-ui, sans-serif; max-width: 60rem; margin: auto; padding: 1rem; }}
table {{ border-collapse: collapse; width: 100%; }}
th, td {{ text-align: left; vertical-align: top; padding: .4rem .6rem; }}
tr {{ border-bottom: 1px solid #8884; }}
td.number, th.number {{ text-align: right; font-variant-numeric: tabular-nums; }}
td.text {{ white-space: pre-wrap; overflow-wrap: anywhere; }}
.scroll {{ overflow-x: auto; }}
</style>
<h1>{title}: the most confident mistakes</h1>
<p>{summary}</p>
{table}
</html>
"""
_TABLE = """<div class="scroll"><table>
<tr><th class="number">sure</th><th>label</th><th>given</th><th>text</th></tr>
{rows}
</table></div>"""
_ROW = (
    '<tr><td class="number">{sure:.1%}</td><td>{label}</td><td>{given}</td>'
    '<td class="text">{text}</td></tr>'
)


def write_mistakes(
    path: Path,
    logits: Logits,
    examples: Examples,
    names: Sequence[str],
    *,
    task: Task,
    title: str,
) -> None:
    """Writes an HTML page with the wrong predictions of the highest confidence.

    Args:
        path: The file.
        logits: Shape ``(texts, labels)``.
        examples: The labelled texts of the logits.
        names: Names of the labels.
        task: How many labels a text has.
        title: Name of the classifier.
    """
    given, known = decide(logits, task), label_sets(examples.known_labels(), logits.shape[1])
    sure = confidence(logits, task)
    wrong = np.flatnonzero((given != known).any(axis=1))
    worst = wrong[np.argsort(-sure[wrong], kind="stable")][:MOST]
    labels, answers = join_labels(known, names), join_labels(given, names)
    rows = [
        _ROW.format(
            sure=sure[row],
            label=html(labels[row]) or "none",
            given=html(answers[row]) or "none",
            text="<hr>".join(map(html, parts_of(examples.texts[row]))),
        )
        for row in worst
    ]
    if rows:
        shown = f"the {len(worst)} surest" if len(worst) < len(wrong) else "all of them"
        summary = f"{len(wrong):,} of {len(examples):,} test texts are wrong; here are {shown}."
        table = _TABLE.format(rows="\n".join(rows))
    else:
        summary, table = f"None: all {len(examples):,} test texts are right.", ""
    page = _PAGE.format(title=html(title), summary=summary, table=table)
    path.write_text(page, encoding="utf-8")
