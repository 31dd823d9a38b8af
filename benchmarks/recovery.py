"""Compare ways to train a smaller model on: what is trained, by what, and for how long.

    python benchmarks/accuracy.py trec:adapter:0   # once: the runs
    python benchmarks/recovery.py                  # every run of seed 0 that is not recorded
    python benchmarks/recovery.py trec:0 --again   # one run

The smaller model is the one of ``ranking.py``: all layers, ``SPEEDUP`` times as fast as predicted
in int8, refitted. It is scored in fp32 on all of the test text, which chooses nothing, before any
training and after each way.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from common import Shown, recorded, table
from smaller_models import DATASETS, Original, record_missing

from edgeadapt.recipe import AdapterConfig
from edgeadapt.store.run import Run

if TYPE_CHECKING:
    from edgeadapt.models.text_model import TextModel

__all__ = ["SHOWN"]

SPEEDUP = 3.0
RECORD = "recovery"
BEFORE = "not trained"


@dataclass(frozen=True)
class Way:
    """A training."""

    epochs: int = 1
    changes: Mapping[str, Any] = field(default_factory=dict)
    """Constants of ``edgeadapt.training.recovery``."""


WAYS = {
    BEFORE: Way(epochs=0),
    "one epoch, as `--recover 1`": Way(),
    "three epochs": Way(3),
    "labels instead of the original's answers": Way(changes={"TEACHER_WEIGHT": 0.0}),
    "biases, LayerNorms and head alone": Way(changes={"ADAPTERS": AdapterConfig(method="bitfit")}),
    "low-rank updates of rank 32": Way(
        changes={
            "ADAPTERS": AdapterConfig(
                method="lora+bitfit", targets="query+key+value+dense+ffn", rank=32
            )
        }
    ),
    "a third of the learning rate": Way(changes={"RATE": 3e-4}),
}


def main() -> None:
    record_missing(__doc__, record=RECORD, ways=[{"way": way} for way in WAYS], measure=trials)


def trials(run: Run) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    """Makes the smaller model of a run, and returns what trains it on in one way."""
    from edgeadapt.runtime.resized import structure_of
    from edgeadapt.shrink.candidate import Workshop
    from edgeadapt.shrink.selection import Prices

    original = Original.of(run)
    with TemporaryDirectory() as folder:
        workshop = Workshop(original.model, original.data.train, folder=Path(folder))
        small = workshop.opened(
            workshop.small(
                original.structure.depth,
                Prices.of_latency(original.costs, original.structure),
                partial(original.is_fast, SPEEDUP),
            )
        )
    teacher = original.model.logits(original.data.train.texts)
    after = asdict(structure_of(small.merged.model, original.spec))

    def measure(key: Mapping[str, Any]) -> dict[str, Any]:
        way, started = WAYS[key["way"]], perf_counter()
        trained = _trained(original, small, way, teacher) if way.epochs else small
        seconds = perf_counter() - started
        return {"after": after, "seconds": seconds, "test": original.on_test(trained)}

    return measure


def _trained(original: Original, small: "TextModel", way: Way, teacher: Any) -> "TextModel":
    from edgeadapt.training import recovery

    with patch.dict(vars(recovery), way.changes):
        return recovery.recover(
            small,
            teacher=teacher,
            train=original.data.train,
            validation=original.data.validation,
            task=original.task,
            training=original.run.info.recipe.training,
            epochs=way.epochs,
        )


def recovery() -> str:
    """What each way loses on every data set, and on average."""
    rows = recorded(RECORD)
    if not rows:
        return "Not measured yet.\n"
    datasets = [name for name in DATASETS if any(row["dataset"] == name for row in rows)]
    lines = []
    for way in WAYS:
        found = {
            row["dataset"]: 100 * row["test"]["accuracy_drop"] for row in rows if row["way"] == way
        }
        if not found:
            continue
        cells = [f"{found[name]:.2f}" if name in found else "" for name in datasets]
        complete = len(found) == len(datasets)
        seconds = fmean(row["seconds"] for row in rows if row["way"] == way)
        lines.append(
            (
                way,
                *cells,
                f"{fmean(found.values()):.2f}" if complete else "",
                f"{seconds:.0f}" if way != BEFORE else "",
            )
        )
    return table(("trained on", *datasets, "mean", "seconds"), lines)


SHOWN = Shown(tables={"docs/results/compression.md": {"recovery": recovery}})


if __name__ == "__main__":
    main()
