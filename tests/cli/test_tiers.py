"""A missing module is reported with the extra that installs it."""

import pytest

from edgeadapt.cli.tiers import train_tier
from edgeadapt.errors import MissingExtraError


def test_a_missing_library_names_command_module_and_extra() -> None:
    with (
        pytest.raises(MissingExtraError, match=r"edgeadapt train needs .*\[train\].*'torch'") as e,
        train_tier("edgeadapt train"),
    ):
        raise ModuleNotFoundError("No module named 'torch'", name="torch")

    assert 'pip install "edgeadapt[train]"' in e.value.hint


def test_a_missing_submodule_of_a_library_is_named_in_full() -> None:
    with (
        pytest.raises(MissingExtraError, match=r"'transformers\.utils'"),
        train_tier("edgeadapt train"),
    ):
        raise ModuleNotFoundError(name="transformers.utils")


def test_a_module_of_our_own_that_is_missing_stays_a_bug() -> None:
    with pytest.raises(ModuleNotFoundError, match="gone"), train_tier("edgeadapt train"):
        raise ModuleNotFoundError("gone", name="edgeadapt.pipeline.gone")


def test_nothing_else_is_disguised() -> None:
    with pytest.raises(ImportError, match="broken") as e, train_tier("edgeadapt train"):
        raise ImportError("broken", name="torch")

    assert not isinstance(e.value, MissingExtraError)
