"""Measure what the layers of an encoder cost by their widths, to predict a pruned model's latency.

The table is ZipLM's (https://arxiv.org/abs/2302.04089): milliseconds of an attention sublayer by
its number of heads and of an FFN by its number of neurons, measured on the machine and added up.

A sum of straight lines and one step suffices. In int8, at 128 tokens and MiniLM's widths (384, 12
heads of 32, 1600 neurons; one thread of an AMD EPYC with AVX-512 VNNI):

- Attention without heads, its output bias, takes 20 µs. The first head adds 44 µs, as the nodes
  come with it, every further one 33 to 37 µs.
- The first 16 neurons of an FFN add 17 µs, every further 32 add 9 to 10 µs. A width that is no
  multiple of 32 takes as long as the next one; that is 1 % of the model at most.
- The last layer, of which one position is read: 0.11 ms for its first head, 3 µs for each further
  one, and 25 µs for all 1600 neurons.

The sum has one correction. Weights that no longer fit into the CPU's caches come from memory at
each run: at 16 tokens a layer of MiniLM takes 0.12 ms in a model of 3 layers and 0.17 ms as the
ninth, with 16 MB of weights; on a busy machine BERT-base takes three times as long as its weights
would in the caches. So some stacks are as deep and as wide as the model, and the additional time is
a function of the number of weights.
"""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
import onnx
from numpy.typing import NDArray

from edgeadapt.graph.layer_stack import EncoderShape, layer_stack, unshared
from edgeadapt.measure.child import run_job
from edgeadapt.measure.timed_jobs import FixedInput, GraphsJob
from edgeadapt.progress import SILENT, Progress
from edgeadapt.recipe import EngineName
from edgeadapt.store.structure import Structure
from edgeadapt.typed import Count

__all__ = ["LayerCosts", "WidthCosts", "fit_costs", "measure_costs", "quick_ms", "stack_structures"]

Milliseconds = NDArray[np.float64]

ROUNDS = 4
"""Processes that time all stacks."""
REPEATS, WARMUP = 12, 3
"""Timed and untimed runs of a stack in a process."""
_NARROW = 64
"""The smallest width of an FFN that is measured, besides 0."""
_FIRST_TOKEN = 2
"""The first of the token ids that are timed; which ids does not matter."""


@dataclass(frozen=True)
class WidthCosts:
    """Milliseconds by width, interpolated between the measured widths."""

    widths: tuple[Count, ...]
    """The measured widths, ascending."""
    ms: tuple[float, ...]
    """Milliseconds at each of them."""

    def __post_init__(self) -> None:
        ascending = list(self.widths) == sorted(set(self.widths))
        if len(self.widths) < 2 or len(self.widths) != len(self.ms) or not ascending:
            raise ValueError(
                "expected at least two ascending widths and a time for each, found widths "
                f"{list(self.widths)} and {len(self.ms)} times"
            )

    def of(self, width: int) -> float:
        """Returns the milliseconds at a width; beyond the widest, the last slope goes on."""
        if width <= self.widths[-1]:
            return float(np.interp(width, self.widths, self.ms))
        slope = (self.ms[-1] - self.ms[-2]) / (self.widths[-1] - self.widths[-2])
        return self.ms[-1] + slope * (width - self.widths[-1])

    def scaled(self, factor: float) -> Self:
        """Returns a copy with all times multiplied by a factor."""
        return replace(self, ms=tuple(factor * ms for ms in self.ms))


@dataclass(frozen=True)
class LayerCosts:
    """What the layers of an encoder cost at one length of text, at batch size 1."""

    tokens: Count
    """Length of the text in tokens."""
    threads: Count
    """CPU threads."""
    attention: WidthCosts
    """An attention sublayer, by number of heads."""
    ffn: WidthCosts
    """An FFN, by number of neurons."""
    last_attention: WidthCosts
    """That of the last layer, which computes only the first position: what further heads add to the
    first one."""
    last_ffn: WidthCosts
    """The FFN of the last layer, by number of neurons."""
    rest_ms: float
    """Everything else: embeddings, head, and the last layer's attention with one head."""
    head_weights: Count
    """Weights of an attention head."""
    neuron_weights: Count
    """Weights of an FFN neuron."""
    large: WidthCosts
    """Additional milliseconds of a model by the number of weights in its layers: weights that do
    not stay in the CPU's caches are read from memory at every run."""

    def of(self, structure: Structure) -> float:
        """Returns the predicted latency of a model in milliseconds."""
        last = _last(structure)
        return (
            self.rest_ms
            + sum(map(self.attention.of, structure.heads[:last]))
            + sum(map(self.ffn.of, structure.neurons[:last]))
            + self.last_attention.of(structure.heads[last])
            + sum(map(self.last_ffn.of, structure.neurons[last:]))
            + self.large.of(self.weights(structure))
        )

    def head(self, structure: Structure, layer: int) -> float:
        """Returns the milliseconds that one head fewer in a layer saves.

        0 if the layer has none. The only head of a layer costs most: with it go the nodes.
        """
        fewer = max(structure.heads[layer] - 1, 0)
        return self._saved(
            structure, replace(structure, heads=_with(structure.heads, layer, fewer))
        )

    def neuron(self, structure: Structure, layer: int) -> float:
        """Returns the milliseconds that one neuron fewer in a layer saves; 0 if it has none."""
        fewer = max(structure.neurons[layer] - 1, 0)
        return self._saved(
            structure, replace(structure, neurons=_with(structure.neurons, layer, fewer))
        )

    def scaled_to(self, measured_ms: float, structure: Structure) -> Self:
        """Returns a copy that predicts what was measured for one structure.

        For models whose graph differs from the stacks', such as those whose attention is not
        fused: the shares of the parts are then approximate, but the total is right.

        Args:
            measured_ms: Measured latency of the structure.
            structure: The structure, usually the unpruned one.
        """
        if not 0 < measured_ms < float("inf"):
            raise ValueError(f"expected a latency above 0 ms, found {measured_ms}")
        factor = measured_ms / self.of(structure)
        return replace(
            self,
            attention=self.attention.scaled(factor),
            ffn=self.ffn.scaled(factor),
            last_attention=self.last_attention.scaled(factor),
            last_ffn=self.last_ffn.scaled(factor),
            rest_ms=self.rest_ms * factor,
            large=self.large.scaled(factor),
        )

    def _saved(self, before: Structure, after: Structure) -> float:
        return self.of(before) - self.of(after)

    def weights(self, structure: Structure) -> int:
        """Returns the number of weights in the heads and neurons of a structure."""
        heads, neurons = sum(structure.heads), sum(structure.neurons)
        return heads * self.head_weights + neurons * self.neuron_weights


def measure_costs(
    shape: EncoderShape,
    full: Structure,
    write: Callable[[onnx.ModelProto, Path], None],
    *,
    tokens: int,
    threads: int,
    engine: EngineName = EngineName.ONNXRUNTIME,
    progress: Progress = SILENT,
) -> LayerCosts:
    """Measures stacks of layers with random weights and returns what layers cost.

    Args:
        shape: The widths that all layers share.
        full: The structure of the unpruned model.
        write: Writes a graph to a file in the form in which the pruned model will run, for example
            quantized.
        tokens: Length of the text in tokens.
        threads: CPU threads.
        engine: The engine that runs the model.
        progress: Receives the progress bar.

    Raises:
        MeasurementError: A process that measures failed.
    """
    structures = stack_structures(full)
    with (
        tempfile.TemporaryDirectory() as folder,
        progress.bar("layer costs", len(structures) + ROUNDS) as bar,
    ):
        files = []
        for number, structure in enumerate(structures):
            files.append(Path(folder) / f"{number}.onnx")
            write(layer_stack(shape, structure, shared=True), files[-1])
            onnx.save(unshared(onnx.load(files[-1])), files[-1])
            bar.advance()
        job = GraphsJob(
            models=[str(file) for file in files],
            engine=engine,
            threads=threads,
            fixed=FixedInput(list(range(_FIRST_TOKEN, _FIRST_TOKEN + tokens)), [0] * tokens),
            warmup=WARMUP,
            repeats=REPEATS,
        )
        rounds = []
        for number in range(ROUNDS):
            rounds.append(_round(job, backwards=number % 2 == 1))
            bar.advance()
    fastest = np.min(rounds, axis=0)
    return fit_costs(shape, full, structures, fastest, tokens=tokens, threads=threads)


def _round(job: GraphsJob, *, backwards: bool) -> Milliseconds:
    """Times all files in a fresh process, and returns the latency of each.

    Every other round is backwards, so that a machine that slows down does so for all files.
    """
    order = slice(None, None, -1 if backwards else 1)
    answer = run_job(replace(job, models=job.models[order]))
    return np.array([quick_ms(runs) for runs in answer.latency_ns[order]])


def quick_ms(runs_ns: Sequence[int]) -> float:
    """Returns the 10th percentile of runs, in milliseconds.

    On an idle machine it is 1 % below the median. On a busy one the median is that of disturbed
    runs, which no sum of layers predicts.
    """
    return float(np.quantile(runs_ns, 0.1)) / 1e6


def stack_structures(full: Structure) -> list[Structure]:
    """Returns the structures of the stacks that are measured: each width alone, and all together.

    Args:
        full: The structure of the unpruned model.
    """
    heads, neurons, depth = max(full.heads), max(full.neurons), full.depth
    half, mid = heads // 2, neurons // 2
    few = min(_NARROW, neurons)
    some = min(max(depth // 2, 2), 4)

    def stack(layers: int, *widths: int, last: tuple[int, int] | None = None) -> Structure:
        middle = [widths] * max(layers - 1, 0)
        columns = zip(*middle, last or widths, strict=True)
        return Structure(*(tuple(column) for column in columns))

    stacks = [
        *(stack(layers, heads, neurons) for layers in (depth, 2 * depth // 3, depth // 3, 2)),
        *(stack(layers, half, mid) for layers in (depth, depth // 2)),
        *(stack(layers, 1, few) for layers in (depth, depth // 2, 2)),
        *(stack(some + 1, width, mid, last=(half, mid)) for width in (0, 1, heads)),
        *(stack(some + 1, half, width, last=(half, mid)) for width in (0, few, neurons)),
        stack(some + 1, heads, few, last=(half, mid)),
        stack(some + 1, 1, neurons, last=(half, mid)),
        *(
            stack(2, 1, few, last=last)
            for last in ((1, 0), (half, mid), (heads, 0), (1, neurons), (heads, neurons))
        ),
    ]
    return list(dict.fromkeys(stacks))


def fit_costs(
    shape: EncoderShape,
    full: Structure,
    structures: Sequence[Structure],
    measured_ms: Milliseconds,
    *,
    tokens: int,
    threads: int,
) -> LayerCosts:
    """Returns the costs that explain measured latencies best.

    Least squares of relative errors. No cost is negative and none falls with the width, so that
    noise cannot make a wider layer look cheaper.

    Args:
        shape: The widths that all layers share.
        full: The structure of the unpruned model.
        structures: The measured structures.
        measured_ms: The latency of each in milliseconds.
        tokens: Length of the text in tokens.
        threads: CPU threads.
    """
    terms = _Terms.of(shape, full)
    rows = np.array([terms.of_structure(structure) for structure in structures])
    rises = _non_negative(rows / measured_ms[:, None], np.ones(len(rows)))
    return terms.costs(rises, tokens=tokens, threads=threads)


@dataclass(frozen=True)
class _Terms:
    """The model that is fitted: a sum of piecewise linear functions, written as rises.

    A function that rises by r₁ between its first two widths, by r₂ between the next … is the sum of
    rᵢ times the share of interval i that lies below the width.
    """

    heads: tuple[int, ...]
    neurons: tuple[int, ...]
    weights: tuple[int, ...]
    head_weights: int
    neuron_weights: int

    @classmethod
    def of(cls, shape: EncoderShape, full: Structure) -> "_Terms":
        """Returns the terms of a model; the first half of the heads … are the measured widths."""
        most, widest = max(full.heads), max(full.neurons)
        head, neuron = 4 * shape.head_size * shape.hidden, 2 * shape.hidden
        total = sum(full.heads) * head + sum(full.neurons) * neuron
        return cls(
            heads=tuple(sorted({0, 1, most // 2, most})),
            neurons=tuple(sorted({0, min(_NARROW, widest), widest // 2, widest})),
            weights=tuple(total * part // 3 for part in range(4)),
            head_weights=head,
            neuron_weights=neuron,
        )

    def of_structure(self, structure: Structure) -> list[float]:
        """Returns the factor of each rise in the latency of a structure."""
        heads, neurons, last = structure.heads, structure.neurons, _last(structure)
        weights = sum(heads) * self.head_weights + sum(neurons) * self.neuron_weights
        return [
            1.0,
            float(last),
            *_total(self.heads, heads[:last]),
            *_total(self.neurons, neurons[:last]),
            *_total(_last_heads(self.heads), heads[last : last + 1]),
            *_total(_last_neurons(self.neurons), neurons[last:]),
            # Below the first third nothing is added: the costs of the widths say it already.
            *_shares(self.weights, weights)[1:],
        ]

    def costs(self, rises: Milliseconds, *, tokens: int, threads: int) -> LayerCosts:
        """Returns the table of fitted rises."""
        left = list(rises)

        def take(widths: Sequence[int], first: float) -> WidthCosts:
            taken = [left.pop(0) for _ in widths[1:]]
            return WidthCosts(tuple(widths), tuple(np.cumsum([first, *taken]).tolist()))

        rest, layer = left.pop(0), left.pop(0)
        # What a layer costs without heads and neurons, two sums and LayerNorms, is divided evenly.
        attention, ffn = take(self.heads, layer / 2), take(self.neurons, layer / 2)
        last_attention = take(_last_heads(self.heads), 0)
        last_ffn = take(_last_neurons(self.neurons), 0)
        left.insert(0, np.float64(0))
        return LayerCosts(
            tokens=tokens,
            threads=threads,
            attention=attention,
            ffn=ffn,
            last_attention=last_attention,
            last_ffn=last_ffn,
            rest_ms=float(rest),
            head_weights=self.head_weights,
            neuron_weights=self.neuron_weights,
            large=take(self.weights, 0),
        )


def _last(structure: Structure) -> int:
    """Returns the last layer with heads: only the first position of what follows is read.

    Without attention a layer needs no other positions either, so that the last layer with heads
    is the one that computes a single position, and all after it do.
    """
    return max((layer for layer, heads in enumerate(structure.heads) if heads), default=0)


def _last_heads(widths: Sequence[int]) -> tuple[int, ...]:
    return (1, max(widths[-1], 2))


def _last_neurons(widths: Sequence[int]) -> tuple[int, ...]:
    """Returns the first two widths and the last: the last layer's FFN is too cheap for more."""
    return tuple(sorted({*widths[:2], widths[-1]}))


def _total(knots: Sequence[int], widths: Sequence[int]) -> Milliseconds:
    """Returns the sum of the shares of several widths."""
    return sum((_shares(knots, width) for width in widths), np.zeros(len(knots) - 1))


def _shares(widths: Sequence[int], width: int) -> Milliseconds:
    """Returns the share of each interval that lies below a width; the last one is open."""
    edges = np.array(widths, dtype=np.float64)
    shares = (width - edges[:-1]) / np.diff(edges)
    upper = np.append(np.ones(len(shares) - 1), np.inf)
    clipped: Milliseconds = np.clip(shares, 0, upper)
    return clipped


def _non_negative(rows: Milliseconds, values: Milliseconds) -> Milliseconds:
    """Returns non-negative least squares: as long as a solution is negative, its lowest is 0."""
    kept = list(range(rows.shape[1]))
    while True:
        solution = np.linalg.lstsq(rows[:, kept], values, rcond=None)[0]
        scaled = solution * rows[:, kept].max(axis=0)
        if not kept or scaled.min() >= 0:
            break
        del kept[int(scaled.argmin())]
    result = np.zeros(rows.shape[1])
    result[kept] = solution
    return result


def _with(widths: tuple[int, ...], layer: int, width: int) -> tuple[int, ...]:
    changed = list(widths)
    changed[layer] = width
    return tuple(changed)
