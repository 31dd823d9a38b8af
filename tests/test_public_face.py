"""``import edgeadapt`` is light, and its names are the commands, whatever else was imported."""

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages

import pytest

import edgeadapt

NAMES = [
    *("Bundle", "Classifier", "ExportOptions", "Prediction", "Quantization", "Recipe", "Record"),
    *(
        "Reduction",
        "Run",
        "Trimming",
        "__version__",
        "bench",
        "compare",
        "convert",
        "export",
        "export_bundle",
    ),
    *("export_checkpoint", "import_adapter", "inspect", "load", "merge", "pretrain", "report"),
    *("resume", "train"),
]
HEAVY = ("torch", "transformers", "onnx", "onnxruntime", "numpy")


def test_the_names_are_these() -> None:
    assert sorted(edgeadapt.__all__) == sorted(NAMES)
    assert set(NAMES) <= set(dir(edgeadapt))


def declared() -> dict[str, tuple[str, str]]:
    """Name -> module and name there, as type checkers see them."""
    tree = ast.parse(Path(edgeadapt.__file__).read_text(encoding="utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    return {
        alias.asname or alias.name: (node.module or "", alias.name)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def test_each_name_is_what_type_checkers_take_it_for() -> None:
    assert set(declared()) == set(NAMES) - {"__version__"}
    for name, (module, defined) in declared().items():
        assert getattr(edgeadapt, name) is getattr(import_module(module), defined), name


def test_no_submodule_takes_the_place_of_a_name() -> None:
    for found in walk_packages(edgeadapt.__path__, "edgeadapt."):
        if not found.name.endswith("__main__"):
            import_module(found.name)

    assert all(callable(getattr(edgeadapt, name)) for name in NAMES if name != "__version__")


def test_a_name_that_is_not_there_is_said_to_be_missing() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'trian'"):
        _ = edgeadapt.trian


def test_the_import_loads_nothing_heavy() -> None:
    program = f"import sys, edgeadapt; print([n for n in {HEAVY} if n in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == "[]"
