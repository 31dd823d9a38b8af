"""Measure what an early exit would win before one is built: a head behind a middle layer.

    python benchmarks/accuracy.py trec:adapter:0    # once: the runs
    python benchmarks/early_exit.py                 # every run of seed 0 that is not recorded
    python benchmarks/early_exit.py trec:0 --again  # one run

The head answers if its largest probability reaches a threshold; all other texts pass through every
layer. Heads are fitted on training text (``middle_heads.py``). Layer and threshold are chosen on
rows 0, 2, 4 … of the validation text: the lowest mean cost among those whose drop is within the
budget. The same is done for models of fewer layers, which answer every text. Test text chooses
nothing. All models are fp32.

Costs are multiplications at 64 tokens, since a table of layer costs measured on a busy machine says
little about shares. The last layer of a model computes the first position only. Costs are in favour
of early exit: embeddings, heads and the second call to the engine cost nothing.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from common import Shown, load, recorded, table
from numpy.typing import NDArray
from smaller_models import DATASETS, record_missing

from edgeadapt.metrics import Labels, Logits, confidence
from edgeadapt.recipe import Task
from edgeadapt.store.run import Run
from edgeadapt.store.structure import Structure

if TYPE_CHECKING:
    from edgeadapt.models.opened import OpenedRun
    from edgeadapt.models.text_model import TextModel

__all__ = ["SHOWN", "Exits", "Outcome", "choose"]

THRESHOLDS = (*(number / 20 for number in range(1, 20)), 0.97, 0.98, 0.99, 0.995, 0.999)
BUDGETS = (0.005, 0.01)
"""Accuracy that a choice may cost on the validation texts it is made by."""
ROUNDING = 1e-9
"""A drop is a difference of two shares: 0.01 can be 0.010000000000000009."""
TOKENS = 64
"""Length of the text whose costs are counted."""
RECORD, COMPRESSED = "early_exit", "compression"
NEEDED = 2
"""Data sets on which early exit has to win to be built."""


@dataclass(frozen=True)
class Outcome:
    """What one layer and threshold do on some texts. Shares are 0 to 1."""

    layer: int
    """Layers that a text passes before the head, from 1."""
    threshold: float
    """Least probability at which a text leaves; 0 where every text does."""
    leaving: float
    """Share of the texts that leave."""
    accuracy: float
    drop: float
    """Accuracy of the complete model less this one."""
    agreement: float
    """Share of the texts with the labels of the complete model."""
    cost: float
    """Mean cost of a text, as a share of the complete model's."""
    cost_p90: float
    """The 90th percentile of the texts' costs."""


@dataclass(frozen=True)
class Exits:
    """The answers behind every layer but the last, and those of the complete model."""

    early: Sequence[Logits]
    full: Logits
    labels: Labels

    def rows(self, chosen: slice) -> "Exits":
        """Returns those of some of the texts."""
        return Exits(
            [logits[chosen] for logits in self.early], self.full[chosen], self.labels[chosen]
        )

    def outcome(self, layer: int, threshold: float, cost: float) -> Outcome:
        """Returns what a threshold does.

        Args:
            layer: From 1.
            threshold: Least probability at which a text leaves.
            cost: That of a text that leaves, as a share of one that does not.
        """
        early = self.early[layer - 1]
        leaves = confidence(early, Task.SINGLE_LABEL) >= threshold
        before = self.full.argmax(1)
        after = np.where(leaves, early.argmax(1), before)
        costs: NDArray[np.float64] = np.where(leaves, cost, 1.0)
        accuracy = float((after == self.labels).mean())
        return Outcome(
            layer=layer,
            threshold=threshold,
            leaving=float(leaves.mean()),
            accuracy=accuracy,
            drop=float((before == self.labels).mean()) - accuracy,
            agreement=float((after == before).mean()),
            cost=float(costs.mean()),
            cost_p90=float(np.quantile(costs, 0.9)),
        )

    def outcomes(self, thresholds: Sequence[float], costs: Sequence[float]) -> list[Outcome]:
        """Returns those of every layer and threshold."""
        return [
            self.outcome(layer, threshold, cost)
            for layer, cost in enumerate(costs, 1)
            for threshold in thresholds
        ]


def choose(outcomes: Sequence[Outcome], budget: float) -> Outcome | None:
    """Returns the cheapest outcome within a budget, of those the most accurate.

    ``None`` if there is none, or none costs less than the complete model.
    """
    allowed = [each for each in outcomes if each.drop <= budget + ROUNDING and each.cost < 1]
    return min(allowed, key=lambda each: (each.cost, each.drop), default=None)


@dataclass(frozen=True)
class Costs:
    """Costs as shares of the complete model's."""

    exits: tuple[float, ...]
    """Of a text that leaves behind layer 1, 2 …"""
    cuts: tuple[float, ...]
    """Of a model of 1, 2 … layers."""

    @classmethod
    def of(cls, full: Structure, hidden: int) -> "Costs":
        """Returns the costs of a model.

        A text that leaves has passed complete layers: every position of the layer before an exit is
        computed, since the text may go on.
        """
        head = hidden // max(full.heads)
        exits = [work(*pair, hidden, head, TOKENS) for pair in _pairs(full)]
        whole = work_of(full, hidden, head)
        cuts = [
            work_of(Structure(full.heads[:k], full.neurons[:k]), hidden, head)
            for k in range(1, full.depth)
        ]
        return cls(
            tuple(sum(exits[:k]) / whole for k in range(1, full.depth)),
            tuple(cut / whole for cut in cuts),
        )


def work(heads: int, neurons: int, hidden: int, head: int, positions: int) -> int:
    """Returns the multiplications of a layer for a text of ``TOKENS`` tokens.

    Keys and values are computed for all tokens, everything else for ``positions`` of them.
    """
    inner = heads * head
    rest = 2 * hidden * inner + 2 * TOKENS * inner + 2 * hidden * neurons
    return TOKENS * 2 * hidden * inner + positions * rest


def work_of(structure: Structure, hidden: int, head: int) -> int:
    """Returns the multiplications of a model.

    From the last layer with attention on, only the first position is computed.
    """
    reading = [layer for layer, heads in enumerate(structure.heads) if heads]
    last = reading[-1] if reading else 0
    return sum(
        work(*pair, hidden, head, TOKENS if layer < last else 1)
        for layer, pair in enumerate(_pairs(structure))
    )


def _pairs(structure: Structure) -> list[tuple[int, int]]:
    return list(zip(structure.heads, structure.neurons, strict=True))


def main() -> None:
    record_missing(__doc__, record=RECORD, ways=({},), measure=lambda run: lambda _: measure(run))


def measure(run: Run) -> dict[str, Any]:
    """Fits the heads of a run, chooses on validation text and scores the choices on test text."""
    from edgeadapt.models.merge import merge
    from edgeadapt.models.opened import OpenedRun
    from edgeadapt.models.text_model import TextModel

    opened = OpenedRun(run)
    model = TextModel(merge(opened.classifier()), opened.encoder)
    full, hidden = _structure(model), model.merged.stock.config.hidden_size
    costs = Costs.of(full, hidden)
    validation, test, heads = _exits(opened, model)
    chooses = validation.rows(slice(0, None, 2))
    choices = []
    for way, thresholds, prices in (
        ("early exit", THRESHOLDS, costs.exits),
        ("fewer layers", (0.0,), costs.cuts),
    ):
        found = chooses.outcomes(thresholds, prices)
        for budget in BUDGETS:
            choice = choose(found, budget)
            scored = choice and test.outcome(
                choice.layer, choice.threshold, prices[choice.layer - 1]
            )
            choices.append(
                {
                    "way": way,
                    "budget": budget,
                    "chosen": asdict(choice) if choice else None,
                    "test": asdict(scored) if scored else None,
                }
            )
    return {
        "hidden": hidden,
        "structure": asdict(full),
        "costs": asdict(costs),
        "heads": heads,
        "full": {
            "validation": float((validation.full.argmax(1) == validation.labels).mean()),
            "test": float((test.full.argmax(1) == test.labels).mean()),
        },
        "curves": _curves(validation, costs),
        "choices": choices,
    }


def _exits(
    opened: "OpenedRun", model: "TextModel"
) -> tuple[Exits, Exits, list[dict[str, str | float]]]:
    """Returns the answers on validation and test text, and a description of the heads."""
    from middle_heads import behind_layers, fit_head

    from edgeadapt.training.datasets import training_examples

    train = training_examples(opened.info)
    behind = behind_layers(model, train.texts)
    heads = []
    for layer in range(len(behind.features) - 1):
        heads.append(fit_head(model, behind, layer, train.known_labels()))
        print(f"layer {layer + 1}: {heads[-1].kind}, {heads[-1].held_out:.2%}", flush=True)
    found = []
    for split in (opened.validation, opened.test):
        assert split is not None, "the runs of accuracy.py hold validation and test text"
        given = behind_layers(model, split.texts)
        early = [head.logits(given.features[layer]) for layer, head in enumerate(heads)]
        found.append(Exits(early, given.logits, split.known_labels()))
    described = [{"kind": head.kind, "held_out": head.held_out} for head in heads]
    return found[0], found[1], described


def _structure(model: "TextModel") -> Structure:
    from edgeadapt.backbones import backbone_spec
    from edgeadapt.runtime.resized import structure_of

    stock = model.merged.stock
    return structure_of(stock, backbone_spec(stock.config.model_type))


def _curves(validation: Exits, costs: Costs) -> dict[str, Any]:
    """Returns what every layer and threshold does on all of the validation text."""
    found = validation.outcomes(THRESHOLDS, costs.exits)
    by_layer = [[each for each in found if each.layer == k + 1] for k in range(len(costs.exits))]
    return {
        "thresholds": THRESHOLDS,
        **{
            name: [[round(getattr(each, name), 4) for each in line] for line in by_layer]
            for name in ("leaving", "accuracy", "agreement")
        },
    }


@dataclass(frozen=True)
class Compressed:
    """A run after ``--speedup 2.4``."""

    layers: int
    max_drop: float
    drop: float
    """On test text, against fp32; int8 included."""
    cost: float
    """As a share of the complete model's."""


def compressed(row: dict[str, Any]) -> Compressed | None:
    """Returns depth and width together for the run of a row, if they are measured."""
    wanted = {"dataset": row["dataset"], "seed": row["seed"], "way": "2.4 times"}
    rows = [each for each in recorded(COMPRESSED) if wanted.items() <= each.items()]
    if not rows or "test" not in rows[0]:
        return None
    found, hidden = rows[0], row["hidden"]
    full, after = _read(row["structure"]), _read(found["after"])
    head = hidden // max(full.heads)
    cost = work_of(after, hidden, head) / work_of(full, hidden, head)
    drop = found["test"]["accuracy_drop"]
    return Compressed(after.depth, found["max_drop"], drop, cost)


def _read(structure: dict[str, list[int]]) -> Structure:
    return Structure(tuple(structure["heads"]), tuple(structure["neurons"]))


def early_exit() -> str:
    """Cost and drop on test text of early exit, fewer layers, and depth and width together."""
    lines = []
    for row in load(RECORD)["rows"]:
        depth = len(row["structure"]["heads"])
        for choice in row["choices"]:
            budget, test = f"{100 * choice['budget']:.1f}", choice["test"]
            if test is None:
                lines.append((row["dataset"], choice["way"], budget, "none", "", "", "", "1", "1"))
                continue
            lines.append(
                (
                    row["dataset"],
                    choice["way"],
                    budget,
                    f"{test['layer']} of {depth}",
                    f"{test['threshold']:.3g}" if test["threshold"] else "",
                    f"{test['leaving']:.1%}",
                    f"{100 * test['drop']:.2f}",
                    f"{test['cost']:.2f}",
                    f"{test['cost_p90']:.2f}",
                )
            )
        if other := compressed(row):
            way, layers = "depth and width, int8", f"{other.layers} of {depth}"
            budget, drop = f"{100 * other.max_drop:.1f}", f"{100 * other.drop:.2f}"
            cost = f"{other.cost:.2f}"
            lines.append((row["dataset"], way, budget, layers, "", "100.0%", drop, cost, cost))
    headers = (
        "data",
        "way",
        "budget, points",
        "layers",
        "threshold",
        "leave",
        "drop, points",
        "mean cost",
        "p90",
    )
    return table(headers, lines) + f"\n\n{verdict()}"


def wins(row: dict[str, Any], other: Compressed) -> bool:
    """Returns whether an early exit costs less than depth and width, and drops no more."""
    return any(
        test["cost"] < other.cost and test["drop"] <= other.drop + ROUNDING
        for choice in row["choices"]
        if choice["way"] == "early exit" and (test := choice["test"])
    )


def verdict() -> str:
    """Applies the rule that was set before the measurement."""
    rows = load(RECORD)["rows"]
    pairs = [(row, compressed(row)) for row in rows]
    compared = [(row, other) for row, other in pairs if other]
    won = [row["dataset"] for row, other in compared if wins(row, other)]
    named = f" ({', '.join(won)})" if won else ""
    missing = [row["dataset"] for row, other in pairs if not other]
    later = f" Depth and width are not measured yet on {', '.join(missing)}." if missing else ""
    return (
        f"Early exit costs less at a drop that is no larger on {len(won)} of {len(compared)} data "
        f"sets{named}; to be built, it has to on {NEEDED} of {len(DATASETS)}.{later}"
    )


SHOWN = Shown(tables={"docs/results/compression.md": {"early-exit": early_exit}})


if __name__ == "__main__":
    main()
