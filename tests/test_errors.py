"""The exception tree, pinned: callers catch these classes and these names."""

import re

import pytest

from edgeadapt import errors
from edgeadapt.errors import EdgeAdaptError, MissingExtraError, RecipeError

TREE = {
    "EdgeAdaptError": "Exception",
    "UsageError": "EdgeAdaptError",
    "RecipeError": "EdgeAdaptError",
    "DataError": "EdgeAdaptError",
    "ModelError": "EdgeAdaptError",
    "HubError": "EdgeAdaptError",
    "MissingExtraError": "EdgeAdaptError",
    "LayoutError": "EdgeAdaptError",
    "MissingError": "LayoutError",
    "UnfinishedError": "LayoutError",
    "FormatVersionError": "LayoutError",
    "IntegrityError": "LayoutError",
    "OutputExistsError": "EdgeAdaptError",
    "TrainingError": "EdgeAdaptError",
    "ExportError": "EdgeAdaptError",
    "GateError": "EdgeAdaptError",
    "MeasurementError": "EdgeAdaptError",
}
"""Class -> the class it derives from."""


def drawn_tree(drawing: str) -> dict[str, str]:
    """Reads class -> parent out of a tree drawn with box characters."""
    parents, path = {}, ["Exception"]
    for line in drawing.splitlines():
        if found := re.match(r" {4}([│├└─ ]*)(\w+Error)\b", line):
            depth = len(found[1]) // 4 + 1
            parents[found[2]] = path[depth - 1]
            path[depth:] = [found[2]]
    return parents


def test_the_exported_names_are_pinned() -> None:
    assert errors.__all__ == sorted(TREE)


def test_every_error_class_of_the_module_is_exported() -> None:
    defined = {name for name, value in vars(errors).items() if isinstance(value, type)}

    assert defined == set(errors.__all__)


def test_the_tree_is_pinned() -> None:
    found = {name: [base.__name__ for base in getattr(errors, name).__bases__] for name in TREE}

    assert found == {name: [parent] for name, parent in TREE.items()}


def test_the_tree_drawn_in_the_docstring_is_the_real_one() -> None:
    assert drawn_tree(errors.__doc__ or "") == TREE


def test_the_hint_follows_the_message_on_a_line_of_its_own() -> None:
    error = EdgeAdaptError("It broke.", hint="Mend it.")

    assert (error.message, error.hint) == ("It broke.", "Mend it.")
    assert str(error) == "It broke.\nMend it."


def test_an_error_without_a_hint_gives_its_kinds_own() -> None:
    assert str(EdgeAdaptError("It broke.")) == "It broke.\nSee: edgeadapt COMMAND --help"
    assert "edgeadapt train" in RecipeError("It broke.").hint


def test_a_hint_is_given_by_name() -> None:
    with pytest.raises(TypeError, match="positional"):
        EdgeAdaptError("It broke.", "Mend it.")  # type: ignore[misc]


def test_a_missing_extra_is_named_with_its_module_and_the_command_that_installs_it() -> None:
    error = MissingExtraError("edgeadapt train", extra="train", missing="torch")

    assert error.message == (
        "edgeadapt train needs the extra [train]: the module 'torch' is not installed."
    )
    assert error.hint == 'Install it with: pip install "edgeadapt[train]"'


def test_a_missing_extra_needs_no_module_name() -> None:
    error = MissingExtraError("The exporter", extra="optimum", missing=None)

    assert error.message == "The exporter needs the extra [optimum]."
