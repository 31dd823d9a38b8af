"""Measure what an early exit would win before one is built: a head behind a middle layer.

    python benchmarks/accuracy.py trec:adapter:0    # once: the runs
    python benchmarks/early_exit.py                 # every run of seed 0 that is not recorded
    python benchmarks/early_exit.py trec:0 --again  # one run

The head answers if its largest probability reaches a threshold; all other texts pass through every
layer. Heads are fitted on training text (``middle_heads.py``). Layer and threshold are chosen on
rows 0, 2, 4 … of the validation text: the lowest mean cost among those whose drop is within the
budget. The same is done for models of fewer layers, which answer every text. Test text chooses
nothing. All models are fp32.

Costs are those of the table of ``edgeadapt export --compress`` for int8 at 64 tokens and one
thread, measured once. They are in favour of early exit: the embeddings and the head of a text that
leaves cost nothing, nor do the head and the second call to the engine of a text that goes on.
"""

import argparse
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from accuracy import add_row
from common import RESULTS, WORK, Shown, load, table
from numpy.typing import NDArray

from edgeadapt.metrics import Labels, Logits, confidence
from edgeadapt.recipe import Task
from edgeadapt.store.run import Run

if TYPE_CHECKING:
    from edgeadapt.compress.costs import LayerCosts
    from edgeadapt.models.opened import OpenedRun
    from edgeadapt.models.text_model import TextModel

__all__ = ["SHOWN", "Exits", "Outcome", "choose"]

DATASETS = ("trec", "tweet_emotion", "sst2", "banking77")
THRESHOLDS = (*(number / 20 for number in range(1, 20)), 0.97, 0.98, 0.99, 0.995, 0.999)
BUDGETS = (0.005, 0.01)
"""Accuracy that a choice may cost on the validation texts it is made by."""
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
    # A drop is a difference of two shares: 0.01 can be 0.010000000000000009.
    allowed = [each for each in outcomes if each.drop <= budget + 1e-9 and each.cost < 1]
    return min(allowed, key=lambda each: (each.cost, each.drop), default=None)


@dataclass(frozen=True)
class Costs:
    """Costs as shares of the complete model's."""

    exits: tuple[float, ...]
    """Of a text that leaves behind layer 1, 2 …"""
    cuts: tuple[float, ...]
    """Of a model of 1, 2 … layers."""
    full_ms: float
    """The complete model in milliseconds."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("jobs", nargs="*", help="DATASET:SEED; default: all of seed 0")
    parser.add_argument("--again", action="store_true", help="also measure what is recorded")
    asked = parser.parse_args()
    for job in asked.jobs or [f"{dataset}:0" for dataset in DATASETS]:
        dataset, seed = job.split(":")
        key = {"dataset": dataset, "seed": int(seed)}
        if not asked.again and any(key.items() <= row.items() for row in _rows(RECORD)):
            continue
        row = key | measure(Run.open(WORK / "runs" / f"{dataset}-adapter-{seed}"))
        add_row(RECORD, row, keys=("dataset", "seed"))
        print(early_exit())


def measure(run: Run) -> dict[str, Any]:
    """Fits the heads of a run, chooses on validation text and scores the choices on test text."""
    from edgeadapt.models.merge import merge
    from edgeadapt.models.opened import OpenedRun
    from edgeadapt.models.text_model import TextModel

    opened = OpenedRun(run)
    model = TextModel(merge(opened.classifier()), opened.encoder)
    costs = _costs(model)
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


def _costs(model: "TextModel") -> Costs:
    """Returns the recorded costs, or measures them: all runs have the same encoder."""
    from edgeadapt.backbones import backbone_spec
    from edgeadapt.graph.layer_stack import EncoderShape
    from edgeadapt.quantize.layer_costs import layer_costs
    from edgeadapt.quantize.options import Quantization
    from edgeadapt.runtime.resized import head_size, structure_of

    if rows := _rows(RECORD):
        known = rows[0]["costs"]
        return Costs(tuple(known["exits"]), tuple(known["cuts"]), known["full_ms"])
    stock = model.merged.stock
    full = structure_of(stock, backbone_spec(stock.config.model_type))
    shape = EncoderShape(hidden=stock.config.hidden_size, head_size=head_size(stock))
    found = layer_costs(Quantization(), shape, full, max_length=128, threads=1)
    print(found, flush=True)
    return shares(found, full.heads[0], full.neurons[0], full.depth)


def shares(costs: "LayerCosts", heads: int, neurons: int, depth: int) -> Costs:
    """Returns the costs of exits and cuts of a model whose layers are alike.

    A text that leaves passes complete layers: the positions of the layer before an exit are all
    computed, since the text may go on. The last layer of a cut computes the first position only.
    """
    from edgeadapt.store.structure import Structure

    full = costs.of(Structure((heads,) * depth, (neurons,) * depth))
    layer = costs.attention.of(heads) + costs.ffn.of(neurons)
    cuts = [costs.of(Structure((heads,) * k, (neurons,) * k)) for k in range(1, depth)]
    exits = [k * layer for k in range(1, depth)]
    return Costs(tuple(ms / full for ms in exits), tuple(ms / full for ms in cuts), full)


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


def _rows(name: str) -> list[dict[str, Any]]:
    return load(name)["rows"] if (RESULTS / f"{name}.json").is_file() else []


def _compressed(dataset: str, seed: int) -> dict[str, Any] | None:
    """Returns the row of depth and width together, if it is measured."""
    wanted = {"dataset": dataset, "seed": seed, "way": "auto"}
    rows = [row for row in _rows(COMPRESSED) if wanted.items() <= row.items() and "test" in row]
    return rows[0] if rows else None


def early_exit() -> str:
    """Cost and drop on test text of early exit, fewer layers, and depth and width together."""
    lines = []
    for row in load(RECORD)["rows"]:
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
                    f"{test['layer']} of {len(row['costs']['exits']) + 1}",
                    f"{test['threshold']:.3g}" if test["threshold"] else "",
                    f"{test['leaving']:.1%}",
                    f"{100 * test['drop']:.2f}",
                    f"{test['cost']:.2f}",
                    f"{test['cost_p90']:.2f}",
                )
            )
        if other := _compressed(row["dataset"], row["seed"]):
            drop, cost = f"{100 * other['test']['accuracy_drop']:.2f}", 1 / other["predicted"]
            depth = f"{len(other['after']['heads'])} of {len(row['costs']['exits']) + 1}"
            allowed = f"{100 * other['max_drop']:.1f}"
            way = "depth and width, int8"
            shown = f"{cost:.2f}"
            lines.append((row["dataset"], way, allowed, depth, "", "100.0%", drop, shown, shown))
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


def wins(row: dict[str, Any], other: dict[str, Any]) -> bool:
    """Returns whether an early exit costs less than depth and width, and drops no more."""
    return any(
        test["cost"] < 1 / other["predicted"] and test["drop"] <= other["test"]["accuracy_drop"]
        for choice in row["choices"]
        if choice["way"] == "early exit" and (test := choice["test"])
    )


def verdict() -> str:
    """Applies the rule that was set before the measurement."""
    rows = load(RECORD)["rows"]
    pairs = [(row, _compressed(row["dataset"], row["seed"])) for row in rows]
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
