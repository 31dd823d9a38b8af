"""Parts around a dense layer: they nest by rank, fold from the inside out, and do not collide."""

import gc
import weakref
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from edgeadapt.adapters.parts import Nesting, Part, Tap, collapse, dense, innermost, put_around
from edgeadapt.errors import ModelError
from edgeadapt.recipe import AdapterConfig, Placement
from tests.adapters.formulas import random
from tests.models.tiny import adapt, logits, make_model

pytestmark = pytest.mark.transformers5


class AddOne(Part):
    """``W + 1``."""

    nesting = Nesting.LOW_RANK

    def forward(self, hidden: Tensor) -> Tensor:
        return self.base(hidden) + hidden.sum(-1, keepdim=True)

    def fold(self, linear: nn.Linear) -> nn.Module:
        return dense(linear.weight + 1, linear.bias)


class Triple(Part):
    """``3 (W x + b)``."""

    nesting = Nesting.OUTPUT_SCALE

    def forward(self, hidden: Tensor) -> Tensor:
        return 3 * self.base(hidden)

    def fold(self, linear: nn.Linear) -> nn.Module:
        return dense(3 * linear.weight, 3 * linear.bias)


class Stays(Part):
    """Cannot be folded, but says how it was asked to."""

    nesting = Nesting.BESIDE

    def __init__(self, base: nn.Module) -> None:
        super().__init__(base)
        self.asked: list[str] = []

    def forward(self, hidden: Tensor) -> Tensor:
        return torch.tanh(self.base(hidden))

    def fold(self, linear: nn.Linear) -> nn.Module:
        self.asked.append("fold")
        return self

    def settle(self) -> None:
        self.asked.append("settle")


class StaysOutside(Stays):
    """The same, further out."""

    nesting = Nesting.AFTER


PARTS = (AddOne, Triple, Stays, StaysOutside)


def parent() -> nn.Module:
    return nn.ModuleDict({"at": nn.ModuleDict({"dense": nn.Linear(3, 2).double()})})


def nested(module: nn.Module) -> list[nn.Module]:
    """From the outside in."""
    found = [module]
    while isinstance(module, Part):
        module = module.base
        found.append(module)
    return found


@given(order=st.permutations(PARTS))
@settings(max_examples=24, deadline=None)
def test_parts_nest_by_rank_in_whatever_order_they_come(order: list[type[Part]]) -> None:
    holder = parent()
    linear = holder.get_submodule("at.dense")

    for part in order:
        put_around(holder, "at.dense", part)

    chain = nested(holder.get_submodule("at.dense"))
    assert [type(part) for part in chain[:-1]] == [StaysOutside, Stays, Triple, AddOne]
    assert chain[-1] is linear


def test_the_part_that_was_put_there_is_returned() -> None:
    holder = parent()
    outer = put_around(holder, "at.dense", Stays)
    inner = put_around(holder, "at.dense", AddOne)

    assert nested(holder.get_submodule("at.dense"))[:2] == [outer, inner]


def test_a_part_takes_the_type_of_the_dense_layer() -> None:
    class WithWeight(AddOne):
        def __init__(self, base: nn.Module) -> None:
            super().__init__(base)
            self.weight = nn.Parameter(torch.ones(3))

    assert put_around(parent(), "at.dense", WithWeight).weight.dtype is torch.float64


@pytest.mark.parametrize(
    ("part", "purpose"),
    [
        (AddOne, "adds a low-rank product to the weights"),
        (Triple, "scales the outputs"),
        (Stays, "adds a bottleneck beside the sublayer"),
        (StaysOutside, "adds a bottleneck behind the sublayer"),
    ],
)
def test_a_second_part_of_the_same_rank_is_refused_by_place_and_purpose_and_changes_nothing(
    part: type[Part], purpose: str
) -> None:
    class Second(part):  # type: ignore[misc,valid-type]
        pass

    holder = parent()
    for other in PARTS:
        put_around(holder, "at.dense", other)
    before = nested(holder.get_submodule("at.dense"))

    with pytest.raises(ModelError, match=r"attached to 'at\.dense'") as caught:
        put_around(holder, "at.dense", Second)

    assert f"expected at most one that {purpose}, found two" in str(caught.value)
    assert nested(holder.get_submodule("at.dense")) == before


def test_any_number_of_taps_is_put_outside_of_everything() -> None:
    holder = parent()
    taps = [put_around(holder, "at.dense", Tap)]
    after = put_around(holder, "at.dense", StaysOutside)
    taps.append(put_around(holder, "at.dense", Tap))

    chain = nested(holder.get_submodule("at.dense"))
    assert set(chain[:2]) == set(taps)
    assert chain[2] is after


@given(order=st.permutations((AddOne, Triple)))
@settings(max_examples=4, deadline=None)
def test_what_folds_wholly_leaves_a_stock_dense_layer(order: list[type[Part]]) -> None:
    holder = parent()
    for part in order:
        put_around(holder, "at.dense", part)
    hidden = random(5, 3)
    linear = innermost(holder.get_submodule("at.dense"))
    expected = 3 * (hidden @ (linear.weight + 1).T + linear.bias)

    collapse(holder, "at.dense")

    folded = holder.get_submodule("at.dense")
    assert type(folded) is nn.Linear
    torch.testing.assert_close(folded(hidden), expected, rtol=0, atol=1e-12)


def test_what_is_inside_of_a_part_that_stays_is_folded() -> None:
    holder = parent()
    for part in (Stays, AddOne, Triple):
        put_around(holder, "at.dense", part)
    hidden = random(5, 3)
    expected = holder.get_submodule("at.dense")(hidden)

    collapse(holder, "at.dense")

    stays, linear = nested(holder.get_submodule("at.dense"))
    assert isinstance(stays, Stays)
    assert stays.asked == ["fold"]
    assert type(linear) is nn.Linear
    torch.testing.assert_close(stays(hidden), expected, rtol=0, atol=1e-12)


def test_a_part_around_one_that_stays_only_settles() -> None:
    holder = parent()
    inner = put_around(holder, "at.dense", Stays)
    outer = put_around(holder, "at.dense", StaysOutside)

    collapse(holder, "at.dense")

    assert (inner.asked, outer.asked) == (["fold"], ["settle"])


@given(parts=st.lists(st.sampled_from(PARTS), unique=True))
@settings(max_examples=25, deadline=None)
def test_collapsing_again_changes_nothing(parts: list[type[Part]]) -> None:
    holder, hidden = parent(), random(5, 3)
    for part in parts:
        put_around(holder, "at.dense", part)
    collapse(holder, "at.dense")
    before = nested(holder.get_submodule("at.dense"))
    answer = before[0](hidden)

    collapse(holder, "at.dense")

    assert nested(holder.get_submodule("at.dense")) == before
    assert torch.equal(before[0](hidden), answer)


def test_the_dense_layer_is_found_inside_of_all_parts() -> None:
    holder = parent()
    linear = holder.get_submodule("at.dense")
    for part in PARTS:
        put_around(holder, "at.dense", part)

    assert innermost(holder.get_submodule("at.dense")) is linear


def test_a_subclass_of_a_dense_layer_will_do() -> None:
    class Special(nn.Linear):
        pass

    special = Special(2, 2)

    assert innermost(special) is special


def test_anything_but_a_dense_layer_is_refused_by_its_type() -> None:
    with pytest.raises(ModelError, match=r"Expected an nn\.Linear, found a Embedding"):
        innermost(AddOne(nn.Embedding(2, 3)))


@pytest.mark.parametrize("bias", [random(2), None])
def test_a_dense_layer_of_given_values_is_a_stock_one(bias: Tensor | None) -> None:
    weight, hidden = random(2, 3), random(5, 3)

    linear = dense(weight, bias)

    assert type(linear) is nn.Linear
    assert (linear.in_features, linear.out_features) == (3, 2)
    assert (linear.bias is None) is (bias is None)
    torch.testing.assert_close(linear(hidden), hidden @ weight.T + (0 if bias is None else bias))


def test_a_tap_passes_on_what_the_dense_layer_says_and_lends_its_input() -> None:
    linear, hidden = nn.Linear(3, 2), torch.randn(5, 3)
    tap = Tap(linear)

    assert torch.equal(tap(hidden), linear(hidden))
    assert tap.take() is hidden


def test_a_tap_lends_the_latest_input() -> None:
    tap, (first, second) = Tap(nn.Linear(3, 2)), torch.randn(2, 5, 3)

    tap(first)
    tap(second)

    assert torch.equal(tap.take(), second)


def test_a_tap_keeps_nothing_alive_that_was_taken() -> None:
    tap, hidden = Tap(nn.Linear(3, 2)), torch.randn(5, 3)
    alive = weakref.ref(hidden)
    tap(hidden)
    del hidden

    kept_until_taken = alive() is not None
    tap.take()

    assert kept_until_taken
    assert alive() is None


def test_a_forward_pass_leaves_no_tapped_input_alive() -> None:
    config = AdapterConfig(
        method="parallel", dimension=4, activation="relu", placement=Placement.BOTH
    )
    model = adapt(make_model("bert"), config).model
    seen: list[weakref.ref[Tensor]] = []
    for module in model.modules():
        if isinstance(module, Tap):
            module.register_forward_pre_hook(lambda _, args: seen.append(weakref.ref(args[0])))

    logits(model)
    gc.collect()

    assert len(seen) == 4
    assert [alive() for alive in seen] == [None] * 4


def test_ranks_differ_and_rise_from_the_weights_to_the_input() -> None:
    ranks = [
        Nesting.LOW_RANK,
        Nesting.INPUT_SCALE,
        Nesting.OUTPUT_SCALE,
        Nesting.WIDTH,
        Nesting.BESIDE,
    ]

    assert all(inner < outer for inner, outer in pairwise([*ranks, Nesting.AFTER, Nesting.TAP]))
