"""Compare training speed and peak memory with other training loops.

    python benchmarks/training.py        # on an idle machine; needs the extra [interop]

Every loop (``loops.py``) trains on the same texts with the same backbone, in fresh processes,
interleaved. Speed is that of the steps after the warm-up; memory is the peak of the process.

The record is named after the precision that is fastest on the machine, which decides which loops
are compared: ``results/training-fp32.json``, ``results/training-bf16.json``.

The seed's loop (the notebook that edgeadapt started from) pads every text to 128 tokens, uses
batches of 16, and adds adapters on the hidden states of the frozen encoder: it trains nothing
inside the encoder.
"""

import json
import subprocess
import sys
from collections.abc import Mapping
from statistics import median
from typing import Any

from common import RESULTS, Aim, Shown, data_folder, load, machine_name, save, table
from loops import (
    Clock,
    Contender,
    Work,
    adapterhub,
    embedded,
    full,
    ours,
    peft,
    seed,
    with_trainer,
)

__all__ = ["SHOWN"]

ROUNDS = 3
THREADS = 2
TEXTS = {"sst2": 1_280, "imdb": 320}
"""Data set -> texts of its one epoch; a multiple of the batch."""
DEFAULT = "edgeadapt parallel+bitfit"
OTHER_LOOPS = {
    "the seed's loop": ("the seed's loop",),
    "the faster of AdapterHub and PEFT": ("AdapterHub", "PEFT"),
    "full fine-tuning with `Trainer`": ("full fine-tuning",),
}
"""Group of loops to compare the default with -> prefixes of their names."""
FASTER = (
    ("sst2", "the seed's loop", 3.0),
    ("sst2", "the faster of AdapterHub and PEFT", 1.3),
    ("sst2", "full fine-tuning with `Trainer`", 1.5),
    ("imdb", "the faster of AdapterHub and PEFT", 1.0),
)
"""``(data set, group of loops, aim)``: how many times faster the default should be."""
CONTENDERS: dict[str, Contender] = {
    DEFAULT: ours("parallel+bitfit"),
    "edgeadapt parallel+bitfit, attention without dropout": ours(
        "parallel+bitfit", dropout="hidden"
    ),
    "edgeadapt parallel+bitfit, fp32": ours("parallel+bitfit", precision="fp32"),
    "edgeadapt parallel, layers 4-5, 4 epochs": ours("parallel", layers="4-5", epochs=4),
    "edgeadapt parallel, layers 4-5, 4 epochs, nothing remembered": ours(
        "parallel", layers="4-5", epochs=4, memory=0
    ),
    "edgeadapt full": ours("full"),
    "the seed's loop": seed,
    "AdapterHub AdapterTrainer": with_trainer(adapterhub),
    "PEFT LoRA + Trainer": with_trainer(peft),
    "full fine-tuning + Trainer": with_trainer(full),
    "AdapterHub AdapterTrainer, bf16": with_trainer(adapterhub, bf16=True),
    "PEFT LoRA + Trainer, bf16": with_trainer(peft, bf16=True),
    "full fine-tuning + Trainer, bf16": with_trainer(full, bf16=True),
}


def main() -> None:
    precision = chosen_precision()
    contenders = [
        name for name in CONTENDERS if precision == "bf16" or not name.endswith(("fp32", "bf16"))
    ]
    rows: dict[tuple[str, str], list[dict[str, float]]] = {}
    for number in range(ROUNDS):
        for dataset in TEXTS:
            for contender in contenders:
                command = [sys.executable, __file__, contender, dataset]
                done = subprocess.run(command, check=True, capture_output=True, text=True)
                found = json.loads(done.stdout.splitlines()[-1])
                rows.setdefault((contender, dataset), []).append(found)
                print(number, contender, dataset, found, flush=True)
    save(
        f"training-{precision}",
        {
            "threads": THREADS,
            "texts": TEXTS,
            "rows": [
                {
                    "contender": contender,
                    "dataset": dataset,
                    "examples_per_second": median(one["examples_per_second"] for one in each),
                    "peak_mb": median(one["peak_mb"] for one in each),
                    "rounds": each,
                }
                for (contender, dataset), each in rows.items()
            ],
        },
    )


def chosen_precision() -> str:
    """Returns the precision that edgeadapt chooses on this machine."""
    import torch

    from edgeadapt.recipe import TrainingConfig
    from edgeadapt.training.objectives import Compute

    return Compute.on(torch.device("cpu"), TrainingConfig()).precision.value


def measure(contender: str, dataset: str) -> dict[str, float]:
    """Trains once in this process."""
    import torch

    from edgeadapt.measure.memory import peak_bytes

    torch.manual_seed(0)
    torch.set_num_threads(THREADS)
    clock = Clock()
    CONTENDERS[contender](clock, Work(*texts_of(dataset), backbone=embedded()))
    return {
        "examples_per_second": clock.examples_per_second(),
        "peak_mb": peak_bytes() / 1e6,
    }


def texts_of(dataset: str) -> tuple[list[str], list[int]]:
    """Returns texts and labels, shuffled; the same for every loop."""
    import numpy as np

    from edgeadapt.recipe import DataConfig
    from edgeadapt.training.datasets import load_dataset

    train = load_dataset(DataConfig(dataset=str(data_folder(dataset)))).train
    picked = train.take(np.random.default_rng(0).permutation(len(train))[: TEXTS[dataset]])
    return [str(text) for text in picked.texts], picked.known_labels().tolist()


def training() -> str:
    """How fast each loop trains, and how much memory it takes, on each kind of machine."""
    names = [f"training-{precision}" for precision in ("bf16", "fp32")]
    found = [load(name) for name in names if (RESULTS / f"{name}.json").is_file()]
    return "\n\n".join(map(_training_on, found)) or "no record yet"


def _training_on(found: Mapping[str, Any]) -> str:
    rows = {(row["contender"], row["dataset"]): row for row in found["rows"]}
    contenders = list(dict.fromkeys(contender for contender, _ in rows))
    lines = []
    for contender in contenders:
        cells = []
        for dataset in found["texts"]:
            row = rows[contender, dataset]
            cells += [f"{row['examples_per_second']:.0f}", f"{row['peak_mb']:,.0f}"]
        lines.append((contender, *cells))
    headers = [
        "",
        *(f"{name} {what}" for name in found["texts"] for what in ("texts/s", "peak MB")),
    ]
    rounds = len(found["rows"][0]["rounds"])
    return (
        f"{table(headers, lines)}\n\n"
        f"{machine_name(found['machine'])}, {found['threads']} threads; median of {rounds} "
        f"rounds of fresh processes, interleaved. {_against_others(rows)}"
    )


def _against_others(rows: Mapping[tuple[str, str], Any]) -> str:
    """How many times faster than each kind of loop the default trains, on each data set."""
    told = []
    for title, beginnings in OTHER_LOOPS.items():
        ratios = []
        for dataset in dict.fromkeys(dataset for _, dataset in rows):
            speeds = {c: row["examples_per_second"] for (c, d), row in rows.items() if d == dataset}
            fastest = max(speed for c, speed in speeds.items() if c.startswith(beginnings))
            ratios.append(f"{speeds[DEFAULT] / fastest:.2f} × ({dataset})")
        told.append(f"{title} {', '.join(ratios)}")
    return f"The default against {'; '.join(told)}."


def aims() -> list[Aim]:
    """How the default compares with other loops, on a CPU without bfloat16."""
    rows = {(row["contender"], row["dataset"]): row for row in load("training-fp32")["rows"]}

    def others(value: str, dataset: str, beginnings: tuple[str, ...]) -> list[float]:
        return [
            float(row[value])
            for (contender, name), row in rows.items()
            if name == dataset and contender.startswith(beginnings)
        ]

    found = []
    for dataset, title, least in FASTER:
        ours = rows[DEFAULT, dataset]["examples_per_second"]
        ratio = ours / max(others("examples_per_second", dataset, OTHER_LOOPS[title]))
        verdict = "met" if round(ratio, 2) >= least else "**missed**"
        found.append(Aim(f"{least:g} × {title}, {dataset}", f"{ratio:.2f} ×", verdict))
    ours = rows[DEFAULT, "sst2"]["peak_mb"]
    every = tuple(name for names in OTHER_LOOPS.values() for name in names)
    smallest = min(others("peak_mb", "sst2", every))
    verdict = "met" if ours < smallest else "**missed**"
    return [
        *found,
        Aim("less memory than each, sst2", f"{ours:.0f} MB, {smallest:.0f} MB", verdict),
    ]


def aims_table() -> str:
    lines = [(aim.what, aim.measured, aim.verdict) for aim in aims()]
    return table(("aim", "measured", ""), lines)


SHOWN = Shown(
    tables={"docs/results/training-speed.md": {"training": training, "training-aims": aims_table}},
    aims={"training-speed": aims},
)


if __name__ == "__main__":
    if len(sys.argv) == 3:
        print(json.dumps(measure(*sys.argv[1:])))
    else:
        main()
