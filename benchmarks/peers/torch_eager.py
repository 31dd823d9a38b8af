"""torch eager, fp32, without an export."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from harness import Answer, Ids, arrays, main
from transformers import AutoModelForSequenceClassification


def prepare(source: Path, target: Path, texts: Sequence[Ids]) -> None:
    for name in ("config.json", "model.safetensors"):
        shutil.copy(source / name, target / name)


def load(
    folder: Path,
    threads: int,
    *,
    change: Callable[[torch.nn.Module], torch.nn.Module] = lambda model: model,
) -> Answer:
    """Loads the checkpoint and applies ``change`` to the model."""
    torch.set_num_threads(threads)
    model = change(AutoModelForSequenceClassification.from_pretrained(folder).eval())

    def answer(ids: Ids) -> object:
        with torch.inference_mode():
            given = {name: torch.from_numpy(each) for name, each in arrays(ids).items()}
            return model(**given).logits.numpy()

    return answer


if __name__ == "__main__":
    main(load=load, prepare=prepare)
