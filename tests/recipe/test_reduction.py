"""``--compress``: what can be written, and what it means."""

import pytest

from edgeadapt.errors import RecipeError
from edgeadapt.recipe import Recipe
from edgeadapt.recipe.reduction import Reduction


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("none", None),
        ("auto", Reduction()),
        ("depth=4", Reduction(depth=4)),
        ("prune=0.5", Reduction(prune=0.5)),
        ("prune=50%", Reduction(prune=0.5)),
        ("depth=4,prune=.5", Reduction(4, 0.5)),
        ("prune=0, depth=12", Reduction(12, 0.0)),
    ],
)
def test_what_is_written_is_read(text: str, expected: Reduction | None) -> None:
    assert Reduction.parsed(text) == expected


@pytest.mark.parametrize(
    "value", [Reduction(), Reduction(4), Reduction(None, 0.25), Reduction(3, 0.5)]
)
def test_it_is_written_as_it_is_read(value: Reduction) -> None:
    assert Reduction.parsed(str(value)) == value


@pytest.mark.parametrize(
    "text",
    [
        "", "yes", "depth=0", "depth=-1", "depth=1.5", "prune=1", "prune=1.5", "prune=-0.1",
        "prune=100%", "prune=nan", "depth=4,depth=3", "depth=4;prune=0.5", "depth", "width=3",
    ],
)  # fmt: skip
def test_anything_else_is_refused_with_what_is_expected(text: str) -> None:
    with pytest.raises(RecipeError, match=r"compress: expected auto, none, or depth=N"):
        Recipe.from_dict({"export": {"compress": text}}, origin="test")


def test_a_speed_alone_asks_for_a_search() -> None:
    recipe = Recipe.from_dict({"export": {"speedup": 3.0}}, origin="test")

    assert recipe.export.reduction == Reduction()
    assert Recipe().export.reduction is None
