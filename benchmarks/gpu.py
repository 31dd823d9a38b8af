"""Measure training speed, memory and model FLOPs utilisation on a GPU, BERT-base at 128 tokens.

    python benchmarks/gpu.py [FOLDER]   # on a machine with an idle GPU

The tokenizer is the embedded encoder's, or that of the checkpoint in FOLDER. Every loop
(``loops.py``) trains on the same texts of IMDb with the same weights, in a separate process. All
processes start and warm up at the same time. Then they take turns: one process trains for some
steps while the others wait. The weights of BERT-base are random, which does not change the speed.
Utilisation is the FLOPs of the matrix products that the method needs, divided by the time and the
peak of the GPU. The throughput of one large matrix product is measured too.
"""

import json
import subprocess
import sys
import time
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from common import Shown, data_folder, load, save, table
from loops import MAX_LENGTH, Clock, Contender, Work, embedded, full, ours, peft, with_trainer

__all__ = ["SHOWN"]

ROUNDS = 3
WARMUP_STEPS = 4
"""Steps before the first turn."""
UNTIMED_STEPS = 2
"""Untimed steps at the beginning of each turn, which allocate memory again."""
STEPS = {32: 20, 128: 20, 512: 10}
"""Size of a batch -> timed steps of each turn."""
PEAK = {"H100": 989.4e12, "H200": 989.4e12, "A100": 312e12}
"""FLOP/s of dense bfloat16 products, by the vendor's data sheets of the SXM parts."""
ANSWER = "ANSWER "
"""Prefix of the result lines of a process, since libraries print other lines."""
CONTENDERS: dict[str, Contender] = {
    "edgeadapt parallel+bitfit": ours("parallel+bitfit"),
    "edgeadapt full": ours("full"),
    "PEFT LoRA + Trainer, bf16": with_trainer(peft, bf16=True),
    "full fine-tuning + Trainer, bf16": with_trainer(full, bf16=True),
}


def main() -> None:
    import torch

    tokenizer = sys.argv[1] if len(sys.argv) == 2 else embedded()
    rows: list[dict[str, Any]] = []
    failures: list[dict[str, Any]] = []
    with TemporaryDirectory() as folder:
        make_bert_base(Path(folder), tokenizer)
        for batch in STEPS:
            processes = [Process(contender, batch, folder) for contender in CONTENDERS]
            ready = [process for process in processes if process.answer() is not None]
            for _ in range(ROUNDS):
                for process in ready:
                    process.take_turn()
            for process in processes:
                process.close()
                found = process.row()
                print(found, flush=True)
                (failures if "error" in found else rows).append(found)
    name = torch.cuda.get_device_name()
    save(
        "gpu",
        {
            "device": name,
            "shape": "BERT-base",
            "tokens": MAX_LENGTH,
            "peak_flops": next((peak for part, peak in PEAK.items() if part in name), None),
            "product_flops": product_flops(),
            "rows": rows,
            "failures": failures,
        },
    )


class Process:
    """The process of a loop, which waits for its turns."""

    def __init__(self, contender: str, batch: int, folder: str) -> None:
        self.contender, self.batch = contender, batch
        self.seconds: list[float] = []
        self.peak_mb: float | None = None
        self.log = (Path(folder) / f"{contender}-{batch}.log".replace(" ", "-")).open("w+")
        self.process = subprocess.Popen(
            [sys.executable, __file__, contender, str(batch), folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
        )

    def answer(self) -> dict[str, float] | None:
        """Waits for the end of a turn and returns its result; ``None`` if the process failed."""
        assert self.process.stdout
        for line in self.process.stdout:
            if line.startswith(ANSWER):
                return dict(json.loads(line.removeprefix(ANSWER)))
        return None

    def take_turn(self) -> None:
        assert self.process.stdin
        if self.process.poll() is not None:
            return
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        if (found := self.answer()) is not None:
            self.seconds.append(found["seconds"])
            self.peak_mb = found["peak_mb"]

    def close(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait()

    def row(self) -> dict[str, Any]:
        found = {"contender": self.contender, "batch": self.batch}
        if len(self.seconds) < ROUNDS:
            self.log.seek(0)
            return {**found, "error": (self.log.read().strip().splitlines() or [""])[-1]}
        steps = STEPS[self.batch]
        return {
            **found,
            "steps_per_turn": steps,
            "examples_per_second": self.batch * steps / median(self.seconds),
            "peak_mb": self.peak_mb,
            "flops_per_example": flops_per_example(self.contender),
            "seconds_of_turns": self.seconds,
        }


class Turns(Clock):
    """A clock that makes its process wait between turns."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.turn = UNTIMED_STEPS + steps
        self.count, self.start = 0, 0.0

    def tick(self, texts: int) -> None:
        import torch

        self.count += 1
        step = (self.count - WARMUP_STEPS) % self.turn
        if self.count >= WARMUP_STEPS and step == 0:
            self.wait()
        elif self.count > WARMUP_STEPS and step == UNTIMED_STEPS:
            torch.cuda.synchronize()
            self.start = time.perf_counter()

    def wait(self) -> None:
        import torch

        torch.cuda.synchronize()
        found = {
            "seconds": time.perf_counter() - self.start,
            "peak_mb": torch.cuda.max_memory_allocated() / 1e6,
        }
        torch.cuda.empty_cache()
        print(ANSWER + json.dumps(found), flush=True)
        sys.stdin.readline()


def train(contender: str, batch: int, folder: str) -> None:
    import torch

    torch.manual_seed(0)
    turns = Turns(STEPS[batch])
    count = batch * (WARMUP_STEPS + ROUNDS * turns.turn)
    CONTENDERS[contender](turns, Work(*long_texts(count), folder, "cuda", batch))


def long_texts(count: int) -> tuple[list[str], list[int]]:
    """Returns labelled texts of at least ``MAX_LENGTH`` tokens, so that none is padded.

    Args:
        count: Number of texts; they are repeated if there are fewer.
    """
    from edgeadapt.recipe import DataConfig
    from edgeadapt.training.datasets import load_dataset

    examples = load_dataset(DataConfig(dataset=str(data_folder("imdb")))).train
    labels = examples.known_labels().tolist()
    # A word is at least one token.
    found = [
        (str(text), label)
        for text, label in zip(examples.texts, labels, strict=True)
        if len(str(text).split()) >= MAX_LENGTH
    ]
    texts, kept = zip(*islice(cycle(found), count), strict=True)
    return list(texts), list(kept)


def make_bert_base(folder: Path, tokenizer: str) -> None:
    """Writes a checkpoint of BERT-base's shape with another checkpoint's tokenizer."""
    import torch
    from transformers import AutoTokenizer, BertConfig, BertModel

    torch.manual_seed(0)
    BertModel(BertConfig()).save_pretrained(folder)
    AutoTokenizer.from_pretrained(tokenizer).save_pretrained(folder)


def flops_per_example(contender: str) -> float:
    """Returns the FLOPs of the matrix products that a training step needs for one text.

    In the forward pass a layer multiplies each token by 4h² + 2hf weights and attends to s tokens
    with 2sh products, at 2 FLOPs each. The gradients of the inputs take as many and, where weights
    are trained, those of the weights as many again. In the last layer edgeadapt computes only keys
    and values for all tokens. The products of its adapters are counted too.
    """
    h, f, layers, s, r = 768, 3072, 12, MAX_LENGTH, 64
    weights, attention = 4 * h * h + 2 * h * f, 2 * s * h
    passes = 3 if "full" in contender else 2
    depth: float = layers
    if contender.startswith("edgeadapt"):
        depth = layers - 1 + 2 * h * h / weights
    adapters = 3 * 2 * 2 * h * r * (layers - 1) if "parallel" in contender else 0
    needed = depth * 2 * passes * weights + depth * 2 * 3 * attention + adapters
    return float(s * needed)


def product_flops() -> float:
    """Returns FLOP/s of one large product of random bfloat16 matrices."""
    import torch

    size, times = 8192, 10
    a, b = torch.randn(2, size, size, device="cuda", dtype=torch.bfloat16)
    for _ in range(3):
        a @ b
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    for _ in range(times):
        a @ b
    end.record()
    torch.cuda.synchronize()
    return float(times * 2 * size**3 / (start.elapsed_time(end) / 1e3))


def gpu() -> str:
    """How fast each loop trains BERT-base on a GPU, and how much of the GPU it uses."""
    found = load("gpu")
    rows = {(row["contender"], row["batch"]): row for row in found["rows"]}
    contenders, batches = (list(dict.fromkeys(key[at] for key in rows)) for at in (0, 1))
    lines = []
    for contender in contenders:
        each = [rows.get((contender, batch)) for batch in batches]
        speeds = [f"{row['examples_per_second']:,.0f}" if row else "failed" for row in each]
        memory = share = ""
        if largest := each[-1]:
            work = largest["examples_per_second"] * largest["flops_per_example"]
            memory, share = (
                f"{largest['peak_mb'] / 1e3:.1f} GB",
                f"{work / found['peak_flops']:.0%}",
            )
        lines.append((contender, *speeds, memory, share))
    headers = ("texts/s in batches of", *map(str, batches), "peak", "of its peak FLOP/s")
    turns = len(found["rows"][0]["seconds_of_turns"])
    return (
        f"{table(headers, lines)}\n\n{found['device']}, {found['shape']} with weights drawn at "
        f"random, texts of {found['tokens']} tokens, bfloat16, each loop eager; median of {turns} "
        f"turns. Memory and use of the GPU are those of the largest batch; its peak is "
        f"{found['peak_flops'] / 1e12:,.0f} TFLOP/s by the data sheet, of which one large product "
        f"reaches {found['product_flops'] / 1e12:,.0f}."
    )


SHOWN = Shown(tables={"docs/results/training-speed.md": {"gpu": gpu}})


if __name__ == "__main__":
    if len(sys.argv) == 4:
        train(sys.argv[1], int(sys.argv[2]), sys.argv[3])
    else:
        main()
