"""Rules of the source that no linter checks: private names, and the length of functions."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("edgeadapt", "tests", "benchmarks", "scripts")

DOCUMENTED = {"_exit", "_inductor", "_softmax_backward_data", "_value_", "_version"}
"""Public in Python (os, enum) and torch, in spite of their underscore."""
TAKES_NAMES = {"delattr", "getattr", "hasattr", "object", "patch", "setattr"}
"""Functions whose string arguments name attributes: builtins, monkeypatch and unittest.mock."""

MOST_LINES = 60


def test_no_file_uses_a_private_name_of_another_module() -> None:
    found = {name: uses for name, source in sources(*FOLDERS) if (uses := private_uses(source))}

    assert not found, "make the name public, or go through a public one"


@pytest.mark.parametrize(
    "source",
    [
        "from edgeadapt.training.loop import _Loop",
        "from edgeadapt._hidden import name",
        "import edgeadapt._hidden",
        "loop._Loop",
        "made().first._weights",
        "super()._loss",
        "monkeypatch.setattr(loop, '_step', None)",
        "monkeypatch.setattr('edgeadapt.training.loop._step', None)",
        "patch('edgeadapt.training.loop._Loop.step')",
        "patch.object(Loop, '_step', None)",
        "getattr(loop, '_step')",
        "def stand_in(self):\n    self._weights",
    ],
)
def test_a_private_name_is_noticed(source: str) -> None:
    assert private_uses(source)


@pytest.mark.parametrize(
    "source",
    [
        "from __future__ import annotations",
        "_mine()",
        "class Kernels:\n    def run(self):\n        return self._casts",
        "module.__file__",
        "os._exit(0)",
        "name = weight + '_scale'",
        "monkeypatch.setattr(loop, 'step', '_other')",
        "monkeypatch.setattr('edgeadapt.training.loop.step', '_other')",
    ],
)
def test_a_name_of_its_own_or_a_documented_one_is_not(source: str) -> None:
    assert not private_uses(source)


def test_no_function_is_longer_than_sixty_lines() -> None:
    assert not long_functions(), "split it where a part has a name of its own"


def sources(*folders: str) -> Iterator[tuple[str, str]]:
    """Yields the path of each Python file, relative to the repository, and its text."""
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")


def private_uses(source: str) -> list[str]:
    """Returns ``LINE: NAME`` of each private name that a source takes from elsewhere."""
    tree = ast.parse(source)
    own = {
        id(node.value)
        for kind in ast.walk(tree)
        if isinstance(kind, ast.ClassDef)
        for node in ast.walk(kind)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id in {"self", "cls"}
    }
    return [
        f"{node.lineno}: {name}"
        for node in ast.walk(tree)
        for name in names_taken(node)
        if any(is_private(part) for part in name.split("."))
        and not (isinstance(node, ast.Attribute) and id(node.value) in own)
    ]


def names_taken(node: ast.AST) -> list[str]:
    """Returns the names that an import, an attribute access or a patch takes from elsewhere."""
    match node:
        case ast.ImportFrom(module=module, names=names):
            return [module or "", *(alias.name for alias in names)]
        case ast.Import(names=names):
            return [alias.name for alias in names]
        case ast.Attribute(attr=name):
            return [name]
        case ast.Call(func=ast.Name(id=called) | ast.Attribute(attr=called), args=[*args]):
            # ``"module.name", value`` or ``target, "name", value``.
            strings = [
                arg.value
                for arg in args[:2]
                if isinstance(arg, ast.Constant) and isinstance(arg.value, str)
            ]
            return strings[:1] if called in TAKES_NAMES else []
    return []


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name not in DOCUMENTED


def long_functions() -> set[str]:
    """Returns ``FILE: FUNCTION`` of each function of the package that is too long."""
    return {
        f"{name}: {node.name}"
        for name, source in sources("edgeadapt")
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno + 1 > MOST_LINES
    }
