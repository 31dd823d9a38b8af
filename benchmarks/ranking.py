"""Compare ways to rank and to refit: what a model of a given speed loses with each.

    python benchmarks/accuracy.py trec:adapter:0   # once: the runs
    python benchmarks/ranking.py                   # every run of seed 0 that is not recorded
    python benchmarks/ranking.py trec:0 --again    # one run

Every way removes heads and neurons until the model is predicted to be ``SPEEDUP`` times as fast in
int8, and is scored in fp32 on all of the test text, which chooses nothing. Rankings differ in what
they rank by (``mask_gradients.py`` has those that the package does not use) and in whether they
rank once or again after each of ``STEPS``. Refits differ in what is fitted, and to how many texts.
"""

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, replace
from functools import partial
from statistics import fmean
from typing import TYPE_CHECKING, Any

from common import Shown, recorded, table
from smaller_models import DATASETS, Original, record_missing

if TYPE_CHECKING:
    from edgeadapt.data import Examples
    from edgeadapt.models.text_model import TextModel
    from edgeadapt.runtime.resized import KeptWidths
    from edgeadapt.shrink.importance import Importance

__all__ = ["SHOWN"]

SPEEDUP = 2.5
STEPS = (1.5, 2.0, SPEEDUP)
RANKING_TEXTS, FITTING_TEXTS, FEW_TEXTS = 1_024, 4_096, 1_024
CHOSEN = "error of the best fit"
RECORD = "ranking"


def main() -> None:
    record_missing(
        __doc__,
        record=RECORD,
        ways=list(_ways()),
        measure=lambda run: Trials(Original.of(run)).measure,
    )


def _ways() -> Iterator[dict[str, Any]]:
    from mask_gradients import CRITERIA

    for ranking in (CHOSEN, *CRITERIA):
        yield {"ranking": ranking, "steps": 1, "refit": "all layers"}
    for ranking in (CHOSEN, "Fisher information of masks"):
        yield {"ranking": ranking, "steps": len(STEPS), "refit": "all layers"}
    for refit in ("none", "no projections", "all layers, few texts"):
        yield {"ranking": CHOSEN, "steps": 1, "refit": refit}


class Trials:
    """Makes and scores the smaller models of one run."""

    def __init__(self, original: Original) -> None:
        self.original = original
        self._targets: dict[int, Any] = {}

    def measure(self, way: Mapping[str, Any]) -> dict[str, Any]:
        """Returns what one way costs on test text."""
        from edgeadapt.runtime.resized import KeptWidths, resize, structure_of
        from edgeadapt.shrink.selection import Prices, select

        original, full = self.original, self.original.structure
        model = original.model
        kept = [
            KeptWidths(range(heads), range(neurons))
            for heads, neurons in zip(full.heads, full.neurons, strict=True)
        ]
        for step in STEPS[-way["steps"] :]:
            chosen = select(
                self._importance(model, way["ranking"]),
                Prices.of_latency(original.costs, full),
                fits=partial(original.is_fast, step),
            )
            kept = [_of(before, after) for before, after in zip(kept, chosen, strict=True)]
            smaller = deepcopy(original.model.merged.model)
            resize(smaller, original.spec, kept)
            self._fit(smaller, way["refit"])
            model = replace(original.model, merged=original.model.merged.resized(smaller))
        after = structure_of(model.merged.model, original.spec)
        return {"after": asdict(after), "test": original.on_test(model)}

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
        model, spec = self.original.model, self.original.spec
        if count not in self._targets:
            texts = self._some(count).texts
            self._targets[count] = (
                SublayerTargets(model, texts, first_position=True),
                HeadTargets(model, texts),
            )
        sublayers, head = self._targets[count]
        sublayers.spec = spec
        if refit == "no projections":  # queries, keys and values, as if heads could not be removed
            sublayers.spec = replace(spec, attention=None)
        sublayers.fit(smaller, range(len(sublayers.layers)))
        head.fit(smaller)

    def _some(self, count: int) -> "Examples":
        train = self.original.data.train
        most = min(count, len(train))
        return train.take(number * len(train) // most for number in range(most))


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
