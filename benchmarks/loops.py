"""The training loops that ``training.py`` and ``gpu.py`` compare, each with its usual settings.

Libraries are imported at the point of use, so that a process loads only those of its loop.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = [
    "MAX_LENGTH",
    "Clock",
    "Contender",
    "Work",
    "adapterhub",
    "embedded",
    "full",
    "ours",
    "peft",
    "seed",
    "with_trainer",
]

BATCH = 32
WARMUP_STEPS = 3
MAX_LENGTH = 128
REDUCTION = 6
"""384 / 64."""


@dataclass(frozen=True)
class Work:
    """The inputs of a loop, equal for all."""

    texts: list[str]
    labels: list[int]
    backbone: str
    """Folder of the checkpoint."""
    device: str = "cpu"
    batch: int = BATCH


class Clock:
    """Records the end and the number of texts of each step."""

    def __init__(self) -> None:
        self.steps: list[tuple[float, int]] = []
        self.warmup = WARMUP_STEPS

    def tick(self, texts: int) -> None:
        self.steps.append((time.perf_counter(), texts))

    def examples_per_second(self) -> float:
        """Returns the texts per second after the warm-up."""
        (start, _), *later = self.steps[self.warmup - 1 :]
        return sum(texts for _, texts in later) / (later[-1][0] - start)


Contender = Callable[[Clock, Work], None]
"""A loop: trains on the inputs and calls ``tick`` after every step."""


def ours(
    method: str,
    *,
    precision: str = "auto",
    dropout: str = "all",
    layers: str | None = None,
    epochs: int = 1,
    memory: int = 10**9,
) -> Contender:
    """Returns the loop of edgeadapt; with several epochs, all of them are timed."""

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
                clock.tick(len(rows))  # marks the end of the previous step
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
            frozen=FrozenLayers.below(classifier.backbone, classifier.trained()),
            memory=memory,
            dropout=Dropout(dropout),
            compute=Compute.on(device, config),
        )
        if epochs > 1:
            clock.warmup = 1
            clock.tick(0)
        with first_position_only(classifier.backbone):
            fit(objective, classifier.trained(), config=config, device=device)

    return run


def seed(clock: Clock, work: Work) -> None:
    """Trains as the seed's notebook does; see ``training.py``."""
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
    """Returns a loop of Hugging Face's ``Trainer`` or of a subclass of it.

    Args:
        make: Folder of a checkpoint -> the model, and the class of the trainer.
        arguments: Further ``TrainingArguments``.
    """

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
