"""Shared code of the scripts that compare ways to a smaller model inside torch."""

import argparse
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from accuracy import add_row
from common import WORK, recorded

from edgeadapt.metrics import drift
from edgeadapt.recipe import Task
from edgeadapt.store.run import Run

if TYPE_CHECKING:
    from edgeadapt.backbones import BackboneSpec
    from edgeadapt.compress.costs import LayerCosts
    from edgeadapt.data import Dataset
    from edgeadapt.models.text_model import TextModel
    from edgeadapt.store.structure import Structure

__all__ = ["DATASETS", "Original", "record_missing"]

DATASETS = ("trec", "tweet_emotion", "sst2", "banking77")


@dataclass(frozen=True)
class Original:
    """The merged model of a run, its data, and what its layers cost in int8 on this machine."""

    run: Run
    model: "TextModel"
    spec: "BackboneSpec"
    data: "Dataset"
    task: Task
    costs: "LayerCosts"
    structure: "Structure"

    @classmethod
    def of(cls, run: Run) -> "Original":
        """Opens a run, and measures what layers cost."""
        from edgeadapt.backbones import backbone_spec
        from edgeadapt.graph.layer_stack import EncoderShape
        from edgeadapt.models.merge import merge
        from edgeadapt.models.opened import OpenedRun
        from edgeadapt.models.text_model import TextModel
        from edgeadapt.quantize.layer_costs import layer_costs
        from edgeadapt.quantize.options import Quantization
        from edgeadapt.runtime.resized import head_size, structure_of
        from edgeadapt.training.datasets import load_dataset

        opened = OpenedRun.of(run)
        merged = merge(opened.classifier())
        model = TextModel(merged.resized(merged.model), opened.encoder)
        spec = backbone_spec(merged.model.config.model_type)
        structure = structure_of(merged.model, spec)
        costs = layer_costs(
            Quantization(),
            EncoderShape(
                hidden=merged.model.config.hidden_size,
                head_size=head_size(merged.model),
                labels=len(opened.info.labels),
            ),
            structure,
            max_length=model.encoder.max_length,
            threads=1,
        )
        data = load_dataset(opened.recipe.data)
        return cls(run, model, spec, data, opened.info.task, costs, structure)

    def is_fast(self, speedup: float, structure: "Structure") -> bool:
        """Returns whether a structure is predicted to be ``speedup`` times as fast."""
        return self.costs.of(structure) * speedup <= self.costs.of(self.structure)

    def on_test(self, smaller: "TextModel") -> dict[str, Any]:
        """Compares a smaller model with the original on all of the test text, both in fp32."""
        test = self.data.test
        before, after = self.model.logits(test.texts), smaller.logits(test.texts)
        return drift(before, after, test.known_labels(), task=self.task).to_dict()


def record_missing(
    doc: str | None,
    *,
    record: str,
    ways: Iterable[Mapping[str, Any]],
    measure: Callable[[Run], Callable[[Mapping[str, Any]], dict[str, Any]]],
) -> None:
    """Runs a script: measures the ways that its record lacks, and saves each at once.

    Args:
        doc: The script's docstring.
        record: Name of its record.
        ways: The keys of a row, besides data set and seed.
        measure: Prepares one run, and returns what measures a way.
    """
    parser = argparse.ArgumentParser(description=doc)
    parser.add_argument("jobs", nargs="*", help="DATASET:SEED; default: all of seed 0")
    parser.add_argument("--again", action="store_true", help="also measure what is recorded")
    asked = parser.parse_args()
    for job in asked.jobs or [f"{dataset}:0" for dataset in DATASETS]:
        dataset, seed = job.split(":")
        keys = [{"dataset": dataset, "seed": int(seed), **way} for way in ways]
        known = recorded(record)
        missing = [
            key
            for key in keys
            if asked.again or not any(key.items() <= row.items() for row in known)
        ]
        if not missing:
            continue
        of = measure(Run.open(WORK / "runs" / f"{dataset}-adapter-{seed}"))
        for key in missing:
            row = key | of(key)
            print(row, flush=True)
            add_row(record, row, keys=tuple(key))
