"""What layers cost: a table of latency by width, and how it is measured."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from edgeadapt.compress import costs
from edgeadapt.compress.costs import (
    LayerCosts,
    WidthCosts,
    fit_costs,
    measure_costs,
    quick_ms,
    stack_structures,
)
from edgeadapt.errors import MeasurementError
from edgeadapt.graph.layer_stack import EncoderShape
from edgeadapt.measure.timed_jobs import GraphsAnswer, GraphsJob
from edgeadapt.store.structure import Structure

SHAPE = EncoderShape(hidden=16, head_size=8, vocabulary=64, positions=32)
FULL = Structure((4,) * 6, (96,) * 6)
TABLE = LayerCosts(
    tokens=16,
    threads=1,
    attention=WidthCosts((0, 1, 2, 4), (0.1, 0.5, 0.7, 1.1)),
    ffn=WidthCosts((0, 48, 96), (0.1, 1.1, 2.1)),
    last_attention=WidthCosts((1, 4), (0.0, 0.3)),
    last_ffn=WidthCosts((0, 96), (0.0, 0.2)),
    rest_ms=0.4,
    head_weights=4 * 8 * 16,
    neuron_weights=2 * 16,
    large=WidthCosts((0, 15_000, 25_000), (0.0, 0.0, 1.0)),
)


@pytest.mark.parametrize(
    ("width", "ms"), [(0, 1.0), (2, 2.0), (4, 3.0), (6, 3.5), (8, 4.0), (12, 5.0)]
)
def test_times_are_interpolated_between_widths_and_go_on_beyond_the_widest(
    width: int, ms: float
) -> None:
    assert WidthCosts((0, 4, 8), (1.0, 3.0, 4.0)).of(width) == pytest.approx(ms)


@pytest.mark.parametrize(
    ("widths", "ms"),
    [((0,), (1.0,)), ((0, 4), (1.0,)), ((4, 0), (1.0, 2.0)), ((0, 0), (1.0, 2.0))],
)
def test_widths_must_ascend_and_have_a_time_each(
    widths: tuple[int, ...], ms: tuple[float, ...]
) -> None:
    with pytest.raises(ValueError, match="ascending widths and a time for each, found widths"):
        WidthCosts(widths, ms)


def test_costs_of_a_structure_add_up() -> None:
    structure = Structure((4, 0, 2), (48, 96, 96))

    layers = (1.1 + 1.1) + (0.1 + 2.1)
    last = 0.3 / 3 + 0.2
    assert TABLE.of(structure) == pytest.approx(0.4 + layers + last)


def test_layers_after_the_last_attention_cost_as_little_as_the_last_one() -> None:
    assert TABLE.of(Structure((1, 1, 0, 0), (0, 96, 96, 96))) == pytest.approx(
        0.4 + (0.5 + 0.1) + 3 * 0.2
    )


def test_a_model_too_large_for_the_caches_costs_more() -> None:
    small, large = Structure((4,) * 2, (96,) * 2), Structure((4,) * 4, (96,) * 4)

    weights = 4 * (4 * TABLE.head_weights + 96 * TABLE.neuron_weights)
    layers = TABLE.attention.of(4) + TABLE.ffn.of(96)
    assert TABLE.of(large) - TABLE.of(small) == pytest.approx(
        2 * layers + (weights - 15_000) / 10_000
    )


def test_a_head_and_a_neuron_cost_what_the_structure_costs_without_them() -> None:
    structure = Structure((3, 1, 4), (96, 0, 96))

    assert TABLE.head(structure, 0) == pytest.approx(0.2)
    assert TABLE.head(structure, 1) == pytest.approx(0.4)  # the only head
    assert TABLE.head(structure, 2) == pytest.approx(0.1)  # the last layer
    assert TABLE.neuron(structure, 0) == pytest.approx(1 / 48)
    assert TABLE.neuron(structure, 1) == 0
    assert TABLE.neuron(structure, 2) == pytest.approx(0.2 / 96)


def test_a_scaled_table_predicts_what_was_measured() -> None:
    scaled = TABLE.scaled_to(3 * TABLE.of(FULL), FULL)

    half = Structure((2,) * 6, (48,) * 6)
    assert scaled.of(half) == pytest.approx(3 * TABLE.of(half))
    assert scaled.tokens == TABLE.tokens


@pytest.mark.parametrize("measured", [0.0, -1.0, math.nan, math.inf])
def test_a_table_is_not_scaled_to_a_latency_that_is_none(measured: float) -> None:
    with pytest.raises(ValueError, match="expected a latency above 0 ms, found"):
        TABLE.scaled_to(measured, FULL)


TRUE = replace(
    TABLE,
    ffn=WidthCosts((0, 64, 96), (0.1, 1.1, 2.1)),
    last_ffn=WidthCosts((0, 64, 96), (0.0, 0.05, 0.2)),
    large=WidthCosts((0, 10_240, 20_480, 30_720), (0.0, 0.0, 0.4, 1.0)),
)


def fitted(noise: float = 0.0, full: Structure = FULL) -> LayerCosts:
    structures = stack_structures(full)
    disturbed = 1 + noise * np.random.default_rng(0).random(len(structures))
    measured = np.array([TRUE.of(structure) for structure in structures]) * disturbed
    return fit_costs(SHAPE, full, structures, measured, tokens=16, threads=1)


@pytest.mark.parametrize(
    "structure",
    [
        FULL,
        Structure((2,) * 6, (48,) * 6),
        Structure((4,) * 3, (96,) * 3),
        Structure((3, 1, 4, 2, 0, 1), (80, 0, 96, 17, 5, 40)),
        Structure((1,), (0,)),
    ],
)
def test_the_stacks_determine_the_costs_of_every_structure(structure: Structure) -> None:
    table = fitted()

    assert table.of(structure) == pytest.approx(TRUE.of(structure), rel=0.05)


def test_noise_does_not_make_a_wider_layer_cheaper() -> None:
    table = fitted(noise=0.5)

    for part in (table.attention, table.ffn, table.last_attention, table.last_ffn, table.large):
        assert list(part.ms) == sorted(part.ms)
        assert part.ms[0] >= 0
    assert table.rest_ms >= 0


@pytest.mark.parametrize(
    "full", [Structure((1,), (1,)), Structure((2, 2), (3, 3)), Structure((12,) * 12, (3072,) * 12)]
)
def test_stacks_stay_within_the_unpruned_model(full: Structure) -> None:
    structures = stack_structures(full)

    assert full in structures
    assert len(set(structures)) == len(structures)
    for structure in structures:
        assert max(structure.heads) <= max(full.heads)
        assert max(structure.neurons) <= max(full.neurons)


def test_a_stack_is_as_fast_as_the_fastest_tenth_of_its_runs() -> None:
    assert quick_ms([million * 1_000_000 for million in range(11, 0, -1)]) == 2.0


@pytest.mark.parametrize("threads", [1, 2])
def test_measured_costs_are_finite_and_positive(threads: int) -> None:
    full = Structure((2, 2), (8, 8))

    table = measure_costs(SHAPE, full, save, tokens=4, threads=threads)

    assert (table.tokens, table.threads) == (4, threads)
    assert table.head_weights == 4 * 8 * 16
    assert table.neuron_weights == 2 * 16
    assert 0 < table.of(full) < math.inf


def test_all_files_are_timed_by_every_process_each_other_time_backwards(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    jobs: list[GraphsJob] = []

    def run_job(job: GraphsJob) -> GraphsAnswer:
        jobs.append(job)
        sizes = [Path(model).stat().st_size for model in job.models]
        return GraphsAnswer([[size * (1 + len(jobs))] for size in sizes])

    monkeypatch.setattr(costs, "run_job", run_job)
    full = Structure((2,) * 3, (32,) * 3)
    table = measure_costs(SHAPE, full, save, tokens=5, threads=2)

    assert len(jobs) == costs.ROUNDS
    assert jobs[1].models == jobs[0].models[::-1]
    assert len(jobs[0].fixed.ids) == 5
    # Each file takes as long as it is large, so that the fastest process tells its size.
    smaller = Structure((1,) * 3, (16,) * 3)
    assert table.of(smaller) < table.of(full)


def test_a_graph_that_cannot_run_is_an_error_of_measuring() -> None:
    def broken(model: onnx.ModelProto, path: Path) -> None:
        model.graph.node[0].op_type = "Unknown"
        onnx.save(model, path)

    with pytest.raises(MeasurementError, match="cannot load"):
        measure_costs(SHAPE, FULL, broken, tokens=4, threads=1)


def save(model: onnx.ModelProto, path: Path) -> None:
    onnx.save(model, path)
