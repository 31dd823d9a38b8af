"""AdamW: learning rate schedule, weight decay, and clipping."""

from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from edgeadapt.recipe import TrainingConfig
from edgeadapt.training.optimizer import Optimizer, rate_at

pytestmark = pytest.mark.transformers5


@st.composite
def schedules(draw: st.DrawFn) -> tuple[int, int]:
    """Warm-up steps and total steps."""
    total = draw(st.integers(1, 5_000))
    return draw(st.integers(0, total)), total


def optimizer_of(
    trained: dict[str, nn.Parameter], *, total_steps: int = 10, **values: float
) -> Optimizer:
    config = TrainingConfig(**{"learning_rate": 0.1, "warmup": 0.0, **values})  # type: ignore[arg-type]
    return Optimizer.make(trained, config, total_steps=total_steps)


def parameter(*shape: int, gradient: float = 0.0) -> nn.Parameter:
    made = nn.Parameter(torch.ones(shape))
    made.grad = torch.full(shape, gradient)
    return made


@given(schedule=schedules())
@settings(max_examples=50, deadline=None)
def test_the_rate_stays_above_0_until_the_last_step_and_never_exceeds_the_peak(
    schedule: tuple[int, int],
) -> None:
    warmup, total = schedule

    rates = [rate_at(step, warmup_steps=warmup, total_steps=total) for step in range(total)]

    assert all(0 < rate <= 1 for rate in rates)


@given(schedule=schedules())
@settings(max_examples=50, deadline=None)
def test_the_rate_rises_to_its_peak_after_the_warm_up_and_then_falls(
    schedule: tuple[int, int],
) -> None:
    warmup, total = schedule

    rates = [rate_at(step, warmup_steps=warmup, total_steps=total) for step in range(total + 1)]

    assert rates[:warmup] == sorted(set(rates[:warmup]))
    assert rates[warmup:] == sorted(set(rates[warmup:]), reverse=True)
    if warmup < total:
        assert rates[warmup] == max(rates) == 1.0


@given(schedule=schedules(), beyond=st.integers(0, 100))
@settings(max_examples=50, deadline=None)
def test_the_rate_is_0_from_the_end_on(schedule: tuple[int, int], beyond: int) -> None:
    warmup, total = schedule

    assert rate_at(total + beyond, warmup_steps=warmup, total_steps=total) == 0.0


def test_both_flanks_are_straight() -> None:
    rates = [
        Fraction(rate_at(s, warmup_steps=3, total_steps=8)).limit_denominator(100) for s in range(9)
    ]

    assert rates == [
        Fraction(n, d)
        for n, d in ((1, 4), (1, 2), (3, 4), (1, 1), (4, 5), (3, 5), (2, 5), (1, 5), (0, 1))
    ]


def test_the_optimizer_follows_the_schedule() -> None:
    optimizer = optimizer_of({"weight": parameter(2, 2)}, total_steps=10, warmup=0.2)
    rates = []

    for _ in range(10):
        rates.append(optimizer.rate)
        optimizer.step()

    expected = [0.1 * rate_at(step, warmup_steps=2, total_steps=10) for step in range(10)]
    assert rates == pytest.approx(expected)
    assert optimizer.rate == 0.0


def test_matrices_decay_and_vectors_do_not() -> None:
    matrix, vector, scalar = parameter(3, 2), parameter(4), parameter()
    optimizer = optimizer_of({"m": matrix, "v": vector, "s": scalar}, weight_decay=0.5)

    optimizer.step()

    torch.testing.assert_close(matrix.data, torch.full((3, 2), 1 - 0.1 * 0.5))
    assert torch.equal(vector.data, torch.ones(4))
    assert torch.equal(scalar.data, torch.ones(()))


@pytest.mark.parametrize("shape", [(3, 2), (4,)])
def test_parameters_of_one_kind_alone_can_be_trained(shape: tuple[int, ...]) -> None:
    trained = parameter(*shape, gradient=1.0)

    optimizer_of({"only": trained}).step()

    assert (trained < 1).all()


def test_gradients_are_clipped_to_the_norm_over_all_parameters() -> None:
    one, other = parameter(2, 2, gradient=300.0), parameter(3, gradient=-400.0)
    optimizer = optimizer_of({"one": one, "other": other}, clip_norm=0.5)

    optimizer.step()

    # After one step Adam's mean is a tenth of the gradient that it was given.
    given_gradients = [10 * optimizer.adamw.state[p]["exp_avg"].flatten() for p in (one, other)]
    assert float(torch.cat(given_gradients).norm()) == pytest.approx(0.5, rel=1e-4)


def test_small_gradients_are_left_alone() -> None:
    trained = parameter(2, 2, gradient=0.01)
    optimizer = optimizer_of({"weight": trained}, clip_norm=1.0)

    optimizer.step()

    mean = optimizer.adamw.state[trained]["exp_avg"]
    torch.testing.assert_close(10 * mean, torch.full((2, 2), 0.01))


def test_gradients_are_gone_after_a_step() -> None:
    trained = parameter(2, 2, gradient=1.0)

    optimizer_of({"weight": trained}).step()

    assert trained.grad is None


def test_the_head_has_a_rate_of_its_own() -> None:
    trained = {name: parameter(2, 2, gradient=1.0) for name in ("adapter.up", "classifier.weight")}
    config = TrainingConfig(learning_rate=0.1, head_rate=0.25, warmup=0.0, weight_decay=0.0)
    optimizer = Optimizer.make(trained, config, total_steps=10, head=["classifier.weight"])

    optimizer.step()

    # AdamW's first step is as long as its rate, whatever the gradient.
    torch.testing.assert_close(trained["adapter.up"], torch.full((2, 2), 0.9))
    torch.testing.assert_close(trained["classifier.weight"], torch.full((2, 2), 1 - 0.1 * 0.25))


def test_without_a_head_everything_has_the_same_rate() -> None:
    trained = {"head": parameter(2, gradient=1.0)}
    optimizer = optimizer_of(trained, head_rate=0.25, weight_decay=0.0)

    optimizer.step()

    torch.testing.assert_close(trained["head"], torch.full((2,), 0.9))
