"""Training variants for ``accuracy.py --search`` that edgeadapt does not offer.

Each variant is a context manager that changes one part of training while its block runs.
"""

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgeadapt.models.classifier import AdaptedClassifier
from edgeadapt.models.inference import EVALUATION_BATCH, torch_logits
from edgeadapt.models.opened import OpenedRun
from edgeadapt.pipeline.train import train
from edgeadapt.recipe import Recipe
from edgeadapt.training.objectives import Classification, Judgement, Loss
from edgeadapt.training.optimizer import Optimizer

__all__ = ["VARIANTS", "varied"]


@contextmanager
def varied(variants: Mapping[str, str], recipe: Recipe) -> Iterator[None]:
    """Applies the variants, as name -> value, for the block that trains ``recipe``."""
    with ExitStack() as stack:
        for name, value in variants.items():
            stack.enter_context(VARIANTS[name](value, recipe))
        yield


def _rdrop(value: str, recipe: Recipe) -> AbstractContextManager[Any]:
    """Adds the divergence of two passes with different dropout to the loss, weighted by ``value``.

    Source: Liang et al. 2021, R-Drop (arXiv 2106.14448), equations 2 to 4.
    """

    class RDrop(Classification):
        def loss(self, rows: Any) -> Loss:
            return super().loss(np.concatenate([rows, rows]))

        def cross_entropy(self, logits: Tensor, labels: Tensor, smoothing: float) -> Tensor:
            one, other = (F.log_softmax(half, -1) for half in logits.chunk(2))
            apart = sum(
                F.kl_div(a, b, reduction="batchmean", log_target=True) / 2
                for a, b in ((one, other), (other, one))
            )
            # The paper sums the cross-entropies of both passes; here they are averaged.
            plain = super().cross_entropy(logits, labels, smoothing)
            return plain + float(value) / 2 * apart

    return patch("edgeadapt.pipeline.train.Classification", RDrop)


@contextmanager
def _distilled(value: str, recipe: Recipe) -> Iterator[None]:
    """Distills: half of the loss is the distance to a full fine-tune on the same data and seed.

    ``value`` is the learning rate and epochs of the full fine-tune, such as ``1e-4x8``.
    Source: Hinton et al. 2015, Distilling the Knowledge in a Neural Network (arXiv 1503.02531).
    """
    temperature = 2.0
    rate, _, epochs = value.partition("x")
    teacher = recipe.updated({"adapter": {"method": "full"}}, origin="teacher")
    teacher = teacher.updated(
        {"training": {"learning_rate": float(rate), "epochs": int(epochs)}}, origin="teacher"
    )

    class Distilled(Classification):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            with TemporaryDirectory() as folder, patch(original, Classification):
                run = train(teacher, output=Path(folder) / "run")
                model = OpenedRun(run).classifier().model
                texts = options["train"].texts
                found = torch_logits(model, self.encoder, texts, batch_size=EVALUATION_BATCH)
            self.taught = torch.from_numpy(found)

        def loss(self, rows: Any) -> Loss:
            self.now = self.taught[rows]
            return super().loss(rows)

        def cross_entropy(self, logits: Tensor, labels: Tensor, smoothing: float) -> Tensor:
            apart = F.kl_div(
                F.log_softmax(logits / temperature, -1),
                F.log_softmax(self.now / temperature, -1),
                reduction="batchmean",
                log_target=True,
            )
            plain = super().cross_entropy(logits, labels, smoothing)
            return (plain + temperature**2 * apart) / 2

    original = "edgeadapt.pipeline.train.Classification"
    with patch(original, Distilled):
        yield


@contextmanager
def _pooler(value: str, recipe: Recipe) -> Iterator[None]:
    """Replaces BERT's pooler: ``new`` (random), ``frozen``, or the ``mean`` of all tokens."""
    build = AdaptedClassifier.build.__func__  # type: ignore[attr-defined]
    trained = AdaptedClassifier.trained

    def changed(cls: type[AdaptedClassifier], *args: Any, **options: Any) -> AdaptedClassifier:
        made: AdaptedClassifier = build(cls, *args, **options)
        bert = made.model.base_model
        if value == "new":
            nn.init.normal_(bert.pooler.dense.weight, std=made.model.config.initializer_range)
            nn.init.zeros_(bert.pooler.dense.bias)
        if value == "mean":
            bert.pooler = _Mean(bert)
        return made

    def without_pooler(self: AdaptedClassifier) -> dict[str, nn.Parameter]:
        return {n: p for n, p in trained(self).items() if "pooler" not in n}

    with ExitStack() as stack:
        stack.enter_context(patch.object(AdaptedClassifier, "build", classmethod(changed)))
        if value != "new":
            stack.enter_context(patch.object(AdaptedClassifier, "trained", without_pooler))
        if value == "mean":
            stack.enter_context(patch("edgeadapt.pipeline.train.first_position_only", nullcontext))
        yield


class _Mean(nn.Module):
    def __init__(self, bert: nn.Module) -> None:
        super().__init__()
        self.mask: Tensor | None = None
        bert.register_forward_pre_hook(self._see, with_kwargs=True)

    def _see(self, module: nn.Module, args: Any, named: dict[str, Any]) -> None:
        self.mask = named["attention_mask"]

    def forward(self, hidden: Tensor) -> Tensor:
        assert self.mask is not None
        mask = self.mask[..., None].to(hidden.dtype)
        return (hidden * mask).sum(1) / mask.sum(1)


def _layer_decay(value: str, recipe: Recipe) -> AbstractContextManager[Any]:
    """Layer-wise decay: the learning rate of a layer is ``value`` times that of the next layer.

    Source: Sun et al. 2019, How to Fine-Tune BERT for Text Classification (arXiv 1905.05583), 5.3.
    """

    def factors(names: Collection[str]) -> dict[str, float]:
        depths = {name: _depth(name) for name in names}
        top = 1 + max(depth for depth in depths.values() if depth is not None)
        above = {name: 0 if depth is None else top - depth for name, depth in depths.items()}
        return {name: float(value) ** layers for name, layers in above.items()}

    return _with_rates(factors)


def _part_rates(value: str, recipe: Recipe) -> AbstractContextManager[Any]:
    """Factors on the learning rate of some parts, such as ``pooler;0.1+classifier;0.3``."""
    shares = {part: float(share) for part, share in (p.split(";") for p in value.split("+"))}

    def factors(names: Collection[str]) -> dict[str, float]:
        return {
            name: next((share for part, share in shares.items() if part in name), 1.0)
            for name in names
        }

    return _with_rates(factors)


def _with_rates(
    factors: Callable[[Collection[str]], Mapping[str, float]],
) -> AbstractContextManager[Any]:
    """Uses an optimizer with a factor on the learning rate per parameter."""

    @dataclass
    class Scaled(Optimizer):
        def __post_init__(self) -> None:
            known = factors(self.trained)
            names = {id(p): name for name, p in self.trained.items()}
            groups = [
                {**group, "params": [p], "factor": group["factor"] * known[names[id(p)]]}
                for group in self.adamw.param_groups
                for p in group["params"]
            ]
            self.adamw = torch.optim.AdamW(groups, fused=True)

    return patch("edgeadapt.training.loop.Optimizer", Scaled)


def _frozen(value: str, recipe: Recipe) -> AbstractContextManager[Any]:
    """Freezes a part, such as the ``embeddings`` in a full fine-tune."""
    trained = AdaptedClassifier.trained

    def others(self: AdaptedClassifier) -> dict[str, nn.Parameter]:
        return {name: p for name, p in trained(self).items() if value not in name}

    return patch.object(AdaptedClassifier, "trained", others)


@contextmanager
def _embedding(value: str, recipe: Recipe) -> Iterator[None]:
    """Adds a low-rank update of rank ``value`` to the word embeddings, as LoRA does."""
    build = AdaptedClassifier.build.__func__  # type: ignore[attr-defined]
    parameters = AdaptedClassifier.adapter_parameters
    added: dict[str, nn.Parameter] = {}

    def changed(cls: type[AdaptedClassifier], *args: Any, **options: Any) -> AdaptedClassifier:
        made: AdaptedClassifier = build(cls, *args, **options)
        embeddings = made.model.base_model.embeddings
        embeddings.word_embeddings = low = _LowRankTable(embeddings.word_embeddings, int(value))
        added.update({"embeddings.a": low.a, "embeddings.b": low.b})
        return made

    def with_table(self: AdaptedClassifier) -> dict[str, nn.Parameter]:
        return parameters(self) | added

    with (
        patch.object(AdaptedClassifier, "build", classmethod(changed)),
        patch.object(AdaptedClassifier, "adapter_parameters", with_table),
    ):
        yield


class _LowRankTable(nn.Module):
    def __init__(self, table: nn.Embedding, rank: int) -> None:
        super().__init__()
        self.table = table
        self.a = nn.Parameter(torch.zeros(table.num_embeddings, rank))
        self.b = nn.Parameter(torch.randn(rank, table.embedding_dim) * 0.04)

    def forward(self, ids: Tensor) -> Tensor:
        return self.table(ids) + F.embedding(ids, self.a) @ self.b


@contextmanager
def _averaged(value: str, recipe: Recipe) -> Iterator[None]:
    """Evaluates and keeps the exponential moving average of the weights, with decay ``value``.

    Source: Polyak and Juditsky 1992, Acceleration of Stochastic Approximation by Averaging.
    """
    weights: dict[str, nn.Parameter] = {}
    means: dict[str, Tensor] = {}
    latest: dict[str, Tensor] = {}
    step, judge, begin = Optimizer.step, Classification.judge, Classification.begin_training

    @torch.no_grad()
    def with_mean(self: Optimizer) -> None:
        step(self)
        weights.update(self.trained)
        keep = min(float(value), self.steps / (self.steps + 10))
        for name, parameter in weights.items():
            means.setdefault(name, parameter.detach().clone()).lerp_(parameter, 1 - keep)

    @torch.no_grad()
    def of_means(self: Classification) -> Judgement:
        # The loop keeps the current weights after an epoch was scored, so the averages stay in
        # place until the next epoch begins.
        for name, parameter in weights.items():
            latest[name] = parameter.clone()
            parameter.copy_(means[name])
        return judge(self)

    def from_latest(self: Classification) -> None:
        with torch.no_grad():
            for name, tensor in latest.items():
                weights[name].copy_(tensor)
        latest.clear()
        begin(self)

    with (
        patch.object(Optimizer, "step", with_mean),
        patch.object(Classification, "judge", of_means),
        patch.object(Classification, "begin_training", from_latest),
    ):
        yield


def _depth(name: str) -> int | None:
    """Returns the number of layers below a parameter; 0 for embeddings, ``None`` for the head."""
    if "embeddings" in name:
        return 0
    found = re.search(r"\blayers?\.(\d+)\.", name)
    return int(found[1]) + 1 if found else None


VARIANTS: dict[str, Callable[[str, Recipe], AbstractContextManager[Any]]] = {
    "rdrop": _rdrop,
    "teacher": _distilled,
    "pooler": _pooler,
    "layerwise": _layer_decay,
    "rates": _part_rates,
    "freeze": _frozen,
    "emb": _embedding,
    "average": _averaged,
}
