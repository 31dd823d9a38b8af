"""The page of mistakes: highest confidence first, and any text is escaped."""

import re
from pathlib import Path

import numpy as np
import pytest

from edgeadapt.data import Examples
from edgeadapt.documents import mistakes
from edgeadapt.documents.mistakes import write_mistakes
from edgeadapt.recipe import Task

NAMES = ("no", "<b>yes</b>")


def page(
    tmp_path: Path, examples: Examples, logits: list[list[float]], task: Task = Task.SINGLE_LABEL
) -> str:
    path = tmp_path / "mistakes.html"
    write_mistakes(
        path, np.asarray(logits, dtype=np.float32), examples, NAMES, task=task, title="a & b"
    )
    return path.read_text(encoding="utf-8")


def test_wrong_answers_are_listed_the_surest_first(tmp_path: Path) -> None:
    examples = Examples(("right", "a little", "much"), np.asarray([0, 1, 0]))

    found = page(tmp_path, examples, [[2, 0], [1, 0], [0, 3]])

    assert "2 of 3 test texts are wrong; here are all of them." in found
    assert "right</td>" not in found
    assert found.index(">much<") < found.index(">a little<")
    assert re.findall(r'"number">([\d.]+%)', found) == ["95.3%", "73.1%"]


def test_markup_in_texts_labels_and_titles_is_shown_not_obeyed(tmp_path: Path) -> None:
    examples = Examples(("<script>alert(1)</script>",), np.asarray([0]))

    found = page(tmp_path, examples, [[0, 1]])

    assert "<script>" not in found
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in found
    assert "&lt;b&gt;yes&lt;/b&gt;" in found
    assert "<title>a &amp; b: mistakes</title>" in found


def test_control_and_bidi_characters_are_shown_by_their_codes(tmp_path: Path) -> None:
    examples = Examples(("one\x1b[31m\u202etwo\nthree\u200b",), np.asarray([0]))

    found = page(tmp_path, examples, [[0, 1]])

    assert "one\\x1b[31m\\u202etwo\nthree\\u200b</td>" in found


def test_only_the_surest_are_shown_where_there_are_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mistakes, "MOST", 2)
    examples = Examples(("a", "b", "c"), np.asarray([1, 1, 1]))

    found = page(tmp_path, examples, [[1, 0], [3, 0], [2, 0]])

    assert "3 of 3 test texts are wrong; here are the 2 surest." in found
    assert re.findall(r'class="text">(\w)<', found) == ["b", "c"]


def test_both_texts_of_a_pair_and_sets_of_labels_are_shown(tmp_path: Path) -> None:
    examples = Examples((("first", "second"),), np.asarray([[1, 1]]))

    found = page(tmp_path, examples, [[-1, -2]], Task.MULTI_LABEL)

    assert "first<hr>second" in found
    assert "<td>no|&lt;b&gt;yes&lt;/b&gt;</td><td>none</td>" in found


def test_without_mistakes_the_page_says_so(tmp_path: Path) -> None:
    found = page(tmp_path, Examples(("a",), np.asarray([0])), [[1, 0]])

    assert "None: all 1 test texts are right." in found
    assert "<table" not in found
