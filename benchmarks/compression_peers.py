"""Measure what other ways to a smaller model keep of a run's accuracy, and win in latency.

    python benchmarks/accuracy.py trec:adapter:0            # once: the runs
    python benchmarks/compression_peers.py                  # every peer, every run of seed 0
    python benchmarks/compression_peers.py trec:0:onnxsim   # peers whose folder begins with onnxsim
    python benchmarks/compression_peers.py --time trec:0    # latency of the files: an idle machine

Every peer (``compressors.py``, ``peers/``) starts from the same run: its merged fp32 model, its
training text, or the backbone under it. What comes out gets the same graph passes and the same
dynamic int8 as the run itself, and is scored on all of its test text (``compressed.py``). Test text
chooses nothing. The files are kept in ``artifacts/compression``, so that timing can be repeated;
a row without an error is not measured again unless ``--again`` is given. A peer that fails
gets a row with the error. Latency is recorded in ``results/compression_peers-latency.json``.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from accuracy import add_row
from common import RESULTS, WORK, Shown, load, recorded, table
from compressors import COMPRESSORS, STATIC, Peer
from latency import fastest

__all__ = ["SHOWN"]

RECORD, TIMES = "compression_peers", "compression_peers-latency"
DATASETS = ("trec", "tweet_emotion", "sst2", "banking77")
LENGTHS, ROUNDS, THREADS = (16, 64, 128), 7, (1, 2)
WARMUP, REPEATS = 15, 60
UNPRUNED = "edgeadapt int8, unpruned"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("jobs", nargs="*", help="DATASET:SEED[:PEER]; default: all of seed 0")
    parser.add_argument("--time", action="store_true", help="measure the latency of existing files")
    parser.add_argument("--again", action="store_true", help="also measure what is recorded")
    asked = parser.parse_args()
    for job in asked.jobs or [f"{dataset}:0" for dataset in DATASETS]:
        dataset, seed, *names = job.split(":")
        root = WORK / "compression" / f"{dataset}-{seed}"
        if asked.time:
            for threads in THREADS:
                time_all(root, {"dataset": dataset, "seed": int(seed), "threads": threads})
            continue
        peers = [peer for peer in COMPRESSORS if not names or peer.folder.startswith(tuple(names))]
        measure_all(dataset, int(seed), peers, root, again=asked.again)


def measure_all(dataset: str, seed: int, peers: Sequence[Peer], root: Path, *, again: bool) -> None:
    from compressed import Subject, measure

    known = recorded(RECORD)
    for peer in peers:
        same = {"dataset": dataset, "seed": seed, "peer": peer.name, "setting": peer.setting}
        if not again and any(same.items() <= row.items() and "error" not in row for row in known):
            continue
        subject = Subject.of(dataset, seed, root)
        row = same | measure(subject, peer, root / peer.folder)
        print(row, flush=True)
        add_row(RECORD, row, keys=tuple(same))


@dataclass
class Clock:
    """The times of one model in milliseconds."""

    medians: dict[str, list[float]] = field(default_factory=dict)
    """Tokens -> the median of each process."""

    def add(self, name: str, nanoseconds: Sequence[int]) -> None:
        self.medians.setdefault(name, []).append(float(np.median(nanoseconds)) / 1e6)


def time_all(root: Path, same: Mapping[str, Any]) -> None:
    """Times the unpruned int8 file and every peer's, in fresh, interleaved processes."""
    from edgeadapt.measure.child import run_job
    from edgeadapt.measure.timed_jobs import FixedInput, GraphJob
    from edgeadapt.recipe import EngineName

    generator = np.random.default_rng(0)
    ids = {
        length: [101, *generator.integers(1_000, 20_000, length - 2).tolist(), 102]
        for length in LENGTHS
    }
    text = {str(length): " ".join(["good", "film"] * length)[: 5 * length] for length in LENGTHS}
    peers = [peer for peer in COMPRESSORS if (root / peer.folder / "made.json").is_file()]
    clocks = {peer: Clock() for peer in [None, *(peer.folder for peer in peers)]}
    for number in range(ROUNDS):
        for peer in (None, *peers):
            clock = clocks[peer.folder if peer else None]
            if peer and peer.script == STATIC:
                given = {"texts": text, "warmup": WARMUP, "repeats": REPEATS}
                answer = json.loads(
                    peer.contender().ask("measure", root / peer.folder, given=given)
                )
            else:
                file = root / (peer.folder if peer else "unpruned") / "int8.onnx"
                job = GraphJob(
                    model=str(file),
                    engine=EngineName.ONNXRUNTIME,
                    threads=same["threads"],
                    fixed=[FixedInput(row, [0] * len(row)) for row in ids.values()],
                    warmup=WARMUP,
                    repeats=REPEATS,
                )
                answer = dict(zip(map(str, LENGTHS), run_job(job).latency_ns, strict=True))
            for name, nanoseconds in answer.items():
                clock.add(name, nanoseconds)
        print(f"{root.name}, {same['threads']} threads, {number + 1}/{ROUNDS}", flush=True)
    for peer in (None, *peers):
        clock = clocks[peer.folder if peer else None]
        names = (peer.name, peer.setting) if peer else (UNPRUNED, "")
        row = {**same, "peer": names[0], "setting": names[1], "process_medians_ms": clock.medians}
        add_row(TIMES, row, keys=("dataset", "seed", "threads", "peer", "setting"))


def kept() -> str:
    """What every peer keeps on the test text of each data set, and its latency where measured."""
    lines = []
    for row in sorted(load(RECORD)["rows"], key=_order):
        way = f"{row['peer']}, {row['setting']}"
        if "error" in row:
            lines.append((row["dataset"], way, f"failed: {row['error']}", *[""] * 6))
            continue
        validation, test = row["validation"], row["test"]
        low, high = (100 * value for value in test["drop_interval"])
        lines.append(
            (
                row["dataset"],
                way,
                f"{row['weights']:.0%}" if "weights" in row else "",
                f"{row.get('int8_bytes', row.get('own_bytes')) / 1e6:.1f}",
                f"{100 * validation['accuracy_drop']:.1f}",
                f"{100 * test['accuracy_after']:.1f}",
                f"{100 * test['accuracy_drop']:.1f} ({low:.1f} to {high:.1f})",
                f"{row['seconds'] / 60:.1f}",
                faster(row),
            )
        )
    lengths = " / ".join(map(str, LENGTHS))
    headers = (
        "data",
        "way",
        "weights left",
        "MB",
        "drop on validation",
        "test accuracy, %",
        "drop on test, points",
        "minutes",
        f"times as fast, 1 thread, {lengths} tokens",
    )
    return table(headers, lines)


def _order(row: Mapping[str, Any]) -> tuple[int, int]:
    names = list(dict.fromkeys(peer.name for peer in COMPRESSORS))
    return DATASETS.index(row["dataset"]), names.index(row["peer"])


def faster(row: Mapping[str, Any]) -> str:
    """Latency of the unpruned int8 file divided by that of a peer's; empty where not measured."""
    if not (RESULTS / f"{TIMES}.json").is_file():
        return ""
    same = {"dataset": row["dataset"], "seed": row["seed"], "threads": 1}
    times = {
        (other["peer"], other["setting"]): other["process_medians_ms"]
        for other in load(TIMES)["rows"]
        if same.items() <= other.items()
    }
    mine, ours = times.get((row["peer"], row["setting"])), times.get((UNPRUNED, ""))
    if not mine or not ours:
        return ""
    ratios = (fastest(ours[name]) / fastest(mine[name]) for name in map(str, LENGTHS))
    return " / ".join(f"{ratio:.1f}" for ratio in ratios)


SHOWN = Shown(tables={"benchmarks/notes/compression-peers.md": {"compression-peers": kept}})


if __name__ == "__main__":
    sys.exit(main())
