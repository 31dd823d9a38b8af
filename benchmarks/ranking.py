"""Compare ways to rank and to refit: what a model of a given speed loses with each.

    python benchmarks/accuracy.py trec:adapter:0   # once: the runs
    python benchmarks/ranking.py                   # every run of seed 0 that is not recorded
    python benchmarks/ranking.py trec:0 --again    # one run

Every way removes heads and neurons until the model is predicted to be ``SPEEDUP`` times as fast in
int8, and is scored in fp32 on all of the test text, which chooses nothing. Rankings differ in what
they rank by (``mask_gradients.py`` has those that the package does not use) and in whether they
rank once or again after each of ``STEPS``. Refits differ in what is fitted, and to how many texts.
"""

import argparse
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import asdict, replace
from functools import partial
from statistics import fmean
from typing import TYPE_CHECKING, Any

from accuracy import add_row
from common import WORK, Shown, recorded, table

from edgeadapt.metrics import drift
from edgeadapt.store.run import Run

if TYPE_CHECKING:
    from edgeadapt.compress.costs import LayerCosts
    from edgeadapt.data import Dataset, Examples
    from edgeadapt.models.text_model import TextModel
    from edgeadapt.runtime.resized import KeptWidths
    from edgeadapt.shrink.importance import Importance
    from edgeadapt.store.structure import Structure

__all__ = ["SHOWN"]

DATASETS = ("trec", "tweet_emotion", "sst2", "banking77")
SPEEDUP = 2.5
STEPS = (1.5, 2.0, SPEEDUP)
RANKING_TEXTS, FITTING_TEXTS, FEW_TEXTS = 1_024, 4_096, 1_024
CHOSEN = "error of the best fit"
RECORD = "ranking"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("jobs", nargs="*", help="DATASET:SEED; default: all of seed 0")
    parser.add_argument("--again", action="store_true", help="also measure what is recorded")
    asked = parser.parse_args()
    for job in asked.jobs or [f"{dataset}:0" for dataset in DATASETS]:
        dataset, seed = job.split(":")
        trials = Trials(Run.open(WORK / "runs" / f"{dataset}-adapter-{seed}"))
        for ranking, steps, refit in _ways():
            key = {"dataset": dataset, "seed": int(seed), "ranking": ranking}
            key |= {"steps": len(steps), "refit": refit}
            if not asked.again and any(key.items() <= row.items() for row in recorded(RECORD)):
                continue
            row = key | trials.measure(ranking, steps, refit)
            print(row, flush=True)
            add_row(RECORD, row, keys=tuple(key))


def _ways() -> Iterator[tuple[str, tuple[float, ...], str]]:
    from mask_gradients import CRITERIA

    for ranking in (CHOSEN, *CRITERIA):
        yield ranking, STEPS[-1:], "all layers"
    for ranking in (CHOSEN, "Fisher information of masks"):
        yield ranking, STEPS, "all layers"
    for refit in ("none", "no projections", "all layers, few texts"):
        yield CHOSEN, STEPS[-1:], refit


class Trials:
    """Makes and scores the smaller models of one run."""

    def __init__(self, run: Run) -> None:
        from edgeadapt.backbones import backbone_spec
        from edgeadapt.models.merge import merge
        from edgeadapt.models.opened import OpenedRun
        from edgeadapt.models.text_model import TextModel
        from edgeadapt.runtime.resized import structure_of
        from edgeadapt.training.datasets import load_dataset

        opened = OpenedRun.of(run)
        merged = merge(opened.classifier())
        self.model: TextModel = TextModel(merged.resized(merged.model), opened.encoder)
        self.spec = backbone_spec(merged.model.config.model_type)
        self.data: Dataset = load_dataset(opened.recipe.data)
        self.task = opened.info.task
        self.costs = self._costs(len(opened.info.labels))
        self.full = structure_of(merged.model, self.spec)
        self._targets: dict[int, Any] = {}
        self._before = self.model.logits(self.data.test.texts)

    def measure(self, ranking: str, steps: Sequence[float], refit: str) -> dict[str, Any]:
        """Returns what one way costs on test text."""
        from edgeadapt.runtime.resized import KeptWidths, resize, structure_of
        from edgeadapt.shrink.selection import Prices, select

        model, full = self.model, self.full
        kept = [
            KeptWidths(range(heads), range(neurons))
            for heads, neurons in zip(full.heads, full.neurons, strict=True)
        ]
        for step in steps:
            chosen = select(
                self._importance(model, ranking),
                Prices.of_latency(self.costs, full),
                fits=partial(self._is_fast, step),
            )
            kept = [_of(before, after) for before, after in zip(kept, chosen, strict=True)]
            smaller = deepcopy(self.model.merged.model)
            resize(smaller, self.spec, kept)
            self._fit(smaller, refit)
            model = replace(self.model, merged=self.model.merged.resized(smaller))
        test = self.data.test
        cost = drift(self._before, model.logits(test.texts), test.known_labels(), task=self.task)
        after = structure_of(model.merged.model, self.spec)
        return {"after": asdict(after), "test": cost.to_dict()}

    def _is_fast(self, speedup: float, structure: "Structure") -> bool:
        return self.costs.of(structure) * speedup <= self.costs.of(self.full)

    def _importance(self, model: "TextModel", ranking: str) -> "Importance":
        from mask_gradients import CRITERIA

        from edgeadapt.shrink.importance import importance_of

        examples = self._some(RANKING_TEXTS)
        if ranking == CHOSEN:
            return importance_of(model, examples.texts)
        return CRITERIA[ranking](model, examples)

    def _fit(self, smaller: Any, refit: str) -> None:
        from edgeadapt.shrink.refit import HeadTargets, SublayerTargets

        if refit == "none":
            return
        count = FEW_TEXTS if refit.endswith("few texts") else FITTING_TEXTS
        if count not in self._targets:
            texts = self._some(count).texts
            self._targets[count] = (
                SublayerTargets(self.model, texts, first_position=True),
                HeadTargets(self.model, texts),
            )
        sublayers, head = self._targets[count]
        sublayers.spec = self.spec
        if refit == "no projections":  # queries, keys and values, as if heads could not be removed
            sublayers.spec = replace(self.spec, attention=None)
        sublayers.fit(smaller, range(len(sublayers.layers)))
        head.fit(smaller)

    def _some(self, count: int) -> "Examples":
        train = self.data.train
        most = min(count, len(train))
        return train.take(number * len(train) // most for number in range(most))

    def _costs(self, labels: int) -> "LayerCosts":
        from edgeadapt.graph.layer_stack import EncoderShape
        from edgeadapt.quantize.layer_costs import layer_costs
        from edgeadapt.quantize.options import Quantization
        from edgeadapt.runtime.resized import head_size, structure_of

        torch_model = self.model.merged.model
        return layer_costs(
            Quantization(),
            EncoderShape(
                hidden=torch_model.config.hidden_size,
                head_size=head_size(torch_model),
                labels=labels,
            ),
            structure_of(torch_model, self.spec),
            max_length=self.model.encoder.max_length,
            threads=1,
        )


def _of(before: "KeptWidths", after: "KeptWidths") -> "KeptWidths":
    """What is left of the original's parts after the second of two removals."""
    from edgeadapt.runtime.resized import KeptWidths

    def part(kept: Sequence[int] | None, chosen: Sequence[int] | None) -> list[int]:
        numbers = list(kept or ())
        return numbers if chosen is None else [numbers[number] for number in chosen]

    return KeptWidths(part(before.heads, after.heads), part(before.neurons, after.neurons))


def ranking() -> str:
    """What each way loses on every data set, and on average."""
    rows = recorded(RECORD)
    if not rows:
        return "Not measured yet.\n"
    datasets = [name for name in DATASETS if any(row["dataset"] == name for row in rows)]
    ways = dict.fromkeys((row["ranking"], row["steps"], row["refit"]) for row in rows)
    lines = []
    for way in sorted(ways, key=lambda way: (way[2] != "all layers", way[1], way[0] != CHOSEN)):
        found = {
            name: [
                100 * row["test"]["accuracy_drop"]
                for row in rows
                if (row["ranking"], row["steps"], row["refit"], row["dataset"]) == (*way, name)
            ]
            for name in datasets
        }
        cells = [f"{fmean(drops):.2f}" if drops else "" for drops in found.values()]
        complete = all(found.values())
        mean = f"{fmean(fmean(drops) for drops in found.values()):.2f}" if complete else ""
        lines.append((way[0], "once" if way[1] == 1 else f"{way[1]} times", way[2], *cells, mean))
    return table(("ranked by", "ranked", "refitted", *datasets, "mean"), lines)


SHOWN = Shown(tables={"docs/results/compression.md": {"ranking": ranking}})


if __name__ == "__main__":
    main()
