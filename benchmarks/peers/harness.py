"""What every contender's script shares: its commands, its timing and its answer.

    python NAME.py prepare SOURCE TARGET < texts.json    # once: convert, quantize
    python NAME.py measure TARGET < job.json             # one process of the benchmark

``SOURCE`` is a folder with a stock checkpoint and ``stock.onnx``, its plain export. Texts are lists
of token ids, so that all contenders get the same input. A job is
``{"threads": N, "scenarios": {NAME: {"texts": [...], "warmup": N, "passes": N}}}``, batch 1; the
answer has nanoseconds of each text and the last pass's logits, where a contender has a head.

Standard library and numpy only: it runs in environments without edgeadapt.
"""

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from time import perf_counter_ns
from typing import Any

import numpy as np

Ids = Sequence[int]
Answer = Callable[[Ids], np.ndarray]


def main(
    *,
    load: Callable[[Path, int], Answer],
    prepare: Callable[[Path, Path, Sequence[Ids]], None],
) -> None:
    """Runs the command that the command line names.

    Args:
        load: Folder and threads -> a function from token ids to logits, or to hidden states.
        prepare: Writes the folder from a source's and texts to calibrate with.
    """
    given = json.load(sys.stdin)
    if sys.argv[1] == "prepare":
        source, target = map(Path, sys.argv[2:4])
        target.mkdir(parents=True, exist_ok=True)
        prepare(source, target, given)
        return
    started = perf_counter_ns()
    answer = load(Path(sys.argv[2]), given["threads"])
    loaded = perf_counter_ns() - started
    found = {name: timed(answer, job) for name, job in given["scenarios"].items()}
    sys.stdout.write(json.dumps({"load_ns": loaded, "scenarios": found}) + "\n")
    sys.stdout.flush()
    os._exit(0)  # some libraries take seconds to shut down


def pruned(prepare: Callable[[Path, Path, Mapping[str, Any]], None]) -> None:
    """Runs ``python NAME.py prepare SOURCE TARGET < settings.json`` of a peer that compresses.

    It writes ``graph.onnx``, a stock ``checkpoint`` or, where layers have different widths, what
    ``save_widths`` writes.
    """
    settings = json.load(sys.stdin)
    source, target = map(Path, sys.argv[2:4])
    target.mkdir(parents=True, exist_ok=True)
    prepare(source, target, settings)


def save_widths(model: Any, target: Path) -> None:
    """Writes the weights of a pruned BERT-like torch model, and the widths of its layers."""
    from safetensors.torch import save_file

    layers = model.base_model.encoder.layer
    size = model.config.hidden_size // model.config.num_attention_heads
    widths = {
        "heads": [len(layer.attention.self.query.weight) // size for layer in layers],
        "neurons": [len(layer.intermediate.dense.weight) for layer in layers],
    }
    (target / "structure.json").write_text(json.dumps(widths))
    state = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    save_file(state, target / "model.safetensors")


def timed(answer: Answer, job: Mapping[str, Any]) -> dict[str, Any]:
    """Times every text of a scenario, ``passes`` times, after ``warmup`` untimed texts."""
    texts = job["texts"]
    for at in range(job["warmup"]):
        answer(texts[at % len(texts)])
    nanoseconds, logits = [], []
    for _ in range(job["passes"]):
        logits = []
        for text in texts:
            started = perf_counter_ns()
            found = answer(text)
            nanoseconds.append(perf_counter_ns() - started)
            logits.append(np.asarray(found, dtype=np.float64).reshape(-1)[:1_000].tolist())
    return {"nanoseconds": nanoseconds, "logits": logits}


def arrays(ids: Ids) -> dict[str, np.ndarray]:
    """Returns the inputs of a model of single texts, shape ``(1, tokens)``, int64."""
    row = np.asarray([ids], dtype=np.int64)
    return {
        "input_ids": row,
        "attention_mask": np.ones_like(row),
        "token_type_ids": np.zeros_like(row),
    }
