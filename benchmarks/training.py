"""Training speed and peak memory against the loops that people use today.

    python benchmarks/training.py        # on an idle machine; needs the extra [interop]

Every contender trains on the same texts with the same backbone, in a fresh process, several times
in turn. Its speed is that of the steps after a warm-up; its memory is the process's peak.

What a machine multiplies fastest decides what there is to compare, so that the record is called
after it: ``results/training-fp32.json``, ``results/training-bf16.json``.

The seed's loop (the notebook that edgeadapt grew out of) pads every text to 128 tokens, takes
batches of 16, runs the frozen encoder for all its hidden states and puts the adapters on them: it
trains nothing inside the encoder.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any

from common import data_folder, save

ROUNDS = 3
THREADS = 2
BATCH = 32
WARMUP_STEPS = 3
TEXTS = {"sst2": 1_280, "imdb": 320}
"""Trained on once; a multiple of the batch."""
MAX_LENGTH = 128
REDUCTION = 6
"""384 / 64."""


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
    """Returns what edgeadapt trains in on this machine, where nothing else is asked for."""
    import torch

    from edgeadapt.recipe import TrainingConfig
    from edgeadapt.training.objectives import Compute

    return Compute.on(torch.device("cpu"), TrainingConfig()).precision.value


def measure(contender: str, dataset: str) -> dict[str, float]:
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


@dataclass(frozen=True)
class Work:
    """What everyone trains on."""

    texts: list[str]
    labels: list[int]
    backbone: str
    """Folder of the checkpoint."""
    device: str = "cpu"
    batch: int = BATCH


class Clock:
    """Notes when each step ended, and how many texts it had."""

    def __init__(self) -> None:
        self.steps: list[tuple[float, int]] = []
        self.warmup = WARMUP_STEPS

    def tick(self, texts: int) -> None:
        self.steps.append((time.perf_counter(), texts))

    def examples_per_second(self) -> float:
        """Texts after the warm-up over the time that they took."""
        (start, _), *later = self.steps[self.warmup - 1 :]
        return sum(texts for _, texts in later) / (later[-1][0] - start)


def texts_of(dataset: str) -> tuple[list[str], list[int]]:
    """Returns texts and labels in an order of their own, the same for everyone."""
    import numpy as np

    from edgeadapt.recipe import DataConfig
    from edgeadapt.training.datasets import load_dataset

    train = load_dataset(DataConfig(dataset=str(data_folder(dataset)))).train
    picked = train.take(np.random.default_rng(0).permutation(len(train))[: TEXTS[dataset]])
    return [str(text) for text in picked.texts], picked.known_labels().tolist()


Contender = Callable[[Clock, Work], None]


def ours(
    method: str,
    *,
    precision: str = "auto",
    dropout: str = "all",
    layers: str | None = None,
    epochs: int = 1,
    memory: int = 10**9,
) -> Contender:
    """Returns edgeadapt's own training; of several epochs all counts, from before the first."""

    def run(clock: Clock, work: Work) -> None:
        import numpy as np
        import torch

        from edgeadapt.data import Examples
        from edgeadapt.models.classifier import AdaptedClassifier
        from edgeadapt.models.first_position import first_position_only
        from edgeadapt.models.sources import find_model
        from edgeadapt.models.tokenizer import load_tokenizer
        from edgeadapt.recipe import (
            AdapterConfig,
            Dropout,
            ModelConfig,
            Precision,
            Task,
            TrainingConfig,
        )
        from edgeadapt.training.frozen import FrozenLayers
        from edgeadapt.training.loop import fit
        from edgeadapt.training.objectives import Classification, Compute, Loss

        class Timed(Classification):
            def loss(self, rows: np.ndarray) -> Loss:
                clock.tick(len(rows))  # the end of the step before
                return super().loss(rows)

        device = torch.device(work.device)
        config = TrainingConfig(
            epochs=epochs,
            batch_size=work.batch,
            learning_rate=1e-4,
            precision=Precision(precision),
        )
        source = find_model(ModelConfig(id=work.backbone))
        classifier = AdaptedClassifier.build(
            source, ("0", "1"), AdapterConfig(method=method, layers=layers)
        )
        objective = Timed(
            classifier.model,
            load_tokenizer(source, max_length=MAX_LENGTH).encoder,
            train=Examples(tuple(work.texts), np.asarray(work.labels)),
            validation=Examples(tuple(work.texts[:1]), np.asarray(work.labels[:1])),
            task=Task.SINGLE_LABEL,
            frozen=FrozenLayers.below(classifier.encoder, classifier.trained()),
            memory=memory,
            dropout=Dropout(dropout),
            compute=Compute.on(device, config),
        )
        if epochs > 1:
            clock.warmup = 1
            clock.tick(0)
        with first_position_only(classifier.encoder):
            fit(objective, classifier.trained(), config=config, device=device)

    return run


def seed(clock: Clock, work: Work) -> None:
    import torch
    from torch import nn
    from torch.utils.data import DataLoader, TensorDataset
    from transformers import AutoModel, AutoTokenizer

    class Adapter(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.down, self.up = nn.Linear(width, 64), nn.Linear(64, width)

        def forward(self, hidden: torch.Tensor) -> torch.Tensor:
            return self.up(torch.relu(self.down(hidden))) + hidden

    tokenizer = AutoTokenizer.from_pretrained(work.backbone)
    encoder = AutoModel.from_pretrained(work.backbone)
    encoder.requires_grad_(False)
    width = encoder.config.hidden_size
    adapters = nn.ModuleList(Adapter(width) for _ in range(encoder.config.num_hidden_layers))
    head = nn.Linear(width, 2)
    tokens = tokenizer(
        work.texts,
        truncation=True,
        padding="max_length",
        max_length=MAX_LENGTH,
        return_tensors="pt",
    )
    data = TensorDataset(tokens["input_ids"], tokens["attention_mask"], torch.tensor(work.labels))
    optimizer = torch.optim.AdamW([*adapters.parameters(), *head.parameters()], lr=1e-4)
    for ids, attention, known in DataLoader(data, batch_size=16, shuffle=True):
        states = encoder(ids, attention_mask=attention, output_hidden_states=True).hidden_states
        adapted = [adapter(state) for adapter, state in zip(adapters, states[1:], strict=True)]
        loss = nn.functional.cross_entropy(head(adapted[-1][:, 0]), known)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        clock.tick(len(known))


def with_trainer(make: Callable[[str], tuple[Any, type[Any]]], **arguments: Any) -> Contender:
    """Returns a contender that trains with Hugging Face's ``Trainer`` or one made from it."""

    def run(clock: Clock, work: Work) -> None:
        from tempfile import TemporaryDirectory

        from transformers import (
            AutoTokenizer,
            DataCollatorWithPadding,
            TrainerCallback,
            TrainingArguments,
        )

        class Ticks(TrainerCallback):  # type: ignore[misc]
            def on_step_end(self, *arguments: Any, **options: Any) -> None:
                clock.tick(work.batch)

        tokenizer = AutoTokenizer.from_pretrained(work.backbone)
        tokenizer.backend_tokenizer.no_padding()
        tokens = tokenizer(work.texts, truncation=True, max_length=MAX_LENGTH)
        names = list(tokens)
        data = [
            dict(zip((*names, "label"), row, strict=True))
            for row in zip(*(tokens[name] for name in names), work.labels, strict=True)
        ]
        model, kind = make(work.backbone)
        with TemporaryDirectory() as output:
            trainer = kind(
                model=model,
                args=TrainingArguments(
                    output_dir=output,
                    per_device_train_batch_size=work.batch,
                    num_train_epochs=1,
                    learning_rate=1e-4,
                    save_strategy="no",
                    report_to=[],
                    use_cpu=work.device == "cpu",
                    disable_tqdm=True,
                    **arguments,
                ),
                train_dataset=data,
                data_collator=DataCollatorWithPadding(tokenizer),
                callbacks=[Ticks()],
            )
            trainer.train()

    return run


def adapterhub(folder: str) -> tuple[Any, type[Any]]:
    from adapters import AdapterTrainer, AutoAdapterModel, ParBnConfig

    model = AutoAdapterModel.from_pretrained(folder)
    model.add_adapter("task", config=ParBnConfig(reduction_factor=REDUCTION))
    model.add_classification_head("task", num_labels=2)
    model.train_adapter("task")
    return model, AdapterTrainer


def peft(folder: str) -> tuple[Any, type[Any]]:
    from peft import LoraConfig, get_peft_model
    from transformers import Trainer

    model, _ = full(folder)
    config = LoraConfig(task_type="SEQ_CLS", r=8, target_modules=["query", "value"])
    return get_peft_model(model, config), Trainer


def full(folder: str) -> tuple[Any, type[Any]]:
    from transformers import AutoModelForSequenceClassification, Trainer

    return AutoModelForSequenceClassification.from_pretrained(folder, num_labels=2), Trainer


def embedded() -> str:
    """Returns the folder of the embedded encoder."""
    from edgeadapt.models.sources import find_model
    from edgeadapt.recipe import ModelConfig

    return str(find_model(ModelConfig()).folder)


CONTENDERS: dict[str, Contender] = {
    "edgeadapt parallel+bitfit": ours("parallel+bitfit"),
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


if __name__ == "__main__":
    if len(sys.argv) == 3:
        print(json.dumps(measure(*sys.argv[1:])))
    else:
        main()
